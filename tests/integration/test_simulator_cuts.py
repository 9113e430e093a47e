"""The fault that cuts answers: how far they come, that clients notice, and that only what was sent is charged."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, ClientSession

from sluicegate_worker.simulator.behaviour import Behaviour, Faults, Profile
from sluicegate_worker.simulator.provider import SimulatedProvider
from support.simulated import read_log

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
BODY = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 4}
STREAMED = BODY | {"stream": True}
CUT = Faults(cut=1)


async def read_to_the_cut(provider: SimulatedProvider, path: str, document: object) -> tuple[list[str], bytes]:
    """The lines of the head in lower case, and what came of the body, with the framing of chunks if there is one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    body = json.dumps(document)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.decode().lower().split("\r\n"), rest


@pytest.mark.parametrize(
    ("profile", "path", "token", "end"),
    [
        ("openai", CHAT, b'"delta":{"content":', b"[DONE]"),
        ("generic", CHAT, b'"delta":{"content":', b"[DONE]"),
        ("anthropic", MESSAGES, b"event: content_block_delta\n", b"message_stop"),
    ],
)
@pytest.mark.parametrize(("tokens", "sent"), [(1, 0), (4, 2), (5, 2), (2_000, 1_000)])
async def test_a_stream_is_cut_after_half_of_its_tokens(
    tmp_path: Path, profile: Profile, path: str, token: bytes, end: bytes, tokens: int, sent: int
) -> None:
    log = tmp_path / "log"
    async with SimulatedProvider(Behaviour(latency_median_s=0, profile=profile, faults=CUT), log=log) as provider:
        head, got = await read_to_the_cut(provider, path, STREAMED | {"max_tokens": tokens})
        assert provider.snapshot()["in_flight"] == 0
    assert head[0] == "http/1.1 200 ok"
    assert "transfer-encoding: chunked" in head
    assert b'"role":"assistant"' in got
    assert got.count(token) == sent
    assert end not in got
    assert b'"finish_reason":"' not in got
    assert got.endswith(b"\n\n\r\n"), "whole events, and no last chunk"
    (line,) = read_log(log)
    assert (line["status"], line["kind"], line["admitted"], line["tokens_out"]) == (200, "cut", True, sent)


@pytest.mark.parametrize(
    ("path", "document", "tokens_out"), [(CHAT, BODY, 2), ("/v1/embeddings", {"model": "m", "input": "x"}, 0)]
)
async def test_any_other_answer_is_cut_after_half_of_its_bytes(
    http: ClientSession, tmp_path: Path, path: str, document: dict[str, object], tokens_out: int
) -> None:
    log = tmp_path / "log"
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=60_000, faults=CUT), log=log) as provider:
        head, half = await read_to_the_cut(provider, path, document)
        provider.change({"faults": {}})
        async with http.post(provider.url + path, json=document) as response:
            whole, names = await response.read(), {name.lower() for name in response.headers}
    assert head[0] == "http/1.1 200 ok"
    assert {f"content-length: {len(whole)}", f"content-type: {response.headers['content-type']}"} <= {*head}
    assert {line.partition(":")[0] for line in head[1:]} == names
    assert len(half) == len(whole) // 2
    assert half.startswith(b"{")
    cut = read_log(log)[0]
    assert (cut["status"], cut["kind"], cut["admitted"]) == (200, "cut", True)
    assert (cut["tokens_out"], cut["first_s"]) == (tokens_out, None)


@pytest.mark.parametrize("document", [BODY, STREAMED])
async def test_only_what_was_sent_is_charged(http: ClientSession, document: object) -> None:
    behaviour = Behaviour(latency_median_s=0, otpm=100, style="sliding-minute", profile="anthropic", faults=CUT)
    async with SimulatedProvider(behaviour) as provider:
        async with http.post(provider.url + MESSAGES, json=document) as response:
            with pytest.raises(ClientPayloadError):
                await response.read()
        provider.change({"faults": {}})
        async with http.post(provider.url + MESSAGES, json=BODY) as response:
            assert response.headers["anthropic-ratelimit-output-tokens-remaining"] == "98"
        counters = provider.snapshot()["counters"]
    assert isinstance(counters, dict)
    assert (counters["cut"], counters["ok"]) == (1, 1)


async def test_who_is_over_the_limit_is_refused_before_anything_is_cut(http: ClientSession) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=1, faults=CUT)) as provider:
        async with http.post(provider.url + CHAT, json=BODY) as response:
            with pytest.raises(ClientPayloadError):
                await response.read()
        async with http.post(provider.url + CHAT, json=BODY) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (429, "rate_limit_exceeded")

"""Streamed answers over real sockets: their events in order and as they come, what ends them early, what they cost."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web

from sluicegate_worker.simulator import streams
from sluicegate_worker.simulator.behaviour import Behaviour, Faults, Profile
from sluicegate_worker.simulator.content import MAX_ANSWER_TOKENS
from sluicegate_worker.simulator.provider import SimulatedProvider
from support.simulated import read_log
from support.waiting import wait_until

PATHS: dict[Profile, str] = {
    "openai": "/v1/chat/completions",
    "azure": "/openai/deployments/m/chat/completions",
    "anthropic": "/v1/messages",
    "generic": "/v1/chat/completions",
}
CHAT = PATHS["openai"]
BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "one two three"}],
    "max_tokens": 4,
    "stream": True,
}
FAST = Behaviour(latency_median_s=0, latency_sigma=0)
# From the first token on, an hour: what is read in a test was sent long before the end.
HOUR = Behaviour(latency_median_s=3_600, latency_sigma=0)


@pytest.fixture
def first_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FIRST_TOKEN_SHARE", 0)


async def read_event(response: ClientResponse) -> Any:
    """The data of the next one."""
    event = (await response.content.readuntil(b"\n\n")).decode()
    data = event.removesuffix("\n\n").rpartition("data: ")[2]
    return data if data == "[DONE]" else json.loads(data)


async def read_events(response: ClientResponse) -> list[Any]:
    events = []
    while not response.content.at_eof():
        events.append(await read_event(response))
    return events


@pytest.mark.parametrize("profile", ["openai", "azure", "generic"])
async def test_chunks_come_in_order_to_the_end(http: ClientSession, tmp_path: Path, profile: Profile) -> None:
    log = tmp_path / "log"
    async with (
        SimulatedProvider(Behaviour(latency_median_s=0, profile=profile), log=log) as provider,
        http.post(provider.url + PATHS[profile], json=BODY) as response,
    ):
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        *chunks, done = await read_events(response)
    assert done == "[DONE]"
    assert len({chunk["id"] for chunk in chunks}) == 1
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        *({"content": text} for text in ("the", " gate", " opens", " a")),
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None] * 5 + ["length"]
    (line,) = read_log(log)
    assert (line["status"], line["kind"], line["admitted"]) == (200, "ok", True)
    assert (line["tokens_in"], line["tokens_out"]) == (3, 4)
    assert 0 <= line["first_s"] <= line["dur_s"]


async def test_events_come_in_anthropics_order_to_the_end(http: ClientSession) -> None:
    async with (
        SimulatedProvider(Behaviour(latency_median_s=0, profile="anthropic")) as provider,
        http.post(provider.url + PATHS["anthropic"], json=BODY) as response,
    ):
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        events = await read_events(response)
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert "".join(event["delta"]["text"] for event in events[3:7]) == "the gate opens a"
    assert (events[0]["message"]["usage"]["input_tokens"], events[-2]["usage"]) == (3, {"output_tokens": 4})


@pytest.mark.parametrize("asked", [True, False])
async def test_usage_comes_only_when_asked_for(http: ClientSession, asked: bool) -> None:
    body = BODY | {"stream_options": {"include_usage": asked}}
    async with SimulatedProvider(FAST) as provider, http.post(provider.url + CHAT, json=body) as response:
        *chunks, _ = await read_events(response)
    usages = [chunk["usage"] for chunk in chunks if "usage" in chunk]
    whole = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert usages == ([None] * 6 + [whole] if asked else [])


async def test_a_stream_has_the_headers_of_any_answer(http: ClientSession) -> None:
    names = []
    for body in (BODY, BODY | {"stream": False}):
        async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=1_200, tpm=60_000)) as provider:
            async with http.post(provider.url + CHAT, json=body) as response:
                assert response.headers["x-ratelimit-remaining-requests"] == "19"
                assert response.headers["x-ratelimit-remaining-tokens"] == "993"
            names.append({name.lower() for name in response.headers})
    assert names[0] - {"transfer-encoding"} == names[1] - {"content-length"}


@pytest.mark.parametrize(
    ("behaviour", "status", "kind"),
    [
        (Behaviour(latency_median_s=0, faults=Faults(server_error=1)), None, "fault_5xx"),
        (Behaviour(latency_median_s=0, faults=Faults(overloaded=1)), 503, "overloaded"),
        (Behaviour(latency_median_s=0, faults=Faults(revoked=1)), 401, "credentials"),
        (Behaviour(latency_median_s=0, rpm=1, refusals_count=True, faults=Faults(slow_down=1)), 429, "slow_down"),
    ],
)
async def test_what_is_refused_is_refused_whole(
    http: ClientSession, tmp_path: Path, behaviour: Behaviour, status: int | None, kind: str
) -> None:
    log = tmp_path / "log"
    async with (
        SimulatedProvider(behaviour, log=log) as provider,
        http.post(provider.url + CHAT, json=BODY) as response,
    ):
        assert "error" in await response.json()
        assert response.status in ((500, 503) if status is None else (status,))
    (line,) = read_log(log)
    assert (line["kind"], line["tokens_out"], line["first_s"]) == (kind, 0, None)


async def test_beyond_the_limit_a_stream_is_a_429(http: ClientSession) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=1)) as provider:
        async with http.post(provider.url + CHAT, json=BODY) as response:
            assert (await read_events(response))[-1] == "[DONE]"
        async with http.post(provider.url + CHAT, json=BODY) as response:
            assert (response.status, response.content_type) == (429, "application/json")
            assert int(response.headers["retry-after-ms"]) > 0


async def test_tokens_come_while_the_rest_is_still_to_be_sent(
    http: ClientSession, tmp_path: Path, first_at_once: None
) -> None:
    log = tmp_path / "log"
    body = BODY | {"max_tokens": MAX_ANSWER_TOKENS}  # so that there is one every few milliseconds, for an hour
    async with SimulatedProvider(HOUR, log=log) as provider:
        async with http.post(provider.url + CHAT, json=body) as response:
            events = [await read_event(response) for _ in range(4)]
            assert provider.snapshot()["in_flight"] == 1
            response.close()
        await wait_until(lambda: read_log(log), "the call is logged")
    assert [event["choices"][0]["delta"]["content"] for event in events] == ["", "the", " gate", " opens"]
    (line,) = read_log(log)
    assert (line["status"], line["kind"]) == (499, "abandoned")
    assert 3 <= line["tokens_out"] < MAX_ANSWER_TOKENS


async def test_before_the_first_token_nothing_comes(http: ClientSession, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with SimulatedProvider(HOUR, log=log) as provider:
        waiting = asyncio.create_task(http.post(provider.url + CHAT, json=BODY).__aenter__())
        await wait_until(lambda: provider.snapshot()["in_flight"] == 1, "the call arrived")
        assert not waiting.done()
        waiting.cancel()
        await wait_until(lambda: read_log(log), "the call is logged")
    (line,) = read_log(log)
    assert (line["kind"], line["tokens_out"], line["first_s"]) == ("abandoned", 0, None)


async def test_a_client_that_leaves_pays_for_what_was_sent(
    http: ClientSession, tmp_path: Path, first_at_once: None
) -> None:
    log = tmp_path / "log"
    behaviour = Behaviour(
        latency_median_s=3_600, latency_sigma=0, otpm=100, style="sliding-minute", profile="anthropic"
    )
    async with SimulatedProvider(behaviour, log=log) as provider:
        async with http.post(provider.url + PATHS["anthropic"], json=BODY) as response:
            while (await read_event(response))["type"] != "content_block_delta":
                pass
            response.close()
        await wait_until(lambda: provider.snapshot()["in_flight"] == 0, "the provider noticed")
        provider.change({"latency_median_s": 0})
        async with http.post(provider.url + PATHS["anthropic"], json=BODY) as response:
            assert response.headers["anthropic-ratelimit-output-tokens-remaining"] == "99"
            await read_events(response)
    left, stayed = read_log(log)
    assert (left["status"], left["kind"], left["tokens_out"]) == (499, "abandoned", 1)
    assert (stayed["status"], stayed["kind"], stayed["tokens_out"]) == (200, "ok", 4)


async def test_a_stop_ends_streams(http: ClientSession, tmp_path: Path, first_at_once: None) -> None:
    log = tmp_path / "log"
    provider = SimulatedProvider(HOUR, log=log)
    await provider.start()
    # Of one token, so that all that is missing is the end.
    async with http.post(provider.url + CHAT, json=BODY | {"max_tokens": 1}) as response:
        await read_event(response)
        await read_event(response)
        await provider.stop()
    assert [(line["kind"], line["tokens_out"]) for line in read_log(log)] == [("abandoned", 1)]


async def test_a_client_that_reads_slowly_is_not_run_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with SimulatedProvider(FAST, log=log) as provider:
        # Far more than fits between the two.
        _, writer = await send(provider, BODY | {"max_tokens": MAX_ANSWER_TOKENS})
        await wait_until(lambda: provider.snapshot()["in_flight"] == 1, "the call arrived")
        writer.close()
        await writer.wait_closed()
        await wait_until(lambda: read_log(log), "the call is logged")
    (line,) = read_log(log)
    assert line["kind"] == "abandoned"
    assert line["tokens_out"] < MAX_ANSWER_TOKENS


async def test_a_connection_that_breaks_under_a_write_is_a_client_that_left(
    http: ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"

    async def break_at_tokens(response: web.StreamResponse, data: bytes) -> None:
        if b"role" not in data:
            raise ConnectionResetError

    monkeypatch.setattr(web.StreamResponse, "write", break_at_tokens)
    async with SimulatedProvider(FAST, log=log) as provider, http.post(provider.url + CHAT, json=BODY) as response:
        await response.read()
    assert [(line["kind"], line["tokens_out"]) for line in read_log(log)] == [("abandoned", 0)]
    assert caplog.messages == []


async def test_without_chunked_encoding_a_stream_ends_with_its_connection() -> None:
    async with SimulatedProvider(FAST) as provider:
        reader, writer = await send(provider, BODY, version="1.0")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert b"chunked" not in head
    assert body.startswith(b'data: {"')
    assert body.endswith(b"\n\ndata: [DONE]\n\n")


async def send(
    provider: SimulatedProvider, document: object, version: str = "1.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    body = json.dumps(document)
    writer.write(f"POST {CHAT} HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    return reader, writer

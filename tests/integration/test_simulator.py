"""The simulated provider over real sockets: what clients see, what the log says, and what can be changed meanwhile."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from sluicegate_worker.simulator.behaviour import Behaviour, Faults, InvalidBehaviour
from sluicegate_worker.simulator.provider import CannotStart, SimulatedProvider
from support.simulated import read_log
from support.waiting import wait_until

CHAT = "/v1/chat/completions"
BODY = {"model": "sim-chat", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 4}
FAST = Behaviour(latency_median_s=0, latency_sigma=0)
# One call a minute, and no test lasts one: however slow the machine is, a second call is refused.
ONE_CALL = Behaviour(latency_median_s=0, rpm=1)


async def chat(http: ClientSession, provider: SimulatedProvider, **headers: str) -> tuple[int, Any]:
    async with http.post(provider.url + CHAT, json=BODY, headers=headers) as response:
        return response.status, await response.json()


async def test_a_call_is_answered_with_openais_headers(http: ClientSession) -> None:
    async with (
        SimulatedProvider(Behaviour(latency_median_s=0, rpm=1_200)) as provider,
        http.post(provider.url + CHAT, json=BODY, headers={"Authorization": "Bearer anything"}) as response,
    ):
        document = await response.json()
        assert (response.status, response.content_type) == (200, "application/json")
        assert document["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        assert response.headers["x-request-id"].startswith("req_")
        assert response.headers["openai-processing-ms"].isdigit()
        assert response.headers["x-ratelimit-limit-requests"] == "1200"
        assert response.headers["x-ratelimit-remaining-requests"] == "19"
        assert response.headers["x-ratelimit-reset-requests"] == "50ms"
        assert "retry-after" not in response.headers


async def test_paths_work_with_and_without_version(http: ClientSession) -> None:
    async with SimulatedProvider(FAST) as provider:
        for path in ("/v1/embeddings", "/embeddings"):
            async with http.post(provider.url + path, json={"model": "m", "input": "x"}) as response:
                assert (response.status, (await response.json())["object"]) == (200, "list")
        for path in ("/v1/models", "/models"):
            async with http.get(provider.url + path) as response:
                assert [model["object"] for model in (await response.json())["data"]] == ["model", "model"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/completions", 404), ("GET", "/", 404), ("GET", CHAT, 405), ("POST", "/v1/models", 405)],
)
async def test_other_paths_and_methods_are_refused(http: ClientSession, method: str, path: str, status: int) -> None:
    async with SimulatedProvider(ONE_CALL) as provider:
        await chat(http, provider)
        async with http.request(method, provider.url + path) as response:
            error = (await response.json())["error"]
            assert (response.status, error["type"]) == (status, "invalid_request_error")
            assert method in error["message"]
            assert "x-ratelimit-limit-requests" in response.headers
            assert "retry-after" not in response.headers


@pytest.mark.parametrize("style", ["bucket", "second"])
async def test_beyond_the_limit_comes_a_429_that_says_when(http: ClientSession, style: str) -> None:
    async with SimulatedProvider(ONE_CALL) as provider:
        provider.change({"style": style})
        assert (await chat(http, provider))[0] == 200
        # Two tries: between the first call and the second an aligned minute may end, but then not another one.
        for _ in range(2):
            async with http.post(provider.url + CHAT, json=BODY) as response:
                error = (await response.json()).get("error")
            if error:
                break
        assert (response.status, error["type"], error["code"]) == (429, "requests", "rate_limit_exceeded")
        wait_ms = int(response.headers["retry-after-ms"])
        assert 1 <= wait_ms <= 60_000
        assert int(response.headers["retry-after"]) == -(-wait_ms // 1_000)
        assert response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_failed_calls_use_nothing_of_the_limit_up(http: ClientSession) -> None:
    async with SimulatedProvider(ONE_CALL) as provider:
        provider.change({"fail_rate": 1})
        status, document = await chat(http, provider)
        assert (status, document["error"]["type"]) == (500, "server_error")
        provider.change({"fail_rate": 0})
        assert (await chat(http, provider))[0] == 200
        assert (await chat(http, provider))[0] == 429


async def test_without_a_limit_none_is_named(http: ClientSession) -> None:
    async with SimulatedProvider(FAST) as provider, http.post(provider.url + CHAT, json=BODY) as response:
        assert response.status == 200
        assert not [name for name in response.headers if "ratelimit" in name.lower()]


async def test_the_fault_5xx_is_500_or_503(http: ClientSession) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, faults=Faults(server_error=1)), seed=1) as provider:
        answers = [await chat(http, provider) for _ in range(40)]
    assert {status for status, _ in answers} == {500, 503}
    assert {document["error"]["code"] for status, document in answers if status == 503} == {"server_is_overloaded"}


async def test_a_seed_decides_by_the_order_of_arrival(http: ClientSession) -> None:
    async def statuses(seed: int) -> list[int]:
        async with SimulatedProvider(Behaviour(latency_median_s=0, fail_rate=0.5), seed=seed) as provider:
            return [(await chat(http, provider))[0] for _ in range(30)]

    assert await statuses(5) == await statuses(5)
    assert await statuses(5) != await statuses(6)


async def test_an_answer_takes_its_service_time(http: ClientSession, tmp_path: Path) -> None:
    log = tmp_path / "log"
    slow = Behaviour(latency_median_s=0.05, latency_sigma=0, faults=Faults(slow=2))
    async with SimulatedProvider(slow, log=log) as provider:
        await asyncio.gather(*(chat(http, provider) for _ in range(3)))
    assert all(line["dur_s"] >= 0.099 for line in read_log(log))


async def test_the_log_has_a_line_for_each_request_as_it_ends(http: ClientSession, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with SimulatedProvider(ONE_CALL, log=log) as provider:
        await chat(http, provider, **{"Idempotency-Key": "a-1", "X-Sluicegate-Attempt": "2"})
        await chat(http, provider, **{"X-Sluicegate-Attempt": "second"})
        async with http.post(provider.url + CHAT, data=b"{") as response:
            assert response.status == 400
        async with http.post(provider.url + "/v2", data=b"{") as response:
            assert response.status == 404
        await wait_until(lambda: len(read_log(log)) == 4, "the log is flushed while the provider runs")
    lines = read_log(log)
    assert all(lines[0].pop(name) > 0 for name in ("t", "dur_s"))
    assert lines[0] == {
        "id": "a-1",
        "attempt": 2,
        "path": CHAT,
        "model": "sim-chat",
        "status": 200,
        "kind": "ok",
        "admitted": True,
        "tokens_in": 3,
        "tokens_out": 4,
        "first_s": None,
        "in_flight": 1,
    }
    seen = [(line["status"], line["kind"], line["admitted"], line["id"], line["attempt"]) for line in lines[1:]]
    assert seen == [
        (429, "rate_limited", False, None, None),
        (400, "bad_request", False, None, None),
        (404, "not_found", False, None, None),
    ]


async def test_a_client_that_leaves_is_logged(http: ClientSession, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with SimulatedProvider(Behaviour(latency_median_s=3_600, latency_sigma=0), log=log) as provider:
        waiting = asyncio.create_task(chat(http, provider, **{"Idempotency-Key": "left"}))
        await wait_until(lambda: provider.snapshot()["in_flight"] == 1, "the call arrived")
        waiting.cancel()
        await wait_until(lambda: read_log(log), "the call is logged")
        assert provider.snapshot()["in_flight"] == 0
    (line,) = read_log(log)
    assert (line["id"], line["status"], line["kind"], line["model"]) == ("left", 499, "abandoned", "sim-chat")


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with SimulatedProvider(FAST, log=log) as provider:
        _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.write(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        await wait_until(lambda: provider.snapshot()["in_flight"] == 1, "the call arrived")
        writer.close()
        await writer.wait_closed()
        await wait_until(lambda: read_log(log), "the call is logged")
    assert [(line["status"], line["kind"], line["model"]) for line in read_log(log)] == [(499, "abandoned", None)]


async def test_a_hanging_call_ends_when_its_client_leaves_or_the_provider_stops(
    http: ClientSession, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    provider = SimulatedProvider(Behaviour(latency_median_s=0, faults=Faults(hang=1)), log=log)
    await provider.start()
    calls = [asyncio.create_task(chat(http, provider)) for _ in range(2)]
    await wait_until(lambda: provider.snapshot()["in_flight"] == 2, "both calls arrived")
    calls[0].cancel()
    await wait_until(lambda: provider.snapshot()["in_flight"] == 1, "one client left")
    await provider.stop()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, BaseException) for result in results)
    assert [(line["status"], line["kind"], line["tokens_out"]) for line in read_log(log)] == [(499, "hang", 0)] * 2


async def test_control_over_http_reads_and_changes(http: ClientSession) -> None:
    async with SimulatedProvider(FAST) as provider:
        await chat(http, provider)
        async with http.post(
            provider.url + "/_sim", json={"rpm": 1, "style": "second", "faults": {"hang": 0.5}}
        ) as got:
            changed = await got.json()
        async with http.get(provider.url + "/_sim") as got:
            assert await got.json() == changed == provider.snapshot()
    assert (changed["rpm"], changed["style"], changed["faults"]["hang"]) == (1, "second", 0.5)
    assert (changed["latency_median_s"], changed["in_flight"]) == (0.0, 0)
    assert {kind: count for kind, count in changed["counters"].items() if count} == {"ok": 1}
    assert set(changed) == {*Behaviour.__struct_fields__, "in_flight", "counters"}


@pytest.mark.parametrize(
    "body", [b'{"fail_rate": 0.1, "rps": 5}', b'{"fail_rate": 0.1, "rpm": -1}', b"[]", b"", b"\xff"]
)
async def test_a_bad_change_changes_nothing(http: ClientSession, body: bytes) -> None:
    async with SimulatedProvider(FAST) as provider:
        before = provider.snapshot()
        async with http.post(provider.url + "/_sim", data=body) as response:
            message = (await response.json())["error"]["message"]
            assert response.status == 400
            assert message
            assert "\n" not in message
        assert provider.snapshot() == before


async def test_a_bad_change_in_process_changes_nothing() -> None:
    async with SimulatedProvider(FAST) as provider:
        before = provider.snapshot()
        with pytest.raises(InvalidBehaviour):
            provider.change({"fail_rate": 0.1, "rpm": 0})
        assert provider.snapshot() == before


async def test_changing_something_else_does_not_fill_the_bucket(http: ClientSession) -> None:
    async with SimulatedProvider(ONE_CALL) as provider:
        assert (await chat(http, provider))[0] == 200
        provider.change({"latency_sigma": 1})
        assert (await chat(http, provider))[0] == 429


async def test_a_large_body_is_read_and_a_larger_one_refused(http: ClientSession) -> None:
    async with SimulatedProvider(FAST) as provider:
        large = {"model": "m", "messages": [{"role": "user", "content": "word " * 2_000_000}]}
        async with http.post(provider.url + CHAT, data=io.BytesIO(json.dumps(large).encode())) as response:
            assert (await response.json())["usage"]["prompt_tokens"] == 2_000_000
        async with http.post(provider.url + CHAT, data=io.BytesIO(bytes(65 * 1024 * 1024))) as response:
            assert response.status == 413
            assert (await response.json())["error"]["code"] == "request_too_large"


async def test_headers_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with SimulatedProvider(FAST, log=log) as provider:
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.write(b"GET /%ff HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \xff\xfe\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
        writer.close()
        await writer.wait_closed()
    assert [line["id"] for line in read_log(log)] == ["??"]


async def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    async with SimulatedProvider(FAST) as provider:
        second = SimulatedProvider(FAST, port=provider.port, log=tmp_path / "log")
        with pytest.raises(CannotStart, match=r"already in use; give another --host or --port$"):
            await second.start()


async def test_a_log_that_cannot_be_opened_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"No such file or directory; give another --log$"):
        await SimulatedProvider(FAST, log=tmp_path / "missing" / "log").start()

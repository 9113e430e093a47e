"""How a dispatcher calls: over sockets that break in every way, by handlers, with keys that stay where they are."""

import asyncio
import gzip
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded import find_free_port
from sluicegate_worker.settings import Retry, SettingsError
from support.pools import chat, make_settings
from support.served_pool import PATH
from support.stored import read_everything
from support.upstream import (
    Arrival,
    Behaviour,
    Connection,
    Endless,
    Upstream,
    answer,
    cut,
    echo,
    hang,
    reset_in_body,
    talk_garbage,
)

pytestmark = pytest.mark.usefixtures("at_rest")

SECRET = "sk-planted-0123456789"  # noqa: S105  # it opens nothing
BREAKS = {"cut": cut, "reset in the body": reset_in_body, "garbage": talk_garbage}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_connection_is_one_failed_try(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer, name: str
) -> None:
    upstream.next_up.append(BREAKS[name])
    reply = await producer.request(PATH, chat())
    assert (reply.status, reply.attempts) == (200, 2)
    assert [one.headers["x-sluicegate-attempt"] for one in upstream.arrivals] == ["1", "2"]
    upstream.behaviour = BREAKS[name]
    upstream.arrivals.clear()
    death = await die(producer)
    assert (death.reason, death.status) == ("attempts", None)
    assert len(upstream.arrivals) == 3


async def test_nobody_at_home_is_a_failed_try(redis_url: str, producer: AsyncProducer) -> None:
    async with Dispatcher(make_settings(redis_url, f"http://127.0.0.1:{find_free_port()}/v1")):
        death = await die(producer)
    assert (death.reason, death.status) == ("attempts", None)
    assert "Connect" in str(death.last_error)


async def test_no_answer_in_time_is_a_failed_try(redis_url: str, upstream: Upstream, producer: AsyncProducer) -> None:
    upstream.next_up.append(hang)
    async with Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"timeout_s": 0.2})):
        assert (await producer.request(PATH, chat())).attempts == 2
        upstream.behaviour = hang
        death = await die(producer)
    assert (death.reason, death.last_error) == ("attempts", "no answer within 0.2 s")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("break_off", [cut, reset_in_body])
async def test_nothing_is_sent_again_behind_the_buckets_back(
    redis_url: str, upstream: Upstream, producer: AsyncProducer, method: str, break_off: Behaviour
) -> None:
    """A client that sends again by itself does it where a kept connection breaks, and above all for GET."""
    retry = Retry(max_attempts=1)
    path = "/models" if method == "GET" else PATH
    async with Dispatcher(make_settings(redis_url, upstream.base_url, retry=retry)):
        for number in range(3):
            await producer.request(path, {"n": number}, method=method)
        assert upstream.connections == 1  # it is kept
        upstream.next_up.append(break_off)
        with pytest.raises(RequestDead):
            await producer.request(path, {"n": 3}, method=method, id="r1")
    assert len(upstream.of("r1")) == 1
    assert len(upstream.arrivals) == 4


@pytest.mark.parametrize(
    "said",
    [
        b"200 OK\r\nopenai-organization: Soci\xe9t\xe9\r\n", b"400 X\r\nx-request-id: \xff\r\n",
        b"200 \xe9t\xe9\r\ndate: ao\xfbt\r\ncontent-type: \xff\r\n",
    ],
)  # fmt: skip
async def test_an_answer_is_not_lost_for_what_its_headers_hold(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer, said: bytes
) -> None:
    """Bytes that are no UTF-8: the answer was paid for."""

    async def behave(_: Arrival, connection: Connection) -> None:
        connection.writer.write(b"HTTP/1.1 " + said + b'content-length: 4\r\n\r\n"ok"')
        await connection.writer.drain()

    upstream.behaviour = behave
    reply = await producer.request(PATH, chat())
    assert (reply.status, reply.body, reply.attempts) == (int(said[:3]), b'"ok"', 1)
    assert len(upstream.arrivals) == 1


@pytest.mark.parametrize("depth", [300, 970])
async def test_an_answer_is_not_lost_for_what_its_usage_holds(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer, depth: int
) -> None:
    upstream.behaviour = answer(body=b'{"usage":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}")
    assert (await producer.request(PATH, chat())).attempts == 1


async def test_an_endless_answer_is_cut_off(redis_url: str, upstream: Upstream, producer: AsyncProducer) -> None:
    endless = Endless()
    upstream.next_up.append(endless)
    async with Dispatcher(make_settings(redis_url, upstream.base_url, max_reply_bytes=100_000)):
        death = await die(producer)
        assert (death.reason, death.status) == ("too_large", None)
        assert "100000 bytes" in str(death.last_error)
        assert (await producer.request(PATH, chat())).status == 200  # and the others go on
    assert endless.sent_bytes < 20_000_000  # what the buffers of two sockets hold, and not what there was
    assert len(upstream.arrivals) == 2


async def test_a_packed_answer_is_unpacked_and_measured_so(
    redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    packed = {"content-encoding": "gzip"}
    upstream.next_up.extend(
        [answer(200, gzip.compress(b'{"ok":1}'), packed), answer(200, gzip.compress(bytes(500_000)), packed)]
    )
    async with Dispatcher(make_settings(redis_url, upstream.base_url, max_reply_bytes=100_000)):
        reply = await producer.request(PATH, chat())
        assert reply.json() == {"ok": 1}
        assert "content-encoding" not in reply.headers
        assert (await die(producer)).reason == "too_large"


@pytest.mark.parametrize(
    ("source", "provider", "header", "value", "path"),
    [
        ("api_key_env", "openai", "authorization", f"Bearer {SECRET}", "/chat/completions"),
        ("api_key_file", "azure", "api-key", SECRET, "/openai/deployments/d1/chat/completions"),
        ("api_key_env", "anthropic", "x-api-key", SECRET, "/messages"),
        ("api_key_file", "gemini", "x-goog-api-key", SECRET, "/models/m1:generateContent"),
        ("api_key_env", "bedrock", "authorization", f"Bearer {SECRET}", "/model/m1/converse"),
        ("api_key_file", "generic", "authorization", f"Bearer {SECRET}", "/anything/at/all"),
    ],
)
async def test_the_key_goes_to_the_provider_and_nowhere_else(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, tmp_path: Path, source: str, provider: str, header: str, value: str, path: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PLANTED_KEY", SECRET)
    (tmp_path / "key").write_text(f"{SECRET}\n")
    where = "PLANTED_KEY" if source == "api_key_env" else str(tmp_path / "key")
    leak = f'{{"error":"Incorrect API key provided: {SECRET}"}}'.encode()
    refused = [answer(401, leak)] if provider == "openai" else []  # the breaker then waits for five seconds
    upstream.next_up.extend([answer(500, leak), *refused, answer(200, b"{}", {"x-echo": SECRET})])
    async with Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"provider": provider, source: where})):
        reply = await producer.request(path, chat(), headers={header: "mine", "authorization": "mine"})
        upstream.behaviour = answer(500, leak)
        death = await die(producer, path)
    assert (reply.status, reply.attempts) == (200, 2 + len(refused))
    assert {arrival.headers[header] for arrival in upstream.arrivals} == {value}
    assert all("mine" not in arrival.headers.values() for arrival in upstream.arrivals)
    if provider == "anthropic":
        assert upstream.arrivals[0].headers["anthropic-version"] == "2023-06-01"
    stored = await read_everything(client)
    assert b"Incorrect" in stored  # it is where one would look for the key
    assert SECRET.encode() not in stored
    assert SECRET not in caplog.text + str(death) + str(death.last_error) + repr(reply)


async def test_without_a_key_nothing_is_shown(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    await producer.request(PATH, chat(), headers={"authorization": "Bearer mine", "cookie": "a=b"})
    assert upstream.arrivals[0].headers.keys().isdisjoint({"authorization", "cookie", "x-api-key", "user-agent"})


async def test_cookies_are_not_kept(dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer) -> None:
    upstream.behaviour = answer(headers={"set-cookie": "session=1; path=/"})
    for _ in range(2):
        await producer.request(PATH, chat())
    assert "cookie" not in upstream.arrivals[1].headers


async def test_a_model_has_the_name_that_its_upstream_gives_it(
    redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = echo
    async with Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"model_map": {"small": "dep-7"}})):
        mapped = await producer.request(PATH, b'{"n": 1.0, "model": "small", "t": "\\u00e9 "}')
        as_it_was = await producer.request(PATH, b'{"n": 1.0, "model": "large"}')
    assert mapped.json() == {"n": 1.0, "model": "dep-7", "t": "é "}
    assert b"1.0" in mapped.body
    assert as_it_was.body == b'{"n": 1.0, "model": "large"}'


def handled_by(redis_url: str, name: str, **rules: Any) -> Any:
    return make_settings(redis_url, upstream={"handler": f"support.handlers:{name}", "timeout_s": 0.3}, **rules)


async def test_a_handler_is_called_like_a_provider(redis_url: str, producer: AsyncProducer) -> None:
    async with Dispatcher(handled_by(redis_url, "answer")):
        reply = await producer.request(PATH, {"n": 1}, headers={"traceparent": "00-1", "cookie": "x"})
        refused = await producer.request(PATH, {"status": 404})
    asked: Mapping[str, Any] = reply.json()
    assert (asked["path"], asked["body"]) == (PATH, {"n": 1})
    assert asked["headers"]["idempotency-key"] == reply.id
    assert asked["headers"]["traceparent"] == "00-1"
    assert "cookie" not in asked["headers"]
    assert (reply.status, reply.headers, refused.status) == (200, {"x-request-id": "h1"}, 404)


@pytest.mark.parametrize(
    ("name", "reason", "error"),
    [
        ("fail", "attempts", "RuntimeError: the handler's own trouble, with [redacted]"),
        ("answer_nonsense", "attempts", "ValueError"),
        ("answer_much", "too_large", "100000 bytes"),
        ("never_answer", "attempts", "no answer within 0.3 s"),
    ],
)
async def test_a_handler_may_fail(redis_url: str, producer: AsyncProducer, name: str, reason: str, error: str) -> None:
    async with Dispatcher(handled_by(redis_url, name, max_reply_bytes=100_000)):
        death = await die(producer)
    assert death.reason == reason
    assert error in str(death.last_error)


@pytest.mark.parametrize("handler", ["support.handlers:missing", "support.nothing:answer", "support.handlers:json"])
async def test_a_handler_that_is_not_there_is_said_at_the_start(redis_url: str, handler: str) -> None:
    with pytest.raises(SettingsError, match=handler):
        async with Dispatcher(make_settings(redis_url, upstream={"handler": handler})):
            pass


async def test_calls_run_side_by_side_up_to_their_limit(
    redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    meeting = asyncio.Barrier(7)

    async def meet(arrival: Any, connection: Any) -> None:
        await meeting.wait()
        await echo(arrival, connection)

    upstream.behaviour = meet
    async with Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"max_in_flight": 7})):
        calls = [asyncio.create_task(producer.request(PATH, chat(str(n)), agent=f"a{n}")) for n in range(21)]
        replies = await asyncio.gather(*calls)  # three rounds of seven, or none would end
    assert [json.loads(reply.body) for reply in replies] == [chat(str(number)) for number in range(21)]
    assert upstream.connections <= 7


async def die(producer: AsyncProducer, path: str = PATH) -> RequestDead:
    with pytest.raises(RequestDead) as dead:
        await producer.request(path, chat())
    return dead.value

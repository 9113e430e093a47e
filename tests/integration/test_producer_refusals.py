"""Bad input is refused in one sentence that names the cure, and nothing of it reaches Redis or the provider."""

import math
import re
from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, BacklogFull, InvalidRequest, SluicegateError, WouldMissDeadline
from sluicegate_worker import Dispatcher
from support.pools import chat, make_settings
from support.served_pool import PATH, POOL, apply_settings
from support.stored import read_everything, send
from support.upstream import Upstream, echo

pytestmark = pytest.mark.usefixtures("at_rest")

CREDENTIAL = "sk-planted-0123456789"


class Opaque:
    """Nothing that JSON knows."""


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"model":"small",', "not JSON"),
        (b"[1, 2", "not JSON"),
        (b'{"model":"small"} and more', "not JSON"),
        (b'{"n": NaN}', "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not JSON"),
        (b'{"model":"small","text":"\xff"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ({"model": "small", "text": "x" * 1_000_000}, "at most 1000 .*max_request_bytes"),
        (b'{"text":"' + b"x" * 1_000 + b'"}', "at most 1000 .*max_request_bytes"),
        ({"model": Opaque()}, "cannot be written as JSON"),
        ({"text": "\ud800"}, "cannot be written as JSON"),
        ({Opaque(): 1}, "cannot be written as JSON"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_bad_body_is_refused(redis_url: str, producer: AsyncProducer, body: Any, sentence: str) -> None:
    await apply_settings(make_settings(redis_url, max_request_bytes=1000))
    await assert_refused(producer, sentence, PATH, body)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/v1", "/v1/", "//", "/files", "/v1/files", "/chat", "/chat/completions/", "/chat//completions",
        "/v1/../chat/completions", "/chat/../../admin", "/./chat/completions", "/chat/%2e%2e/x", "http://evil/v1/chat/completions",
        "//evil/chat/completions", "/chat/completions\r\nx: y", "/chat/completions ",
        "/models/\x00", "/" + "a" * 2000, "/chat\\completions",
        None, 7,
    ],
)  # fmt: skip
async def test_a_path_that_the_provider_does_not_have_is_refused(
    redis_url: str, producer: AsyncProducer, path: Any
) -> None:
    await apply_settings(make_settings(redis_url))
    await assert_refused(producer, "path", path, chat())


async def test_paths_go_with_and_without_v1(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    for path in ("/chat/completions", "/v1/chat/completions", "chat/completions", "v1/chat/completions"):
        await producer.request(path, chat())
    await producer.request("/v1/models/small?limit=2", None, method="get")
    assert [(one.method, one.path) for one in upstream.arrivals] == [("POST", "/v1/chat/completions")] * 4 + [
        ("GET", "/v1/models/small?limit=2")
    ]
    assert upstream.arrivals[-1].body == b""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"agent": "a b"}, "agent must be 1 to 64"),
        ({"agent": "a" * 65}, "agent must be 1 to 64"),
        ({"agent": "}x{"}, "agent must be 1 to 64"),
        ({"agent": "ann\n"}, "agent must be 1 to 64"),
        ({"agent": 7}, "agent must be 1 to 64"),
        ({"id": "a:b"}, "id must be 1 to 64"),
        ({"id": ""}, "id must be 1 to 64"),
        ({"key": ""}, "key must be 1 to 256"),
        ({"key": "x" * 257}, "key must be 1 to 256"),
        ({"key": "a\nb"}, "key must be 1 to 256"),
        ({"key": "ä"}, "key must be 1 to 256"),
        ({"deadline": 0}, "deadline is in seconds from now"),
        ({"deadline": -1}, "deadline is in seconds from now"),
        ({"deadline": 1e9}, "deadline is in seconds from now"),
        ({"deadline": math.nan}, "deadline is a number"),
        ({"deadline": "soon"}, "deadline is a number"),
        ({"not_before": -1}, "not_before is in seconds from now"),
        ({"not_before": math.inf}, "not_before is a number"),
        ({"priority": "urgent"}, "priority must be interactive or batch"),
        ({"on_unknown": "guess"}, "on_unknown must be retry or dead"),
        ({"method": "TRACE"}, "method must be"),
        ({"method": "DELETE"}, "DELETE .* is not a path"),
        ({"tokens": -1}, "tokens must be a whole number"),
        ({"tokens": 1.5}, "tokens must be a whole number"),
        ({"tokens": True}, "tokens must be a whole number"),
        ({"headers": {"accept": "a\r\nx: y"}}, "header accept must be printable"),
        ({"headers": {"OpenAI-Beta": "x" * 5000}}, "header openai-beta must be printable"),
        ({"headers": {"traceparent": 7}}, "header traceparent must be printable"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_bad_argument_is_refused(
    redis_url: str, producer: AsyncProducer, arguments: dict[str, Any], sentence: str
) -> None:
    await apply_settings(make_settings(redis_url))
    await assert_refused(producer, sentence, PATH, chat(), **arguments)


async def test_an_agent_must_be_named(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICEGATE_AGENT", raising=False)
    await apply_settings(make_settings(redis_url))
    async with AsyncProducer(redis_url, pool=POOL) as nameless:
        await assert_refused(nameless, "name the agent: .*SLUICEGATE_AGENT", PATH, chat())
    for wrong in ({"pool": "a b"}, {"agent": "a b"}):
        with pytest.raises(InvalidRequest, match="must be 1 to 64"):
            AsyncProducer(redis_url, **wrong)


async def test_tokens_and_bytes_are_taken_as_they_come(
    client: Redis, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = echo
    body = b' {"model" : "small",\n "n": 1e3} '
    ticket = await producer.submit(PATH, body, tokens=1_200, not_before=0.3)
    assert b'"tokens":1200' in await send(client, "HGET", f"sg:{{chat}}:request:{ticket.id}", "head")
    assert (await ticket.reply()).body == body


async def test_headers_pass_by_an_allow_list_and_credentials_never_leave(
    client: Redis, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = echo
    headers = {
        "Authorization": f"Bearer {CREDENTIAL}", "x-api-key": CREDENTIAL, "api-key": CREDENTIAL, "Cookie": CREDENTIAL,
        "Idempotency-Key": CREDENTIAL, "Host": CREDENTIAL, "x-anything": CREDENTIAL, "Traceparent": "00-ab-cd-01",
        "OpenAI-Beta": "assistants=v2", "Accept": "application/json",
    }  # fmt: skip
    ticket = await producer.submit(PATH, chat(), headers=headers, not_before=0.2)
    stored = await read_everything(client)
    assert b"00-ab-cd-01" in stored  # it is kept where one would look for the others
    reply = await ticket.reply()
    stored += await read_everything(client) + b"".join(name.encode() for name in reply.headers.values())
    assert CREDENTIAL.encode() not in stored
    [arrival] = upstream.arrivals
    assert CREDENTIAL not in repr(arrival)
    assert arrival.headers.items() >= {"traceparent": "00-ab-cd-01", "openai-beta": "assistants=v2"}.items()
    assert arrival.headers["accept"] == "application/json"


async def test_a_full_backlog_says_when_to_come_back(redis_url: str, producer: AsyncProducer) -> None:
    await apply_settings(make_settings(redis_url, upstream={"rpm": 60}, max_backlog_per_agent=2, max_backlog=3))
    tickets = [await producer.submit(PATH, chat()) for _ in range(2)]
    with pytest.raises(BacklogFull, match="max_backlog_per_agent") as refused:
        await producer.submit(PATH, chat())
    assert refused.value.retry_after_s >= 1
    tickets.append(await producer.submit(PATH, chat(), agent="bob"))
    with pytest.raises(BacklogFull, match=r"the pool's backlog \(max_backlog") as refused:
        await producer.submit(PATH, chat(), agent="cy")
    assert refused.value.retry_after_s >= 1
    for ticket in tickets:
        await ticket.cancel()
    await (await producer.submit(PATH, chat())).cancel()  # there is room again


async def test_a_full_backlog_counts_bytes_too(redis_url: str, producer: AsyncProducer) -> None:
    await apply_settings(make_settings(redis_url, max_backlog_bytes=1_000))
    first = await producer.submit(PATH, {"text": "x" * 600})
    with pytest.raises(BacklogFull, match="max_backlog_bytes"):
        await producer.submit(PATH, {"text": "x" * 600})
    await first.cancel()
    await (await producer.submit(PATH, {"text": "x" * 600})).cancel()


async def test_a_deadline_that_the_backlog_cannot_meet_is_refused(redis_url: str, producer: AsyncProducer) -> None:
    await apply_settings(make_settings(redis_url, upstream={"rpm": 60}))
    tickets = [await producer.submit(PATH, chat()) for _ in range(5)]
    assert [ticket.position for ticket in tickets] == [1, 2, 3, 4, 5]
    with pytest.raises(WouldMissDeadline, match="allow it longer") as refused:
        await producer.submit(PATH, chat(), deadline=3)
    assert 5 < refused.value.eta_s < 10
    with pytest.raises(WouldMissDeadline):
        await producer.submit(PATH, chat(), not_before=20, deadline=10)
    for ticket in tickets:
        await ticket.cancel()


async def assert_refused(producer: AsyncProducer, sentence: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(SluicegateError) as refused:
        await producer.submit(*arguments, **options)
    assert isinstance(refused.value, InvalidRequest)
    message = str(refused.value)
    assert re.search(sentence, message), message
    assert len(message) < 700
    assert message.isprintable()

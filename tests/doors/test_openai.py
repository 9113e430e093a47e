"""OpenAI's SDK over the queue gives what it gives over the network: answers, streams, and errors by their classes."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pydantic
import pytest

from sluicegate import AsyncProducer
from sluicegate_worker import Dispatcher
from support.doors import KINDS, Door, open_door
from support.pools import chat, make_settings
from support.sdk_answers import (
    CALL,
    chat_chunk,
    completion,
    openai_error,
    response,
    response_events,
    tell,
    tell_events,
    tool_chunks,
)
from support.served_pool import PATH, apply_settings
from support.streaming import DONE, Streamed
from support.upstream import Upstream, hang

pytestmark = pytest.mark.usefixtures("at_rest")

CREATE = "chat.completions.create"
TOOLS = [{"type": "function", "function": {"name": CALL["name"], "parameters": {"type": "object"}}}]
TOOL_CALL = {"id": "call_1", "type": "function", "function": CALL}


class City(pydantic.BaseModel):
    name: str
    rivers: list[str]


@pytest.fixture(params=KINDS)
async def door(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Door]:
    async with open_door("openai", request.param, redis_url) as opened:
        yield opened


async def test_chat(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell(completion({"content": "Aare"}), x_request_id="req_7")
    answered = await door.call(CREATE, **chat("Name a river."))
    assert answered.choices[0].message.content == "Aare"
    assert (answered.usage.total_tokens, answered._request_id) == (8, "req_7")  # noqa: SLF001  # the SDK's own way
    [arrival] = upstream.arrivals
    assert (arrival.method, arrival.path) == ("POST", "/v1/chat/completions")
    assert json.loads(arrival.body) == chat("Name a river.")


async def test_an_answer_says_which_request_it_was(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell(completion({"content": "Aare"}))
    raw = await door.call("chat.completions.with_raw_response.create", **chat())
    assert raw.headers["x-sluicegate-id"] == upstream.arrivals[0].headers["idempotency-key"]
    assert "x-sluicegate-error" not in raw.headers
    assert json.loads(raw.http_response.content) == completion({"content": "Aare"})


async def test_responses(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell(response("Aare"))
    assert (await door.call("responses.create", model="small", input="Name a river.")).output_text == "Aare"
    assert upstream.arrivals[0].path == "/v1/responses"


async def test_embeddings(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    vector = {"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    upstream.behaviour = tell({"object": "list", "data": [vector], "model": "small", "usage": usage})
    answered = await door.call("embeddings.create", model="small", input="Aare", encoding_format="float")
    assert answered.data[0].embedding == [0.25, -1.0]


async def test_models_are_asked_for_without_a_body(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell({"id": "small", "object": "model", "created": 1, "owned_by": "us"})
    assert (await door.call("models.retrieve", model="small")).owned_by == "us"
    assert (upstream.arrivals[0].method, upstream.arrivals[0].body) == ("GET", b"")


async def test_a_streamed_chat_comes_while_it_is_made(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    told = Streamed()
    upstream.next_up.append(told)
    told.send(chat_chunk({"role": "assistant", "content": "Aa"}))
    stream = await door.call(CREATE, **chat(stream=True))
    first = await door.take(stream)  # the provider has sent no more than this
    assert first.choices[0].delta.content == "Aa"
    told.send(chat_chunk({"content": "re"}) + chat_chunk({}, "stop") + DONE)
    told.end()
    assert [chunk.choices[0].delta.content for chunk in await door.collect(stream)] == ["re", None]


async def test_streamed_responses(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell_events(response_events("Aa", "re"))
    events = await door.collect(await door.call("responses.create", model="small", input="x", stream=True))
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["Aa", "re"]
    assert events[-1].response.output_text == "Aare"


async def test_tools(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell(completion({"content": None, "tool_calls": [TOOL_CALL]}, "tool_calls"))
    answered = await door.call(CREATE, **chat(tools=TOOLS))
    assert answered.choices[0].message.tool_calls[0].to_dict() == TOOL_CALL
    assert json.loads(upstream.arrivals[0].body)["tools"] == TOOLS


async def test_streamed_tools(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell_events(tool_chunks())
    chunks = await door.collect(await door.call(CREATE, **chat(tools=TOOLS, stream=True)))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].function.name == CALL["name"]
    assert "".join(call.function.arguments for call in calls) == CALL["arguments"]


async def test_structured_output(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell(completion({"content": '{"name":"Bern","rivers":["Aare"]}'}))
    answered = await door.call("chat.completions.parse", **chat(response_format=City))
    assert answered.choices[0].message.parsed == City(name="Bern", rivers=["Aare"])
    assert json.loads(upstream.arrivals[0].body)["response_format"]["json_schema"]["name"] == "City"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
    ],
)
async def test_an_error_of_the_callers_own_is_the_providers(
    dispatcher: Dispatcher, upstream: Upstream, door: Door, status: int, kind: type[openai.APIStatusError]
) -> None:
    upstream.behaviour = tell(
        openai_error("no such model", "unknown"), status, x_request_id="req_9", openai_version="7"
    )
    error = await fail(door, kind)
    assert (error.status_code, error.request_id, error.code) == (status, "req_9", "unknown")
    assert error.body == openai_error("no such model", "unknown")["error"]
    assert error.response.headers["openai-version"] == "7"
    assert "x-sluicegate-error" not in error.response.headers
    assert len(upstream.arrivals) == 1


async def test_an_error_before_a_stream_is_an_error(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell(openai_error("no such model", "unknown"), 404, x_request_id="req_9")
    assert (await fail(door, openai.NotFoundError, stream=True)).request_id == "req_9"


async def test_what_the_provider_failed_to_the_last_is_its_error(
    dispatcher: Dispatcher, upstream: Upstream, door: Door
) -> None:
    upstream.behaviour = tell(openai_error("broken", "server_error"), 500)
    error = await fail(door, openai.InternalServerError)
    assert (error.status_code, error.response.headers["x-sluicegate-error"]) == (500, "RequestDead")
    assert len(upstream.arrivals) == 3


async def test_a_full_backlog_is_a_rate_limit(redis_url: str, door: Door, producer: AsyncProducer) -> None:
    await apply_settings(make_settings(redis_url, upstream={"rpm": 60}, max_backlog_per_agent=1))
    ticket = await producer.submit(PATH, chat())
    error = await fail(door, openai.RateLimitError)
    assert error.response.headers["x-sluicegate-error"] == "BacklogFull"
    assert float(error.response.headers["retry-after"]) >= 1
    assert "max_backlog_per_agent" in error.message
    await ticket.cancel()


async def test_the_time_out_is_the_deadline(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = hang
    with pytest.raises(openai.APITimeoutError):
        await door.call(CREATE, **chat(), timeout=0.5)


async def test_what_cannot_be_sent_is_a_bad_request(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    with pytest.raises(openai.BadRequestError, match="/files is no path that waits in a queue") as refused:
        await door.call("files.list")
    assert refused.value.response.headers["x-sluicegate-error"] == "InvalidRequest"
    assert upstream.arrivals == []


async def fail(door: Door, kind: type[openai.APIStatusError], **fields: Any) -> Any:
    with pytest.raises(kind) as failed:
        await door.call(CREATE, **chat(**fields))
    assert type(failed.value) is kind
    return failed.value

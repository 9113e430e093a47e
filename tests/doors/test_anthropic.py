"""Anthropic's SDK over the queue gives what it gives over the network."""

import json
from collections.abc import AsyncIterator

import anthropic
import pytest

from sluicegate_worker import Dispatcher
from support.doors import KINDS, Door, open_door
from support.pools import chat, make_settings
from support.sdk_answers import anthropic_error, message, message_events, tell, tell_events
from support.upstream import Upstream, hang

pytestmark = pytest.mark.usefixtures("at_rest")

ASK = chat("Name a river.", max_tokens=100)
TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bern"}}


@pytest.fixture(params=KINDS)
async def door(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Door]:
    async with open_door("anthropic", request.param, redis_url) as opened:
        yield opened


@pytest.fixture
async def dispatcher(redis_url: str, upstream: Upstream) -> AsyncIterator[Dispatcher]:
    """Serves pool `chat` from an upstream that is Anthropic's."""
    settings = make_settings(redis_url, upstream.base_url, upstream={"provider": "anthropic"})
    async with Dispatcher(settings) as running:
        yield running


async def test_messages(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell(message([{"type": "text", "text": "Aare"}]), request_id="req_7")
    answered = await door.call("messages.create", **ASK)
    assert answered.content[0].text == "Aare"
    assert (answered.usage.input_tokens, answered._request_id) == (5, "req_7")  # noqa: SLF001  # the SDK's own way
    [arrival] = upstream.arrivals
    assert (arrival.path, json.loads(arrival.body)) == ("/v1/messages", ASK)
    assert arrival.headers["anthropic-version"] == door.client.default_headers["anthropic-version"]


async def test_tools(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell(message([TOOL_USE], "tool_use"))
    tool = {"name": "get_weather", "input_schema": {"type": "object"}}
    answered = await door.call("messages.create", **ASK, tools=[tool])
    assert (answered.stop_reason, answered.content[0].input) == ("tool_use", {"city": "Bern"})


async def test_a_streamed_message(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell_events(message_events("Aa", "re"))
    events, whole = await door.follow("messages.stream", **ASK)
    assert [event.text for event in events if event.type == "text"] == ["Aa", "re"]
    assert (whole.content[0].text, whole.stop_reason) == ("Aare", "end_turn")
    assert json.loads(upstream.arrivals[0].body)["stream"] is True


async def test_tokens_are_counted(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = tell({"input_tokens": 14})
    assert (await door.call("messages.count_tokens", **chat())).input_tokens == 14
    assert upstream.arrivals[0].path == "/v1/messages/count_tokens"


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (404, "not_found_error", anthropic.NotFoundError),
        (422, "invalid_request_error", anthropic.UnprocessableEntityError),
    ],
)
async def test_an_error_of_the_callers_own_is_the_providers(
    dispatcher: Dispatcher, upstream: Upstream, door: Door, status: int, name: str, kind: type[anthropic.APIStatusError]
) -> None:
    upstream.behaviour = tell(anthropic_error(name, "no such model"), status, request_id="req_9")
    with pytest.raises(kind) as failed:
        await door.call("messages.create", **ASK)
    assert (failed.value.status_code, failed.value.request_id) == (status, "req_9")
    assert failed.value.body == anthropic_error(name, "no such model")
    assert "x-sluicegate-error" not in failed.value.response.headers


async def test_what_the_provider_failed_to_the_last_is_its_error(
    dispatcher: Dispatcher, upstream: Upstream, door: Door
) -> None:
    upstream.behaviour = tell(anthropic_error("api_error", "broken"), 500)
    with pytest.raises(anthropic.InternalServerError) as failed:
        await door.call("messages.create", **ASK)
    assert failed.value.response.headers["x-sluicegate-error"] == "RequestDead"


async def test_a_refusal_of_sluicegate_has_anthropics_shape(
    dispatcher: Dispatcher, upstream: Upstream, door: Door
) -> None:
    with pytest.raises(
        anthropic.BadRequestError, match="no path that waits in a queue: ask the provider directly"
    ) as refused:
        await door.call("messages.batches.list")
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["type"] == "error"
    assert refused.value.response.headers["x-sluicegate-error"] == "InvalidRequest"


async def test_the_time_out_is_the_deadline(dispatcher: Dispatcher, upstream: Upstream, door: Door) -> None:
    upstream.behaviour = hang
    with pytest.raises(anthropic.APITimeoutError):
        await door.call("messages.create", **ASK, timeout=0.5)

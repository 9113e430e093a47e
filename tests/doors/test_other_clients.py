"""What others built on OpenAI's API calls through the queue, each in an environment of its own."""

import json

import pytest

from sluicegate_worker import Dispatcher
from support.environments import run_program
from support.sdk_answers import chat_chunk, completion, tell, tell_events
from support.streaming import DONE
from support.upstream import Arrival, Connection, Upstream

pytestmark = [pytest.mark.full, pytest.mark.timeout(600), pytest.mark.usefixtures("at_rest")]


async def answer_chat(arrival: Arrival, connection: Connection) -> None:
    """A river, whole or in two pieces."""
    pieces = [chat_chunk({"role": "assistant", "content": "Aa"}), chat_chunk({"content": "re"}, "stop"), DONE]
    streamed = json.loads(arrival.body).get("stream")
    await (tell_events(pieces) if streamed else tell(completion({"content": "Aare"})))(arrival, connection)


@pytest.mark.parametrize(
    ("environment", "came", "calls"),
    [
        ("openai-1", [["Aare", "Aa", "re"]] * 2, 4),
        ("langchain", ["Aare"] * 3, 3),
        ("pydantic-ai", ["Aare"] * 2, 2),
    ],
)
async def test_it_gets_what_the_provider_sent(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, environment: str, came: object, calls: int
) -> None:
    upstream.behaviour = answer_chat
    assert await run_program(environment, redis_url) == came
    assert [arrival.path for arrival in upstream.arrivals] == ["/v1/chat/completions"] * calls

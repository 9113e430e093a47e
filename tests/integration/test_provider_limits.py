"""Four dispatchers and each kind of provider over HTTP, by its own log: hardly a 429, hardly a call too many."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sluicegate import AsyncProducer, Reply
from sluicegate_worker.simulator.log import Record
from support.processes import start_dispatcher, start_simulator, write_settings
from support.served_pool import POOL
from support.waiting import wait_until

pytestmark = [pytest.mark.alone, pytest.mark.full, pytest.mark.usefixtures("at_rest")]

AGENTS = 25
OPEN_PER_AGENT = 3
WORDS = "the gate opens a little and the water goes through as evenly as it can "


def ask_openai(number: int) -> tuple[str, dict[str, Any]]:
    """Between forty and a hundred and twenty tokens in, and ten to fifty out."""
    text = WORDS * (2 + number % 5)
    messages = [{"role": "user", "content": f"{number} {text}"}]
    return "/chat/completions", {"model": "sim", "messages": messages, "max_tokens": 10 + 8 * (number % 6)}


def ask_anthropic(number: int) -> tuple[str, dict[str, Any]]:
    _, body = ask_openai(number)
    return "/messages", body


async def serve(
    directory: Path, redis_url: str, provider: str, limits: Mapping[str, int], seconds: float, *options: str
) -> tuple[list[Record], list[Reply], float]:
    """Keeps four dispatchers busy for so long. Returns the calls by the provider's log, the replies, and the start."""
    flags = [word for name, limit in limits.items() for word in (f"--{name}", str(limit))]
    ask = ask_anthropic if provider == "anthropic" else ask_openai
    with ExitStack() as running:
        simulator = running.enter_context(
            start_simulator(directory, limits["rpm"], *flags[2:], "--profile", provider, *options)
        )
        lines = [f"{name} = {limit}" for name, limit in limits.items()]
        file = write_settings(redis_url, simulator.base_url, *lines, provider=provider)
        for _ in range(4):
            running.enter_context(start_dispatcher(directory, file))
        began_at = time.time()
        async with AsyncProducer(redis_url, pool=POOL) as producer:

            async def keep_asking(agent: int) -> list[Reply]:
                replies: list[Reply] = []
                while time.time() < began_at + seconds:
                    path, body = ask(agent * 7 + len(replies))
                    replies.append(await producer.request(path, body, agent=f"a{agent % AGENTS}"))
                return replies

            asked = await asyncio.gather(*(keep_asking(agent) for agent in range(AGENTS * OPEN_PER_AGENT)))
        replies = [reply for some in asked for reply in some]
        sent = sum(reply.attempts for reply in replies)
        await wait_until(lambda: simulator.count() >= sent, "all calls are in the log")
        return simulator.calls(), replies, began_at


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("provider", "style", "limits"),
    [
        ("openai", "second", {"rpm": 1_200, "tpm": 150_000}),
        ("azure", "ten-seconds", {"rpm": 1_200, "tpm": 150_000}),
        ("anthropic", "bucket", {"rpm": 1_200, "itpm": 90_000, "otpm": 12_000}),
    ],
)
async def test_hardly_anything_is_refused(
    redis_url: str, tmp_path: Path, provider: str, style: str, limits: dict[str, int]
) -> None:
    calls, replies, _ = await serve(tmp_path, redis_url, provider, limits, 40, "--style", style)
    statuses = Counter(call.status for call in calls)
    assert {reply.status for reply in replies} == {200}
    assert statuses[429] <= 0.001 * statuses.total(), statuses
    assert len(calls) <= 1.02 * len(replies)
    assert max(use(calls, limits).values()) >= 0.93  # of the limit; the first moments are not busy


def use(calls: list[Record], limits: Mapping[str, int]) -> dict[str, float]:
    """What was used of each limit in the time of the calls, as a share."""
    minutes = (max(call.t for call in calls) - min(call.t for call in calls)) / 60
    tokens_in, tokens_out = (sum(getattr(call, name) for call in calls) for name in ("tokens_in", "tokens_out"))
    used = {"rpm": len(calls), "tpm": tokens_in + tokens_out, "itpm": tokens_in, "otpm": tokens_out}
    return {name: used[name] / minutes / limit for name, limit in limits.items()}


@pytest.mark.timeout(300)
async def test_who_shares_the_key_is_left_its_share(redis_url: str, tmp_path: Path) -> None:
    """Another client takes 40 % of a minute that slides; the first minute is for finding that out."""
    rpm, seconds = 1_200, 180
    options = ("--style", "sliding-minute", "--sharer", "0.4")
    calls, replies, began_at = await serve(tmp_path, redis_url, "openai", {"rpm": rpm}, seconds, *options)
    later = Counter(call.status for call in calls if began_at + 60 <= call.t < began_at + seconds)
    assert {reply.status for reply in replies} == {200}
    assert later[429] < 0.02 * later.total(), later
    assert later[200] >= 0.88 * 0.6 * rpm / 60 * (seconds - 60), later

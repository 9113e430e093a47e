"""A request that kills its dispatcher is buried after three crashes; those that were beside it are all answered."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead, Ticket
from support.fleet import SEES_HANDLERS, Fleet, list_held, name_of
from support.leaks import assert_at_rest
from support.pools import chat
from support.processes import is_up, write_settings
from support.served_pool import PATH, POOL
from support.stored import read_dead_letters, send
from support.waiting import wait_until

pytestmark = pytest.mark.alone


class Danger:
    """Requests to `endanger`: what they say goes to a log of calls; the innocent wait until the gate opens."""

    def __init__(self, directory: Path, producer: AsyncProducer) -> None:
        self._log, self._gate, self._producer = directory / "calls", directory / "gate", producer

    @property
    def calls(self) -> Counter[str]:
        return (
            Counter(line.split()[0] for line in self._log.read_text().splitlines()) if self._log.exists() else Counter()
        )

    async def submit(self, do: str, count: int = 1) -> list[Ticket]:
        body = chat(do=do, log=str(self._log), gate=str(self._gate))
        return list(await asyncio.gather(*(self._producer.submit(PATH, body, agent=f"a{n % 5}") for n in range(count))))

    async def have_been_called(self, tickets: list[Ticket], times: int, timeout_s: float = 20) -> None:
        await wait_until(
            lambda: all(self.calls[ticket.id] >= times for ticket in tickets),
            f"all were called {times} times",
            timeout_s,
        )

    def open_the_gate(self) -> None:
        self._gate.touch()


@pytest.fixture
def danger(tmp_path: Path, producer: AsyncProducer) -> Danger:
    return Danger(tmp_path, producer)


@pytest.fixture
def fleet(tmp_path: Path, client: Redis, redis_url: str) -> Fleet:
    file = write_settings(redis_url, "support.handlers:endanger", "rpm = 60000", rules=["lease_s = 1"])
    return Fleet(tmp_path, client, file, SEES_HANDLERS)


async def assert_poison(client: Redis, ticket: Ticket) -> None:
    with pytest.raises(RequestDead) as death:
        await ticket.reply(40)
    assert death.value.reason == "poison"
    [letter] = await read_dead_letters(client)
    assert (letter["id"], letter["reason"]) == (ticket.id, "poison")


async def test_poison_dies_after_three_crashes_and_the_innocent_live(
    client: Redis, danger: Danger, fleet: Fleet
) -> None:
    async with fleet, fleet.replacing_the_dead():
        await fleet.start()
        innocent = await danger.submit("wait", 10)
        await danger.have_been_called(innocent, 1)
        [poison] = await danger.submit("die")
        await wait_until(lambda: fleet.deaths == 2, "it has killed two", 30)
        danger.open_the_gate()
        await assert_poison(client, poison)
        replies = await asyncio.gather(*(ticket.reply(40) for ticket in innocent))
        assert {reply.status for reply in replies} == {200}
        await wait_until(lambda: fleet.deaths == 3, "the third has been replaced")
    assert danger.calls[poison.id] == 3
    await assert_at_rest(client, POOL)


async def test_poison_dies_though_the_one_chosen_for_it_drains(client: Redis, danger: Danger, fleet: Fleet) -> None:
    async with fleet:
        await fleet.start()
        async with fleet.replacing_the_dead():
            [poison] = await danger.submit("die")
            await wait_until(
                lambda: fleet.deaths == 2 and fleet.running and is_up(fleet.running[0]), "it killed two", 30
            )
            held = await danger.submit("wait")  # keeps whoever is chosen from calling the poison at once
            await danger.have_been_called(held, 1)
        [chosen] = fleet.running

        async def is_chosen() -> bool:
            return await chosen_for_poison(client) == await name_of(client, chosen)

        await wait_until(is_chosen, "it is chosen for the third call")
        chosen.process.terminate()
        danger.open_the_gate()
        assert await chosen.end() == 0
        async with fleet.replacing_the_dead():
            await assert_poison(client, poison)
        assert {(await ticket.reply()).status for ticket in held} == {200}
    assert danger.calls[poison.id] == 3
    await assert_at_rest(client, POOL)


async def chosen_for_poison(client: Redis) -> str | None:
    chosen = await send(client, "HGET", "sg:{chat}:sched", "lone_dispatcher")
    return None if chosen is None else chosen.decode()


async def test_fifty_innocents_survive_two_crashes_in_company(client: Redis, danger: Danger, fleet: Fleet) -> None:
    async with fleet:
        [first] = await fleet.start()
        tickets = await danger.submit("wait", 50)
        await danger.have_been_called(tickets, 1)
        assert len(await list_held(client, first)) == 50
        await fleet.kill(first)
        [second] = await fleet.start()
        await danger.have_been_called(tickets, 2)
        await fleet.kill(second)
        danger.open_the_gate()
        await fleet.start(2)
        replies = await asyncio.gather(*(ticket.reply(40) for ticket in tickets))
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 3)}
    assert set(danger.calls.values()) == {3}
    await assert_at_rest(client, POOL)

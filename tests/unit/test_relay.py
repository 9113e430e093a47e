"""A streamed answer on its way: what is said of it when, and what becomes of its call when nobody waits."""

import asyncio

import pytest

from sluicegate_worker.relay import PIECE_BYTES_MAX, NobodyWaits, Relay
from sluicegate_worker.rows import Leased
from sluicegate_worker.upstream.call import Answer

LEASED = Leased("1-0", "r1", 0, "a", "interactive", "ann", 0, 2, 0, 0, b"", b"", "", 0, -1)
HEAD = b'{"status":200,"headers":{}}\n'


def make_relay() -> tuple[Relay, list[bool]]:
    """And whether it was urgent, each time that it stirred."""
    urgent: list[bool] = []
    relay = Relay(LEASED, "p1", urgent.append)
    relay.begin(200, {"server": "not passed"})
    return relay, urgent


def test_pieces_have_their_place_and_the_first_its_head() -> None:
    relay, urgent = make_relay()
    relay.feed(b"one")
    first = relay.make_row(0)
    assert first is not None
    assert (first.at, first.piece) == ("2:0", HEAD + b"one")
    relay.hear("passed", first)
    relay.feed(b"two")
    second = relay.make_row(0)
    assert second is not None
    assert (second.at, second.piece) == ("2:3", b"two")
    assert urgent == [True, False]


def test_a_large_piece_is_several_rows() -> None:
    relay, _ = make_relay()
    relay.feed(b"x" * (PIECE_BYTES_MAX + 1))
    sizes = []
    while relay.is_behind:
        row = relay.make_row(0)
        assert row is not None
        sizes.append(len(row.piece))
        relay.hear("passed", row)
    assert sizes == [len(HEAD) + PIECE_BYTES_MAX, 1]


def test_what_found_no_room_is_said_again_and_what_nobody_wants_never() -> None:
    relay, _ = make_relay()
    relay.feed(b"one")
    row = relay.make_row(0)
    assert row is not None
    relay.hear("full", row)
    assert (relay.has_room, relay.is_behind) == (False, True)
    assert relay.make_question(b"one") == row
    relay.hear("mute", row)
    assert not relay.is_behind


@pytest.mark.parametrize("word", ["ended", "gone"])
async def test_where_nobody_waits_before_the_call_it_is_not_made(word: str) -> None:
    made: list[str] = []

    async def call() -> Answer:
        made.append("call")
        return Answer(200, {}, b"")

    relay, _ = make_relay()
    relay.hear(word, relay.make_question())
    with pytest.raises(NobodyWaits) as left:
        await relay.listen(call())
    assert (made, left.value.called) == ([], False)


async def test_where_nobody_waits_any_more_the_call_is_ended() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def call() -> Answer:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Answer(200, {}, b"")

    relay, _ = make_relay()
    listening = asyncio.create_task(relay.listen(call()))
    await begun.wait()
    relay.leave()
    with pytest.raises(NobodyWaits) as left:
        await listening
    assert (ended.is_set(), left.value.called) == (True, True)

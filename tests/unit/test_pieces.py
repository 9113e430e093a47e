"""Pieces of a streamed answer come in order, once each, and of one call only."""

import pytest

from sluicegate.pieces import Pieces
from sluicegate.wire import Reply

HEAD = b'{"status":200,"headers":{"a":"b"}}\n'


def make_reply(body: bytes, attempts: int = 1) -> Reply:
    return Reply("r1", 200, {}, body, "ann", "a", attempts, 0.0, 0.0, None)


def make_pieces(*pieces: tuple[int, int, bytes]) -> Pieces:
    made = Pieces()
    for attempt, offset, piece in pieces:
        made.add(attempt, offset, piece)
    return made


def test_pieces_are_put_together() -> None:
    pieces = make_pieces((1, 0, HEAD + b"one"), (1, 3, b"two"))
    assert pieces.head is not None
    assert (pieces.head.status, pieces.head.headers, pieces.attempt) == (200, {"a": "b"}, 1)
    assert (pieces.take(), pieces.take()) == (b"onetwo", b"")


@pytest.mark.parametrize("again", [(1, 0, HEAD + b"one"), (1, 3, b"two"), (1, 1, b"netwothr")])
def test_what_came_before_is_not_taken_again(again: tuple[int, int, bytes]) -> None:
    pieces = make_pieces((1, 0, HEAD + b"one"), (1, 3, b"two"), again)
    taken = pieces.take()
    assert b"onetwothr".startswith(taken)
    assert len(taken) == max(6, again[1] + len(again[2]) - (len(HEAD) if again[1] == 0 else 0))


def test_what_is_missing_is_not_covered_up() -> None:
    pieces = make_pieces((1, 0, HEAD + b"one"), (1, 6, b"three"))
    assert pieces.take() == b"one"
    assert pieces.take_rest(make_reply(b"onetwothree")) == b"twothree"


def test_a_second_call_takes_the_place_of_one_of_which_nothing_was_taken() -> None:
    pieces = make_pieces((1, 0, HEAD + b"one"), (2, 0, HEAD + b"two"), (1, 3, b"late"))
    assert (pieces.take(), pieces.attempt, pieces.is_broken) == (b"two", 2, False)


def test_a_second_call_breaks_off_what_was_begun() -> None:
    pieces = make_pieces((1, 0, HEAD + b"one"))
    pieces.take()
    pieces.add(2, 0, HEAD + b"two")
    assert (pieces.take(), pieces.is_broken) == (b"", True)


def test_the_answer_of_another_call_is_no_rest() -> None:
    pieces = make_pieces((1, 0, HEAD + b"one"))
    pieces.take()
    for other in (make_reply(b"onetwo", attempts=2), make_reply(b"on")):
        with pytest.raises(ValueError, match="another call"):
            pieces.take_rest(other)


def test_where_nothing_was_taken_any_answer_is_the_whole() -> None:
    assert make_pieces((1, 0, HEAD + b"one")).take_rest(make_reply(b"two", attempts=2)) == b"two"
    assert Pieces().take_rest(make_reply(b"all")) == b"all"


def test_what_has_no_head_is_no_piece() -> None:
    with pytest.raises(ValueError, match="JSON"):
        make_pieces((1, 0, b"one"))
    assert make_pieces((1, 5, b"one")).take() == b""

"""A trigger's parameters: read, checked, and refused with the cure."""

import pytest

from sluicegate_worker.scaler.demand import Agenting, Dispatching
from sluicegate_worker.scaler.wish import InvalidWish, Wish, read_wish

DISPATCHERS = {"pool": "chat", "signal": "dispatchers"}
AGENTS = {"pool": "chat", "signal": "agents", "rpmPerAgent": "6"}


def test_what_is_left_out_has_its_default() -> None:
    assert read_wish(DISPATCHERS) == Wish("chat", Dispatching(200, 30.0), 0, None)
    assert read_wish(AGENTS) == Wish("chat", Agenting(6.0, None, "remaining", 30.0, 120.0), 0, None)


def test_everything_can_be_said_beside_what_keda_keeps_for_itself() -> None:
    keda = {"scalerAddress": "scaler:6000", "metricType": "AverageValue"}
    bounds = {"min": "2", "max": "9"}
    wish = read_wish(DISPATCHERS | keda | bounds | {"concurrency": "50", "drainSeconds": "10"})
    assert wish == Wish("chat", Dispatching(50, 10.0), 2, 9)
    rest = {"tpmPerAgent": "900", "direction": "used", "riseSeconds": "0", "drainSeconds": "5"}
    assert read_wish(AGENTS | bounds | rest).terms == Agenting(6.0, 900.0, "used", 5.0, 0.0)
    assert wish.metric == "sluicegate-chat-dispatchers"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({}, "signal must be dispatchers or agents"),
        (DISPATCHERS | {"pool": "a b"}, "pool must name a pool"),
        (
            DISPATCHERS | {"concurency": "5"},
            "'concurency' is no parameter of signal dispatchers; did you mean concurrency?",
        ),
        (DISPATCHERS | {"rpmPerAgent": "5"}, "no parameter of signal dispatchers"),
        (DISPATCHERS | {"zzz\x1b[2J": "5"}, "'zzz\\x1b[2J' is no parameter"),
        (DISPATCHERS | {"concurrency": "many"}, "concurrency must be a whole number from 1 to 10_000"),
        (DISPATCHERS | {"concurrency": "0"}, "concurrency must be a whole number"),
        (DISPATCHERS | {"drainSeconds": "nan"}, "drainSeconds must be a number from 0.001 to 86_400"),
        (DISPATCHERS | {"min": "5", "max": "4"}, "max must be at least min, which is 5"),
        ({"pool": "chat", "signal": "agents"}, "rpmPerAgent or tpmPerAgent must say what one agent needs"),
        (AGENTS | {"direction": "up"}, "direction must be remaining or used"),
        (AGENTS | {"rpmPerAgent": "1e999"}, "rpmPerAgent must be a number"),
    ],
)
def test_what_is_wrong_is_said(parameters: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidWish) as refused:
        read_wish(parameters)
    assert sentence in str(refused.value)

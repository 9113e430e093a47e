"""The checker of the service bound finds what exceeds it, and nothing else."""

from collections.abc import Iterable

from support.service import ROUNDING_US, Event, find_unfair

STEP_US = 10_000.0
BOTH_WAIT = (Event("waits", "ann"), Event("waits", "bob"))


def serve(agents: Iterable[str], step_us: float = STEP_US) -> list[Event]:
    return [Event("served", agent, step_us) for agent in agents]


def test_in_turn_is_fair() -> None:
    assert find_unfair([*BOTH_WAIT, *serve(["ann", "bob"] * 20)]) == 0


def test_one_request_of_each_is_the_most_that_two_may_differ_by() -> None:
    assert find_unfair([*BOTH_WAIT, *serve(["ann", "bob", "bob", "ann"])]) == 0
    assert find_unfair([*BOTH_WAIT, *serve(["ann", "bob", "bob", "ann", "ann"])]) == 0
    assert find_unfair([*BOTH_WAIT, *serve(["ann", "bob", "bob", "bob"])]) == STEP_US - ROUNDING_US


def test_a_dear_request_is_followed_by_many_cheap_ones() -> None:
    dear, cheap = serve(["ann"], 5 * STEP_US), serve(["bob"] * 5)
    assert find_unfair([*BOTH_WAIT, *serve(["bob"]), *dear, *cheap, *dear]) == 0
    assert find_unfair([*BOTH_WAIT, *serve(["bob"]), *dear, *cheap, *serve(["bob"])]) > 0


def test_what_was_served_while_the_other_did_not_wait_does_not_count() -> None:
    alone = [Event("waits", "ann"), *serve(["ann"] * 9), Event("waits", "bob")]
    assert find_unfair([*alone, *serve(["bob", "ann"])]) == 0
    assert find_unfair([*alone, *serve(["bob"] * 3)]) > 0
    away = [Event("rests", "ann"), *serve(["bob"] * 3), Event("waits", "ann")]
    assert find_unfair([*alone, *away, *serve(["ann"])]) == 0


def test_what_is_charged_out_of_turn_is_made_up_for() -> None:
    retried = [*BOTH_WAIT, *serve(["bob", "ann"]), Event("moved", "ann", 5 * STEP_US)]
    assert find_unfair([*retried, *serve(["bob"] * 6)]) == 0
    assert find_unfair([*retried, *serve(["bob"] * 8)]) > 0
    forgotten = [*BOTH_WAIT, *[*serve(["bob", "ann"]), Event("moved", "ann", STEP_US)] * 9]
    assert find_unfair(forgotten) > 0


def test_what_is_given_back_is_served_again() -> None:
    given_back = [*BOTH_WAIT, *serve(["bob", "ann"]), Event("moved", "ann", -STEP_US)]
    assert find_unfair([*given_back, *serve(["ann", "bob", "ann"])]) == 0
    assert find_unfair([*BOTH_WAIT, *[*serve(["bob", "ann"]), Event("moved", "ann", -STEP_US)] * 9]) > 0

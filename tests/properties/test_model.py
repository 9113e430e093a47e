"""I1, I2, I3 and the places in a small model of delivery: two dispatchers, two requests, events in every order.

And what each safeguard is for: the shortest history that does harm without it.

I3 as counted here also says that nothing is paid for twice without a crash or a stall: only those allow another call.
"""

from dataclasses import fields, replace

import pytest

from support.delivery_model import Safeguards, World, find_contradiction
from support.delivery_moves import Moves, State, merge_alike
from support.state_search import Found, search

ALL = Safeguards()


def find_trouble(before: State, move: str, after: State) -> str:
    for number, (was, now) in enumerate(zip(before[0], after[0], strict=True)):
        was_outcome, outcome = was[2], now[2]
        if was_outcome and outcome != was_outcome and not move.startswith("replay"):
            return f"I2: request {number} was {was_outcome} and became {outcome or 'unfinished'}"
    return find_contradiction(World.thaw(after))


def is_rest(state: State) -> bool:
    requests, calls, _, _, run, in_flight, _ = state
    return all(request[2] for request in requests) and not any(calls) and not run and in_flight == 0


def explore(safeguards: Safeguards, requests: int, faults: int, on_unknown_dead: tuple[int, ...] = ()) -> Found:
    moves = Moves(safeguards, requests=requests, faults=faults, on_unknown_dead=on_unknown_dead)
    found = search(moves.start, moves, find_trouble, is_rest, merge_alike)
    said = f"{requests} requests, {faults} faults: {found.states} states searched. {found.trouble}"
    print(said, *found.path, sep="\n  ")  # noqa: T201  # for who asks with -rP, or reads of a failure
    return found


@pytest.mark.parametrize(
    ("requests", "faults"),
    [(1, 3), (2, 1), pytest.param(1, 5, marks=pytest.mark.full), pytest.param(2, 2, marks=pytest.mark.full)],
)
@pytest.mark.timeout(600)
def test_no_order_of_events_leads_to_a_bad_state(requests: int, faults: int) -> None:
    assert explore(ALL, requests, faults).trouble == ""


def test_who_would_rather_not_pay_twice_never_does() -> None:
    assert explore(ALL, 1, 3, on_unknown_dead=(0,)).trouble == ""
    assert explore(ALL, 2, 1, on_unknown_dead=(1,)).trouble == ""


# What the shortest way to harm violates, when that one safeguard is missing.
HARM = {
    "idempotent_enqueue": "places",
    "retry_fence": "places",
    "bury_fence": "places",
    "first_result_wins": "I2",
    "result_ends_the_wait": "places",
    "late_slot": "I3",
    "exchange_renews": "in flight",
    "grace": "in flight",
    "reclaims": "I1",
    "reclaim_moves": "fence",
    "reclaim_releases_ended": "places",
    "renew_checks_owner": "in flight",
    "hand_back_waits": "in flight",
    "count_with_entry": "counters",
    "cancelled_stays": "in flight",
    "replay_only_dead": "places",
    "on_unknown": "I3",
}


@pytest.mark.parametrize("missing", [field.name for field in fields(Safeguards)])
def test_without_any_one_safeguard_there_is_a_bad_state(missing: str) -> None:
    found = explore(replace(ALL, **{missing: False}), 1, 2, on_unknown_dead=(0,) if missing == "on_unknown" else ())
    assert found.trouble.startswith(HARM[missing]), found
    assert found.path

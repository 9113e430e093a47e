"""What is made of the snapshot script's answer where a server would have to be waited for."""

from typing import Any

import msgspec
import pytest

from sluicegate_worker.observe.snapshot import PoolState, describe_pool, split_dispatcher
from sluicegate_worker.policy_settings import Policy, UpstreamPolicy

NOW_US = 1_700_000_000_000_000
POLICY = msgspec.json.encode(Policy(upstreams=(UpstreamPolicy(name="a", provider="openai", rpm=600, headroom=0),)))


def describe(**changes: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {name: [] for name in ("dispatchers", "flights", "reasons", "agents", "upstreams")}
    state = PoolState(
        now_us=NOW_US,
        version=b"1",
        policy=POLICY,
        waiting=b"0",
        in_flight=0,
        delayed=0,
        dead=0,
        next_due_us=b"",
        agents_interactive=0,
        agents_batch=0,
        waiting_cost_us=b"0",
        held=0,
        gap_us=b"0",
        **nothing,
    )
    return describe_pool("chat", state._replace(**changes), agents_top=20)


@pytest.mark.parametrize(("idle_ms", "alive"), [(0, True), (7_900, True), (8_100, False), (10_000_000, False)])
def test_a_dispatcher_that_is_silent_for_long_is_not_alive(idle_ms: int, alive: bool) -> None:
    (dispatcher,) = describe(dispatchers=[b"host-1-ab@0.1.0", 0, idle_ms, b""])["dispatchers"]
    assert dispatcher == {"id": "host-1-ab", "alive": alive, "in_flight": 0, "oldest_s": None, "version": "0.1.0"}


def test_a_dispatcher_of_an_unknown_version_keeps_its_name() -> None:
    assert split_dispatcher(b"someone") == ("someone", "unknown")
    assert split_dispatcher(b"a@b@1") == ("a@b", "1")


def test_what_is_overdue_or_ahead_of_the_clock_is_not_negative() -> None:
    pool = describe(next_due_us=str(NOW_US - 5).encode(), agents=[b"interactive", b"a", 1, b"9999999999999-0", b"0"])
    assert (pool["next_due_s"], pool["oldest_waiting_s"]) == (0, 0)


def test_an_agent_with_calls_in_flight_alone_is_listed_last() -> None:
    pool = describe(
        waiting=b"1",
        waiting_cost_us=b"100000",
        agents_interactive=1,
        agents=[b"interactive", b"zoe", 1, b"1699999999000-0", b"100000"],
        flights=[b"batch", b"ann", b"batch", b"ann", b"", b"gone"],
    )
    first, second = pool["agents"]
    assert (first["agent"], first["eta_s"], first["oldest_s"], first["served_cost_s"]) == ("zoe", 0.1, 1, 0.1)
    assert (second["agent"], second["in_flight"], second["eta_s"], second["oldest_s"]) == ("ann", 2, None, None)


def test_an_agent_in_both_lanes_is_one() -> None:
    rows = [lane for name in (b"interactive", b"batch") for lane in (name, b"a", 1, b"1-0", b"0")]
    assert describe(agents=rows, agents_interactive=1, agents_batch=1)["agents_waiting"] == 1


def test_a_pause_that_is_over_has_no_reason() -> None:
    upstreams = [b"a", [b"pause_until_us", str(NOW_US - 1).encode(), b"pause_reason", b"rate"], 0]
    (upstream,) = describe(upstreams=upstreams)["upstreams"]
    assert (upstream["pause_s"], upstream["pause_reason"]) == (0, None)

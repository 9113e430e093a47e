"""All rules of the traffic control at once: the accounts agree after each step, and all is answered in the end."""

from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.policy_settings import Breaker, Policy
from sluicegate_worker.rows import Leased
from support.properties import PROPERTY
from support.scripts import SECOND_US, Bench, make_policy, make_upstream
from support.traffic import LONG_S, assert_agrees

AGENTS = ("ann", "bob")
FAULTS = ("failure", "overload", "rate", "ramp", "quota", "credentials", "")
RULES = Breaker(failures=2, share=0.3)


def make_rules(
    rpm: float | None, tpm: float | None, rpd: float | None, cap: int | None, tokens: float | None
) -> Policy:
    """Two upstreams, of which the second has no limits but in flight."""
    first = make_upstream("a", rpm=rpm, tpm=tpm, rpd=rpd, burst_s=0.1)
    return make_policy(
        upstreams=(first, make_upstream("b", provider="anthropic", rpm=6000, max_in_flight=2)),
        max_in_flight_per_agent=cap, max_tokens_per_agent=tokens, tokens_window_s=60, breaker=RULES, deadline_s=LONG_S,
        weights={"a*": 2, "[bc]??": 0.5},
    )  # fmt: skip


POLICIES = st.builds(
    make_rules,
    st.sampled_from([None, 600, 6000]),
    st.sampled_from([None, 60_000]),
    st.sampled_from([None, 5]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, 200]),
)
LEASE = st.tuples(st.just("lease"), st.sampled_from(["d1", "d2"]), st.integers(1, 6))
AT = st.integers(0, 9)
MOVES = st.lists(
    st.one_of(
        st.tuples(
            *(st.just("submit"), st.sampled_from(AGENTS), st.integers(1, 4)),
            *(st.sampled_from(["interactive", "interactive", "batch"]), st.integers(-1, 90)),
        ),
        LEASE,
        LEASE,
        st.tuples(st.just("settle"), AT),
        st.tuples(st.just("retry"), AT, st.sampled_from(FAULTS), st.booleans()),
        st.tuples(st.sampled_from(["settle", "bury", "cancel", "exchange", "replay"]), AT),
        st.tuples(st.just("hold"), st.sampled_from(["", "a", "b"]), st.booleans()),
        st.tuples(st.just("apply"), POLICIES),
        st.tuples(st.just("wait"), st.sampled_from([1, 50_000, SECOND_US, 7 * SECOND_US, 70 * SECOND_US])),
        st.tuples(st.just("back"), st.sampled_from([1, 3 * SECOND_US])),
    ),
    min_size=15,
    max_size=60,
)


class Moves:
    """What may happen, each under the name that `MOVES` gives it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def _pick(self, at: int) -> list[Leased]:
        """One that was leased, whatever became of it since; nothing where none was."""
        leased = list(self._bench.leased.values())
        return leased and [leased[at % len(leased)]]

    async def submit(self, agent: str, count: int, lane: str, tokens: int) -> None:
        await self._bench.submit(agent, count, lane=lane, tokens_in=abs(tokens), tokens_out=tokens)

    async def lease(self, dispatcher: str, count: int) -> None:
        await self._bench.lease(dispatcher, count=count)

    async def settle(self, at: int) -> None:
        usage, reported = f"{at * 9} {at} {at * 9} {at}", f"rpm 5000 {at} 1000000"
        await self._bench.settle(*self._pick(at), usage=usage, reported=reported)

    async def bury(self, at: int) -> None:
        await self._bench.bury(*self._pick(at))

    async def replay(self, at: int) -> None:
        await self._bench.replay(*(leased.id for leased in self._pick(at)))

    async def exchange(self, at: int) -> None:
        await self._bench.exchange(*self._pick(at))

    async def cancel(self, at: int) -> None:
        await self._bench.cancel(f"r{at + 1}")

    async def retry(self, at: int, fault: str, sent: bool) -> None:
        fault = fault if sent else ""
        await self._bench.retry(*self._pick(at), fault=fault, sent=sent, delay_us=at * SECOND_US)

    async def hold(self, upstream: str, held: bool) -> None:
        await self._bench.hold(upstream, held=held)

    async def apply(self, policy: Policy) -> None:
        await self._bench.apply(policy)

    async def wait(self, step_us: int) -> None:
        self._bench.advance(step_us)

    async def back(self, step_us: int) -> None:
        self._bench.now_us -= step_us


@PROPERTY
@given(policy=POLICIES, moves=MOVES)
async def test_accounts_agree_after_each_step_and_all_is_answered(
    bench: Bench, policy: Policy, moves: list[tuple[object, ...]]
) -> None:
    await bench.begin_again(policy)
    player = Moves(bench)
    for kind, *arguments in moves:
        await getattr(player, str(kind))(*arguments)
        await assert_agrees(bench)
    for upstream in ("", "a", "b"):
        await bench.hold(upstream, held=False)
    await bench.apply(make_policy(rpm=None, deadline_s=LONG_S))
    await bench.come_to_rest()

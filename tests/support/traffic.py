"""What the tests of the traffic control set up and read: pools with limits of tokens, debts, entries in flight."""

from typing import Any

from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.rows import Leased
from support.consistency import find_contradictions
from support.contents import read_contents
from support.packed import parse_entry
from support.scripts import POOL, START_US, Bench, make_policy, make_upstream

TPM = 60_000  # of a bench with limits of tokens
TOKEN_US = 1_000  # what a token costs then
LONG_S = 400_000  # a deadline that no test reaches


def make_token_policy(*, provider: str = "generic", rules: dict[str, Any] | None = None, **limits: Any) -> Policy:
    """One upstream `a`, without a limit of requests unless `limits` has one."""
    chosen = {"rpm": None, "tpm": TPM} | limits
    upstream = make_upstream("a", provider=provider, **chosen)
    return make_policy(upstreams=(upstream,), **{"deadline_s": LONG_S, **(rules or {})})


def write_usage(tokens_in: int, tokens_out: int = 0) -> str:
    """The provider counted what was really used."""
    return f"{tokens_in} {tokens_out} {tokens_in} {tokens_out}"


async def read_entry(bench: Bench, leased: Leased) -> dict[str, str]:
    """What its entry of `run` says."""
    [(_, fields)] = await bench.redis.xrange(bench.keys.fixed("run"), leased.fence, leased.fence)
    return parse_entry(fields)


async def read_debt_us(bench: Bench, dimension: str = "tpm", upstream: str = "a") -> int:
    """When the debt is paid, after the bench's start."""
    return int(await bench.of_upstream(f"tat_us:{dimension}", upstream) or START_US) - START_US


async def take_slots(bench: Bench, count: int = 200) -> list[int]:
    """The slots of a lease, after the bench's start."""
    return [leased.slot_us - START_US for leased in (await bench.lease(count=count)).leased]


async def assert_agrees(bench: Bench) -> None:
    """Among other things: at each upstream reserved = settled + leased."""
    assert find_contradictions(await read_contents(bench.redis), POOL) == []

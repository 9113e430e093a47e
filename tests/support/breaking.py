"""An upstream whose calls fail until its breaker opens, and the calls that find out whether it is well again."""

from typing import Any

from sluicegate_worker.policy_settings import Breaker
from sluicegate_worker.rows import Leased
from support.scripts import PRICE_US, SECOND_US, Bench

RULES = Breaker(failures=3, share=0.5, open_s=1, cap_s=5)


async def call(bench: Bench, fault: str | None = None, **ended: Any) -> Leased:
    """Makes one call, which is answered or else ends by a fault and is not made again."""
    bench.advance(PRICE_US)
    await bench.submit()
    [leased] = await bench.take()
    await end(bench, leased, fault, **ended)
    return leased


async def end(bench: Bench, leased: Leased, fault: str | None = None, **ended: Any) -> None:
    if fault is None:
        await bench.settle(leased)
    else:
        await bench.retry(leased, fault=fault, **ended)
        await bench.cancel(leased.id)
    bench.leased.pop(leased.fence, None)


async def read_breaker(bench: Bench, upstream: str = "a") -> tuple[str, float]:
    """Why it is open, if it is, and for how many seconds more."""
    reason, until_us = [await bench.of_upstream(field, upstream) for field in ("breaker_reason", "open_until_us")]
    return (reason, (int(until_us or 0) - bench.now_us) / SECOND_US) if reason else ("", 0)


async def open_breaker(bench: Bench) -> None:
    for _ in range(3):
        await call(bench, "failure")


async def lease_probe(bench: Bench) -> Leased:
    """When the breaker's time is over, with others that have to wait."""
    _, open_s = await read_breaker(bench)
    bench.advance(max(0, int(open_s * SECOND_US)))
    await bench.submit("ann", 3)
    [probe] = (await bench.lease(count=3)).leased
    return probe

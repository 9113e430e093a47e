"""Time that passes while somebody speaks, and dispatchers that are never heard of again."""

from support.scripts import SECOND_US, Bench


async def live(bench: Bench, seconds: float, dispatcher: str = "alive") -> None:
    """Time passes, in which somebody speaks."""
    for _ in range(round(seconds / 2)):
        bench.advance(2 * SECOND_US)
        await bench.lease(dispatcher, count=0)


async def crash(bench: Bench, times: int = 1) -> None:
    """The one request is leased by somebody who is never heard of again."""
    for number in range(times):
        await bench.take(dispatcher=f"crashed-{number}")
        await live(bench, 14)

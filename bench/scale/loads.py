"""The loads: many dispatchers at one rate, large bodies, many pools on a cluster."""

from bench.scale.runs import Load
from bench.throughput.contender import SETTINGS, make_ours

RPM = 24_000  # what a large customer's limit is; far below what one dispatcher can do
DISPATCHERS = (1, 4, 16, 64)
BODY_BYTES = (1_000, 10_000, 100_000, 1_000_000)
BODIES_AT_ONCE_BYTES = 20_000_000  # of all outstanding requests together
OUTSTANDING = 200
POOLS = (1, 4, 16)

_HEAD, _POOL = SETTINGS.split("[pools.bench]")


def load_dispatchers(seconds: float) -> list[Load]:
    """The rate is the policy's, so that all have the same work."""
    ours = make_ours(SETTINGS.replace("rpm = 60_000_000", f"rpm = {RPM}"))
    return [
        Load(_count(count, "dispatcher"), ours, f"closed:{OUTSTANDING}:{seconds:g}", count) for count in DISPATCHERS
    ]


def load_bodies(seconds: float) -> list[Load]:
    """As fast as it goes, there and back."""
    settings = SETTINGS.replace("[pools.bench]\n", "[pools.bench]\nmax_request_bytes = 2_000_000\n")
    return [
        Load(
            f"{size:,} bytes",
            make_ours(settings, BENCH_BODY_BYTES=str(size)),
            f"closed:{min(OUTSTANDING, BODIES_AT_ONCE_BYTES // size)}:{seconds:g}",
        )
        for size in BODY_BYTES
    ]


def load_pools(seconds: float) -> list[Load]:
    """As fast as it goes; one dispatcher serves all pools."""
    return [
        Load(
            _count(count, "pool"),
            make_ours(_HEAD + "".join(_name_pool(number) for number in range(count)), BENCH_POOLS=str(count)),
            f"closed:{OUTSTANDING}:{seconds:g}",
            cluster=True,
        )
        for count in POOLS
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _name_pool(number: int) -> str:
    name = f"bench-{number}" if number else "bench"
    return f"[pools.{name}]" + _POOL.replace("[[pools.bench.", f"[[pools.{name}.")

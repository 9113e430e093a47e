"""From what is known of a pool to a number of replicas; pure.

Dispatchers, by Little's law: calls in flight = calls a second × how long a call takes (N = λ·L). What is wanted is the
throughput of now and so much more that what waits is gone within `drain_s`, but never more than the buckets can feed:
beyond that a further dispatcher only waits with the others. So

    D = min(R, λ + waiting ÷ drain_s)       N wanted = D·L       replicas = N ÷ (C × FILL), at most ⌈R·L ÷ C⌉ + 1

with C calls in flight in one dispatcher. Who scales rounds up; the number itself is not rounded, for an HPA leaves as
they are replicas within a tenth of what is wanted, and of whole numbers it would take each chance of the traffic for a
change. R is what the paced rates allow, pauses and open breakers left out: they end,
and a dispatcher that was taken away for them would be missing then.

Agents: as many as the remaining quota carries, usable ÷ what one agent needs, in whichever dimension is scarcest.
Usable is the paced rate of the upstreams that take calls now; of a limit a day no more an hour than is left of it,
since that is counted by the hour; and where the backlog takes longer than `drain_s` to work off, less in proportion.
"""

from collections.abc import Sequence
from math import ceil, floor, inf
from typing import Literal

from msgspec import Struct

FILL = 0.8  # of a dispatcher's places: one that is full keeps what it was leased for waiting
_MINUTE_S = 60.0
_HOUR_MINUTES = 60.0
_PLACES = 3  # of a quantity in Kubernetes
_SLACK = 1e-9  # for quotients that are whole but for the last bit

Signal = Literal["dispatchers", "agents"]
Direction = Literal["remaining", "used"]


class Feed(Struct, frozen=True):
    """One upstream. Rates are per minute, None where there is no limit; `left` is what is left of a limit a day.
    `open` is false while it is paused or its breaker is not closed."""

    paced_rpm: float | None
    paced_tpm: float | None
    calls_left: float | None
    tokens_left: float | None
    open: bool


class Look(Struct, frozen=True):
    """A pool at one moment. `rpm` and `tpm` are what is sent now, `tokens` the tokens of a call of late, None where
    nothing is known of that."""

    waiting: int
    delayed: int
    in_flight: int
    backlog_s: float
    rpm: float
    tpm: float
    tokens: float | None
    feeds: tuple[Feed, ...]

    @property
    def is_busy(self) -> bool:
        return self.waiting + self.delayed + self.in_flight > 0


class Dispatching(Struct, frozen=True):
    """`concurrency`: calls in flight in one dispatcher."""

    concurrency: int = 200
    drain_s: float = 30.0


class Agenting(Struct, frozen=True):
    """What one agent needs a minute; at least one of the two. `rise_s`: how long more must have been possible before
    it is said."""

    rpm: float | None = None
    tpm: float | None = None
    direction: Direction = "remaining"
    drain_s: float = 30.0
    rise_s: float = 120.0


def want_dispatchers(look: Look, call_s: float | None, terms: Dispatching) -> float:
    """`call_s` is how long calls take on average, None while none was seen. At least 1 while there is work."""
    least = 1 if look.is_busy else 0
    if call_s is None or not look.is_busy:
        return least
    feed_per_s = sum(_feed_rpm(feed, look.tokens) for feed in look.feeds) / _MINUTE_S
    wanted_per_s = min(feed_per_s, look.rpm / _MINUTE_S + look.waiting / terms.drain_s)
    wanted = round(wanted_per_s * call_s / (terms.concurrency * FILL), _PLACES)
    most = inf if feed_per_s == inf else _ceil(feed_per_s * call_s / terms.concurrency) + 1
    return max(least, min(wanted, most))


def want_agents(looks: Sequence[Look], terms: Agenting) -> int | None:
    """`looks` are those of the last `rise_s`, the newest last: fast down, slow up. None where nothing limits them."""
    wanted = min(_carried(look, terms) for look in looks)
    if wanted == inf:
        return None
    return max(1 if looks[-1].is_busy else 0, int(wanted))


def mean_call_s(looks: Sequence[Look]) -> float | None:
    """How long calls take, by Little's law: mean in flight ÷ mean rate, of looks at even distances."""
    rate_per_s = sum(look.rpm for look in looks) / _MINUTE_S
    return sum(look.in_flight for look in looks) / rate_per_s if rate_per_s > 0 else None


def _feed_rpm(feed: Feed, tokens: float | None) -> float:
    """How many calls a minute its bucket feeds, once it is open."""
    by_calls = inf if feed.paced_rpm is None else feed.paced_rpm
    by_tokens = inf if feed.paced_tpm is None or not tokens else feed.paced_tpm / tokens
    return min(by_calls, by_tokens)


def _carried(look: Look, terms: Agenting) -> float:
    """How many agents, before anything is smoothed; infinity where nothing limits them."""
    if terms.direction == "used":
        used = ((look.rpm, terms.rpm), (look.tpm, terms.tpm))
        return max(_ceil(rate / need) for rate, need in used if need)
    carried = inf
    if terms.rpm:
        carried = sum(_usable(feed, feed.paced_rpm, feed.calls_left) for feed in look.feeds) / terms.rpm
    if terms.tpm:
        carried = min(carried, sum(_usable(feed, feed.paced_tpm, feed.tokens_left) for feed in look.feeds) / terms.tpm)
    if look.backlog_s > terms.drain_s:
        carried *= terms.drain_s / look.backlog_s
    return carried if carried == inf else floor(carried + _SLACK)


def _usable(feed: Feed, paced: float | None, left: float | None) -> float:
    """A minute."""
    if not feed.open:
        return 0.0
    return min(inf if paced is None else paced, inf if left is None else max(0.0, left) / _HOUR_MINUTES)


def _ceil(number: float) -> int:
    return ceil(number - _SLACK)

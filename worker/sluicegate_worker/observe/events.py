"""The catalogue of what happens in a dispatcher. Logs, metrics and traces subscribe to it; nothing else logs or counts.

Each event is a struct of plain values. Its `LEVEL` and `SENTENCE` are how a log tells it; those that come with every
request are DEBUG ones. What comes from outside is redacted before it gets here.
"""

import logging
from collections.abc import Callable
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import asdict

from sluicegate_worker.outcome import DeadReason, Fault
from sluicegate_worker.upstream.trace_context import TraceContext

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

Loop = Literal["lease", "renew", "relay", "write"]
Outcome = Literal["settled", "retried", "buried", "cut", "handed_back"]


class Event(Struct, frozen=True, kw_only=True):
    LEVEL: ClassVar[int] = DEBUG
    SENTENCE: ClassVar[str] = ""

    def say(self) -> str:
        return self.SENTENCE.format(**asdict(self))


# -- the dispatcher ----------------------------------------------------------------------------------------------------


class DispatcherStarted(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = INFO, "{dispatcher} serves {pools}"
    dispatcher: str
    pools: str
    concurrency: int


class ProbesAnswered(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = INFO, "/livez, /readyz and /metrics are at port {port}"
    port: int


class DispatcherDraining(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = INFO, "draining: {in_flight} in flight"
    in_flight: int


class DispatcherStopped(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = INFO, "{dispatcher} has stopped; what was in flight has its outcome"
    dispatcher: str


class PoolLeftInSilence(Event, frozen=True, kw_only=True):
    """Nothing depends on the goodbye: the turns of who left end by themselves."""

    LEVEL, SENTENCE = WARNING, "pool {pool}: left without a goodbye: {trouble}"
    pool: str
    trouble: str


# -- settings and policy -----------------------------------------------------------------------------------------------


class StoreNotDurable(Event, frozen=True, kw_only=True):
    LEVEL = WARNING
    SENTENCE = "{place} keeps no append-only file: what waits is lost if it restarts; set appendonly yes"
    place: str


class PolicyDiffers(Event, frozen=True, kw_only=True):
    LEVEL = WARNING
    SENTENCE = (
        "pool {pool}: the policy in Redis differs from this file and is followed; `sluicegate pool apply` changes it"
    )
    pool: str


class UpstreamsUnused(Event, frozen=True, kw_only=True):
    LEVEL = WARNING
    SENTENCE = "pool {pool}: upstreams only in the file or only in Redis are not used from here: {upstreams}"
    pool: str
    upstreams: str


class UpstreamUnlimited(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = WARNING, "pool {pool}: upstream {upstream} has no rpm or tpm, so nothing limits it"
    pool: str
    upstream: str


# -- Redis -------------------------------------------------------------------------------------------------------------


class Leased(Event, frozen=True, kw_only=True):
    """Redis answered a lease; `took_s` is the whole round trip."""

    SENTENCE = "pool {pool}: {count} leased in {took_s:.4f} s"
    pool: str
    count: int
    took_s: float


class StoreTrouble(Event, frozen=True, kw_only=True):
    """A loop could not do its part and tries again; the first time it is news."""

    SENTENCE = "pool {pool} {what}, trying again: {trouble}"
    pool: str
    loop: Loop
    what: str
    trouble: str
    first: bool


class StoreBack(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = INFO, "pool {pool} {what}"
    pool: str
    loop: Loop
    what: str


class LoopFailed(Event, frozen=True, kw_only=True):
    """Ours to mend: the loop goes on, and its log has the exception."""

    LEVEL, SENTENCE = ERROR, "the {loop} loop of pool {pool} failed, trying again"
    pool: str
    loop: Loop


class OutcomesGivenUp(Event, frozen=True, kw_only=True):
    LEVEL = ERROR
    SENTENCE = "pool {pool}: {what} could not be written or read for {given_up_after_s:.0f} s : given up: {trouble}"
    pool: str
    what: str
    given_up_after_s: float
    trouble: str


class PoolDamaged(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = ERROR, "pool {pool} was damaged by other hands: {found}"
    pool: str
    found: str


class PoolNotMended(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = ERROR, "pool {pool} could not be mended: {trouble}"
    pool: str
    trouble: str


class EntriesUndecodable(Event, frozen=True, kw_only=True):
    LEVEL, SENTENCE = ERROR, "{count} entries of pool {pool} cannot be read: now dead letters"
    pool: str
    count: int


# -- one request -------------------------------------------------------------------------------------------------------


class RequestEvent(Event, frozen=True, kw_only=True):
    """What all events about one request have."""

    pool: str
    request: str
    agent: str


class RequestSent(RequestEvent, frozen=True, kw_only=True):
    """A call begins. `queued_s` is from enqueue to now."""

    SENTENCE = "request {request} of agent {agent} is sent to {upstream}"
    upstream: str
    lane: str
    attempt: int
    queued_s: float


class SlotMissed(RequestEvent, frozen=True, kw_only=True):
    """By more than may be; the request asks for another."""

    SENTENCE = "request {request} missed its slot by {late_s:.3f} s"
    upstream: str
    late_s: float


class AttemptEnded(RequestEvent, frozen=True, kw_only=True):
    """What became of a lease. `called` is false for what was handed back unsent; `status` is None without an answer;
    `queued_s` is from enqueue to send; `context` is the call's trace, where traces are kept;
    `first_byte_s` is None unless a streamed answer came; tokens are None where the provider said nothing of them."""

    SENTENCE = "request {request} of agent {agent} is {outcome} after {duration_s:.3f} s at {upstream}"
    upstream: str
    provider: str
    model: str
    attempt: int
    outcome: Outcome
    called: bool
    status: int | None
    duration_s: float
    path: str = ""
    queued_s: float = 0.0
    context: TraceContext | None = None
    streamed: bool = False
    first_byte_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


class UpstreamRefused(RequestEvent, frozen=True, kw_only=True):
    """For the key's sake: its rate, its quota, its credentials, or an overload."""

    LEVEL, SENTENCE = WARNING, "upstream {upstream} refuses ({fault}): {trouble}"
    upstream: str
    fault: Fault
    trouble: str
    pause_s: float


class RequestRetried(RequestEvent, frozen=True, kw_only=True):
    """`fault` is empty for nobody's."""

    SENTENCE = "request {request} of agent {agent} is tried again after {delay_s:.3f} s: {trouble}"
    upstream: str
    fault: Fault
    trouble: str
    delay_s: float


class RequestBuried(RequestEvent, frozen=True, kw_only=True):
    LEVEL, SENTENCE = WARNING, "request {request} of agent {agent} is dead ({reason}): {trouble}"
    upstream: str
    reason: DeadReason
    trouble: str


class RequestUndecodable(RequestEvent, frozen=True, kw_only=True):
    LEVEL, SENTENCE = ERROR, "request {request} of agent {agent} cannot be decoded and goes to the dead letters"


class AnswerLate(RequestEvent, frozen=True, kw_only=True):
    LEVEL, SENTENCE = WARNING, "the answer to request {request} came after its outcome and is dropped"


class LeaseLost(RequestEvent, frozen=True, kw_only=True):
    LEVEL = WARNING
    SENTENCE = "request {request} was taken from this dispatcher, which was out of touch; its call goes on"


class RequestTakenOver(RequestEvent, frozen=True, kw_only=True):
    LEVEL = WARNING
    SENTENCE = "request {request} was taken over while this dispatcher stalled; it is not sent from here"


class RequestLeft(RequestEvent, frozen=True, kw_only=True):
    LEVEL = ERROR
    SENTENCE = "request {request} stays in flight for another to take back, for Redis is away: {trouble}"
    trouble: str


class AttemptBroke(RequestEvent, frozen=True, kw_only=True):
    """Ours to mend: the log has the exception."""

    LEVEL, SENTENCE = ERROR, "the attempt of request {request} broke off"


Subscriber = Callable[[Event, BaseException | None], None]


class Events:
    """Tells each event to all who subscribed, in this order; none of them may stop the others, or what happened.
    `traced`: one of them keeps traces, so that each call is to have a span of its own."""

    def __init__(self, *subscribers: Subscriber, traced: bool = False) -> None:
        self._subscribers = subscribers
        self.traced = traced
        self._broken: set[Subscriber] = set()

    def tell(self, event: Event, error: BaseException | None = None) -> None:
        """`error` is an exception that nobody expected, for the log to show."""
        for subscriber in self._subscribers:
            try:
                subscriber(event, error)
            except Exception:
                if subscriber not in self._broken:  # said once: it would be said with every call
                    self._broken.add(subscriber)
                    logging.getLogger("sluicegate.dispatcher").exception("%r cannot take %r", subscriber, event)

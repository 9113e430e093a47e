"""What happens to single requests, told as events."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sluicegate_worker.observe import events as told
from sluicegate_worker.observe.events import Events
from sluicegate_worker.outcome import Bury, Cut, Outcome, Retry, Settle
from sluicegate_worker.redaction import redact
from sluicegate_worker.rows import Leased
from sluicegate_worker.upstream.accounting import read_spent
from sluicegate_worker.upstream.trace_context import TraceContext, begin_span


class Course(NamedTuple):
    """How an attempt went, by the monotonic clock; `sent_at` is 0 for what was not sent, `first_byte_s` is None unless
    a streamed answer has begun."""

    model: str | None = None
    path: str = ""
    queued_s: float = 0.0
    context: TraceContext | None = None
    sent_at: float = 0.0
    duration_s: float = 0.0
    streamed: bool = False
    first_byte_s: float | None = None


UNSENT = Course()


class RequestReports:
    """Of one pool; `providers` says by upstream whose dialect it speaks."""

    def __init__(self, events: Events, pool: str, providers: Mapping[str, str]) -> None:
        self._events, self._pool, self._providers = events, pool, providers

    def begin_span(self, traceparent: str | None) -> TraceContext | None:
        """Of the call that is about to be made; None where nobody keeps traces, and the agent's own goes on."""
        return begin_span(traceparent) if self._events.traced else None

    def undecodable(self, leased: Leased) -> None:
        self._events.tell(told.RequestUndecodable(**self._about(leased)))

    def slot_missed(self, leased: Leased, late_s: float) -> None:
        self._events.tell(told.SlotMissed(**self._about(leased), upstream=leased.upstream, late_s=late_s))

    def taken_over(self, leased: Leased) -> None:
        self._events.tell(told.RequestTakenOver(**self._about(leased)))

    def sent(self, leased: Leased, queued_s: float) -> None:
        where = {"upstream": leased.upstream, "lane": leased.lane}
        self._events.tell(told.RequestSent(**self._about(leased), **where, attempt=leased.sends, queued_s=queued_s))

    def broke(self, leased: Leased, error: BaseException) -> None:
        self._events.tell(told.AttemptBroke(**self._about(leased)), error)

    def left(self, leased: Leased, error: BaseException) -> None:
        self._events.tell(told.RequestLeft(**self._about(leased), trouble=str(error)))

    def late(self, leased: Leased) -> None:
        self._events.tell(told.AnswerLate(**self._about(leased)))

    def ended(
        self,
        leased: Leased,
        outcome: Outcome,
        course: Course,
        status: int | None = None,
        usage: Mapping[str, Any] | None = None,
    ) -> None:
        """`status` and `usage` are those of a final answer."""
        if isinstance(outcome, Retry | Bury):
            status = outcome.status
        spent = read_spent(usage) if usage is not None else None
        self._events.tell(
            told.AttemptEnded(
                **self._about(leased),
                upstream=leased.upstream,
                provider=self._providers[leased.upstream],
                model=course.model or "",
                attempt=leased.sends,
                outcome=_word_of(outcome),
                called=course.sent_at > 0,
                status=status,
                duration_s=course.duration_s,
                path=course.path,
                queued_s=course.queued_s,
                context=course.context,
                streamed=course.streamed,
                first_byte_s=course.first_byte_s,
                tokens_in=spent.tokens_in if spent else None,
                tokens_out=spent.tokens_out if spent else None,
            )
        )
        if isinstance(outcome, Retry) and outcome.sent:
            self._retried(leased, outcome)
        elif isinstance(outcome, Bury):
            self._buried(leased, outcome)

    def _retried(self, leased: Leased, outcome: Retry) -> None:
        about = {**self._about(leased), "upstream": leased.upstream, "trouble": redact(outcome.error)}
        if outcome.fault not in ("", "failure"):
            self._events.tell(told.UpstreamRefused(**about, fault=outcome.fault, pause_s=outcome.pause_s))
        self._events.tell(told.RequestRetried(**about, fault=outcome.fault, delay_s=outcome.delay_s))

    def _buried(self, leased: Leased, outcome: Bury) -> None:
        about = {**self._about(leased), "upstream": leased.upstream, "trouble": redact(outcome.error)}
        self._events.tell(told.RequestBuried(**about, reason=outcome.reason))

    def _about(self, leased: Leased) -> dict[str, str]:
        return {"pool": self._pool, "request": leased.id, "agent": leased.agent}


def _word_of(outcome: Outcome) -> told.Outcome:
    match outcome:
        case Settle():
            return "settled"
        case Cut():
            return "cut"
        case Bury():
            return "buried"
    return "retried" if outcome.sent else "handed_back"

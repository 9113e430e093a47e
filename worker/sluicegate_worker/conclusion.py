"""Writes down what became of a call: its outcome and what it used, as rows for the scripts."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from sluicegate.wire import ReplyHead, encode_reply
from sluicegate_worker.clock import StoreClock
from sluicegate_worker.observe.reports import UNSENT, Course, RequestReports
from sluicegate_worker.outcome import Bury, Cut, Outcome, Retry, Settle
from sluicegate_worker.persistence import Persistence
from sluicegate_worker.redaction import redact
from sluicegate_worker.rows import BuryRow, Leased, RetryRow, SettleRow
from sluicegate_worker.upstream.accounting import Spent, read_spent
from sluicegate_worker.upstream.call import Answer
from sluicegate_worker.upstream.classify import read_usage
from sluicegate_worker.upstream.events import count_streamed_tokens, read_streamed_usage
from sluicegate_worker.upstream.lessons import write_reported, write_spent, write_usage
from sluicegate_worker.upstream.reply_headers import passed_headers

_MICRO = 1_000_000

_encode = msgspec.json.Encoder().encode


class Conclusions:
    """Of the attempts of one pool; `providers` says by upstream how its tokens are counted."""

    def __init__(
        self, persistence: Persistence, clock: StoreClock, reports: RequestReports, providers: Mapping[str, str]
    ) -> None:
        self._persistence, self._clock, self._reports, self._providers = persistence, clock, reports, providers

    async def conclude(
        self, leased: Leased, outcome: Outcome, answer: Answer | None = None, course: Course = UNSENT
    ) -> None:
        """`course` is that of a call that was made."""
        queued_us = (self._clock.store_us_of(course.sent_at) if course.sent_at else leased.slot_us) - leased.accepted_us
        head = ReplyHead(
            state="ok",
            agent=leased.agent,
            digest=leased.digest,
            attempts=leased.sends,
            queued_s=max(0, queued_us) / _MICRO,
            upstream_s=course.duration_s,
            upstream=leased.upstream,
        )
        if isinstance(outcome, Settle) and answer is not None:
            head.status, head.headers, head.usage = (
                answer.status,
                passed_headers(answer.headers),
                _read_usage(answer),
            )
        self._reports.ended(leased, outcome, course, head.status, head.usage)
        if isinstance(outcome, Settle) and answer is not None:
            if await self._persistence.settle(self._settle_row(leased, answer, head)) == "late":
                self._reports.late(leased)
        elif isinstance(outcome, Retry):
            await self._persistence.retry(self._retry_row(leased, outcome))
        elif isinstance(outcome, Bury):
            await self._persistence.bury(self._bury_row(leased, outcome, head))
        elif isinstance(outcome, Cut):
            used = self._count_cut(leased, answer) if answer is not None else "0 0 0 0"
            await self._persistence.settle(SettleRow(leased.fence, leased.id, leased.upstream, b"", used, ""))

    def _settle_row(self, leased: Leased, answer: Answer, head: ReplyHead) -> SettleRow:
        provider, now_s = self._providers[leased.upstream], self._clock.store_us_of(time.monotonic()) / _MICRO
        good = answer.status < 400  # what was refused to its caller may have cost anything
        return SettleRow(
            leased.fence,
            leased.id,
            leased.upstream,
            encode_reply(head, answer.body),
            write_usage(provider, head.usage, leased.asked_out) if good else "",
            write_reported(provider, answer.headers, now_s) if good else "",
        )

    def _count_cut(self, leased: Leased, answer: Answer) -> str:
        """What a call had used when it was cut: what the provider has said of it, and the text that had come."""
        spent = read_spent(read_streamed_usage(answer.body)) or Spent(leased.tokens_in, 0, 0)
        spent = spent._replace(tokens_out=max(spent.tokens_out, count_streamed_tokens(answer.body)))
        return write_spent(self._providers[leased.upstream], spent, leased.asked_out)

    def _retry_row(self, leased: Leased, outcome: Retry) -> RetryRow:
        return RetryRow(
            leased.fence,
            leased.id,
            leased.upstream,
            int(outcome.delay_s * _MICRO),
            int(outcome.uses_attempt),
            int(outcome.sent),
            int(outcome.pause_s * _MICRO),
            outcome.fault,
            self._note(leased, outcome.status, outcome.error),
        )

    def _bury_row(self, leased: Leased, outcome: Bury, head: ReplyHead) -> BuryRow:
        error = redact(outcome.error)
        head.state, head.reason, head.status, head.error = "dead", outcome.reason, outcome.status, error
        status = "" if outcome.status is None else str(outcome.status)
        return BuryRow(
            leased.fence,
            leased.id,
            leased.upstream,
            outcome.reason,
            status,
            error,
            encode_reply(head),
            self._note(leased, outcome.status, outcome.error),
        )

    def _note(self, leased: Leased, status: int | None, error: str) -> bytes:
        at = self._clock.store_us_of(time.monotonic()) / _MICRO
        note = {
            "attempt": leased.sends,
            "at": at,
            "upstream": leased.upstream,
            "status": status,
            "error": redact(error),
        }
        return _encode(note)


def _read_usage(answer: Answer) -> dict[str, Any] | None:
    """What the provider says that it used, wherever it says it."""
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return read_streamed_usage(answer.body)
    return read_usage(answer.body)

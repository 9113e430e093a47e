"""Sluicegate for agents: requests to rate-limited LLM providers, queued fairly, sent at one global rate, answered
once."""

from sluicegate.errors import (
    BacklogFull,
    DeadlineExceeded,
    InvalidRequest,
    ReplyTimeout,
    RequestCancelled,
    RequestDead,
    SluicegateError,
    StoreUnavailable,
    UnknownRequest,
    WouldMissDeadline,
)
from sluicegate.producer import AsyncProducer
from sluicegate.ticket import Ticket
from sluicegate.wire import Reply

__all__ = [
    "AsyncProducer",
    "BacklogFull",
    "DeadlineExceeded",
    "InvalidRequest",
    "Reply",
    "ReplyTimeout",
    "RequestCancelled",
    "RequestDead",
    "SluicegateError",
    "StoreUnavailable",
    "Ticket",
    "UnknownRequest",
    "WouldMissDeadline",
]

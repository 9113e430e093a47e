"""Sluicegate for agents: requests to rate-limited LLM providers, queued fairly, sent at one global rate, answered
once."""

from sluicegate.blocking import Producer
from sluicegate.blocking_reply import BlockingStream, BlockingTicket
from sluicegate.errors import (
    BacklogFull,
    DeadlineExceeded,
    InvalidRequest,
    ReplyTimeout,
    RequestCancelled,
    RequestDead,
    SluicegateError,
    StoreUnavailable,
    StreamBroken,
    UnknownRequest,
    WouldMissDeadline,
)
from sluicegate.producer import AsyncProducer
from sluicegate.stream import ReplyStream
from sluicegate.ticket import Ticket
from sluicegate.wire import Reply

__all__ = [
    "AsyncProducer",
    "BacklogFull",
    "BlockingStream",
    "BlockingTicket",
    "DeadlineExceeded",
    "InvalidRequest",
    "Producer",
    "Reply",
    "ReplyStream",
    "ReplyTimeout",
    "RequestCancelled",
    "RequestDead",
    "SluicegateError",
    "StoreUnavailable",
    "StreamBroken",
    "Ticket",
    "UnknownRequest",
    "WouldMissDeadline",
]

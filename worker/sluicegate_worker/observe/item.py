"""One request as lists show it."""

from typing import Any

import msgspec
from msgspec import Struct

from sluicegate.wire import RequestHead
from sluicegate_worker.observe.history import read_history
from sluicegate_worker.observe.snapshot import split_dispatcher

STATES = {"run": "in_flight", "retry": "delayed", "backlog": "waiting", "dead": "dead"}
_MICRO = 1_000_000

_decode_head = msgspec.json.Decoder(RequestHead).decode


class Item(Struct, frozen=True):
    """A request that is kept. `attempt` counts the calls made for it, one in flight included."""

    id: str
    agent: str
    lane: str
    state: str
    path: str
    model: str | None
    tokens: int | None
    attempt: int
    enqueued_at: float
    deadline_at: float
    due_at: float | None
    dispatcher: str | None
    lease_left_s: float | None
    last_error: str | None


def describe_item(request: list[Any], lease_s: float) -> Item:
    """From a row of the scripts `pending` and `show`. Another's hand may have damaged what is kept."""
    stream, _, request_id, agent, lane, accepted_us, deadline_us, sends, head, history, due_us, holder, idle_ms = (
        request
    )
    told = read_head(head)
    notes = read_history(history)
    return Item(
        id=request_id.decode(errors="replace"),
        agent=agent.decode(errors="replace"),
        lane=lane.decode(errors="replace"),
        state=STATES.get(stream.decode(errors="replace"), "waiting"),
        path=told.path,
        model=told.model,
        tokens=told.tokens,
        attempt=read_count(sends),
        enqueued_at=read_count(accepted_us) / _MICRO,
        deadline_at=read_count(deadline_us) / _MICRO,
        due_at=float(due_us) / _MICRO if due_us else None,
        dispatcher=split_dispatcher(holder)[0] if holder else None,
        lease_left_s=max(0.0, lease_s - idle_ms / 1000) if holder else None,
        last_error=notes[-1].error if notes else None,
    )


def read_head(head: bytes) -> RequestHead:
    try:
        return _decode_head(head)
    except (ValueError, RecursionError):
        return RequestHead(method="", path="")  # it will be a dead letter once it is leased


def read_count(value: bytes) -> int:
    return int(value) if value.isdigit() else 0

"""What goes to the scripts and comes from them, one request a row, in the order of the scripts' headers."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class ExchangeRow(NamedTuple):
    """A slot was missed: the next one, please."""

    fence: str
    id: str
    upstream: str


class RenewRow(NamedTuple):
    """Held, and to be held on; `streamed` is 1 where what the call used is settled when it is cut."""

    fence: str
    id: str
    upstream: str
    streamed: int = 0


class RelayRow(NamedTuple):
    """A piece of a streamed answer; an empty one only asks."""

    fence: str
    id: str
    producer: str
    at: str
    piece: bytes


class SettleRow(NamedTuple):
    """The provider's final answer."""

    fence: str
    id: str
    upstream: str
    reply: bytes
    usage: str
    reported: str


class RetryRow(NamedTuple):
    """A failed call that is worth another."""

    fence: str
    id: str
    upstream: str
    delay_us: int
    used: int
    sent: int
    pause_us: int
    fault: str
    note: bytes


class BuryRow(NamedTuple):
    """A request that is given up."""

    fence: str
    id: str
    upstream: str
    reason: str
    status: str
    problem: str
    reply: bytes
    note: bytes


class DropRow(NamedTuple):
    """A dead letter to delete; `id` is empty where it names no request."""

    entry: str
    id: str


class Leased(NamedTuple):
    """A request in this dispatcher's hands. `attempts` counts failures that used one up, `sends` the calls, this one
    included; `tokens_in` is its caller's estimate, `asked_out` the most tokens that the answer may have, -1 where its
    caller does not say."""

    fence: str
    id: str
    slot_us: int
    upstream: str
    lane: str
    agent: str
    attempts: int
    sends: int
    deadline_us: int
    accepted_us: int
    head: bytes
    body: bytes
    digest: str
    tokens_in: int
    asked_out: int


class Grant(NamedTuple):
    """What a lease call answered."""

    now_us: int
    version: int
    verdict: str
    wait_us: int
    expired: int
    undecodable: int
    leased: list[Leased]


_HEAD, _WIDTH = 6, 9


def read_grant(answer: Sequence[Any]) -> Grant:
    """What `lease.lua` returns."""
    leased = []
    for at in range(_HEAD, len(answer), _WIDTH):
        fence, request_id, slot, upstream, attempts, sends, facts, head, body = answer[at : at + _WIDTH]
        agent, lane, accepted, deadline, digest, _, _, _, tokens_in, asked_out, _ = facts.decode(
            errors="replace"
        ).split(" ", 10)
        leased.append(
            Leased(
                fence.decode(),
                request_id.decode(),
                slot,
                upstream.decode(),
                lane,
                agent,
                int(attempts),
                sends,
                int(deadline),
                int(accepted),
                head,
                body,
                digest,
                int(tokens_in),
                int(asked_out),
            )
        )
    now, version, verdict, wait, expired, undecodable = answer[:_HEAD]
    return Grant(int(now), int(version), verdict.decode(), int(wait), int(expired), int(undecodable), leased)

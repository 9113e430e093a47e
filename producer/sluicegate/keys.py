"""Every key that Sluicegate keeps in Redis: its shape, type, owner and end.

A pool's keys carry the hash tag `{<pool>}`, so that they share one slot of a cluster and one script may touch them all.
`lua/include/keys.lua` builds the same names inside the scripts; a test compares the two.

    key (after `sg:{<pool>}:`) type               owner                            end
    config                   HASH              apply                          never: the pool's policy
    sched                    HASH              most scripts                   never: virtual time, counters, turns
    ring:<lane>              ZSET agent → time enqueue adds, lease removes    empty when nothing waits
    idle                     ZSET agent → time lease                          once the virtual clock has passed
    served                   ZSET agent → µs   lease                          with the agent's entry in `idle`
    backlog:<lane>:<agent>   STREAM            enqueue adds, lease removes    deleted with its last entry
    run                      STREAM + group    lease adds, settle … remove    never, but empty at rest
    retry                    STREAM            retry adds, lease removes      empty when nothing is delayed
    due                      ZSET id → µs      retry adds, lease removes      empty when nothing is delayed
    suspects                 ZSET id → µs      lease, retry add, lease rem.   empty when none is to be leased alone
    expiry                   ZSET id → µs      enqueue adds, lease removes    empty when nothing waits
    dead                     STREAM            bury adds, replay, drop remove entries end after `dead_ttl_s`
    request:<id>             HASH              enqueue                        deleted at the outcome; TTL while dead
    reply:<id>               STRING            settle, bury, expire, cancel   TTL: deadline or outcome + `reply_ttl_s`
    key:<agent>:<key>        STRING            enqueue                        TTL: as its reply
    inbox:<producer>         STREAM             settle … add, the producer trims TTL: renewed by each notice
    alive:<producer>         STRING            the producer                   TTL: 10 s, renewed while it streams
    upstream:<name>          HASH              lease, settle, retry           never: bucket, pause, what is in flight
    flying                   HASH agent → n    lease, settle, retry           empty when nothing is in flight
    spent:<window>           HASH agent → n    lease, settle                  TTL: a minute after its window of time
    wake                     LIST              enqueue, dispatcher add        at most one token
    audit                    STREAM            apply, replay, drop add        capped at 1,000 entries
    aside:<name>             any               put_aside                      TTL: `dead_ttl_s`; what had the wrong type

Outside the pools: `sg:pools`, a HASH pool → its models, written by `pool apply`; never ends.
"""

import re

from sluicegate.names import NAME

POOLS = "sg:pools"
LANES = ("interactive", "batch")
GROUP = "dispatchers"
TYPES = {  # the table's first two columns, for what has to check them
    "config": "hash",
    "sched": "hash",
    "ring:<lane>": "zset",
    "idle": "zset",
    "served": "zset",
    "backlog:<lane>:<agent>": "stream",
    "run": "stream",
    "retry": "stream",
    "due": "zset",
    "suspects": "zset",
    "expiry": "zset",
    "dead": "stream",
    "request:<id>": "hash",
    "reply:<id>": "string",
    "key:<agent>:<key>": "string",
    "inbox:<producer>": "stream",
    "alive:<producer>": "string",
    "upstream:<name>": "hash",
    "flying": "hash",
    "spent:<window>": "hash",
    "wake": "list",
    "audit": "stream",
}
_PARTS = {"<lane>": f"(?:{'|'.join(LANES)})", "<key>": "[ -~]{1,256}"}  # the others are names
_PATTERNS = [
    (re.compile(re.sub(r"<\w+>", lambda part: _PARTS.get(part[0], NAME.pattern.removesuffix(r"\Z")), shape)), type_)
    for shape, type_ in TYPES.items()
]


def type_of(name: str) -> str | None:
    """What Redis' TYPE must answer for this key of a pool, named without the pool's prefix; None: it is no name of
    ours."""
    return next((type_ for pattern, type_ in _PATTERNS if pattern.fullmatch(name)), None)


class PoolKeys:
    """The names of one pool's keys; scripts get the fixed ones by `fixed`, in the order of their headers."""

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.prefix = f"sg:{{{pool}}}:"

    def fixed(self, name: str) -> str:
        return self.prefix + name

    def backlog(self, lane: str, agent: str) -> str:
        return f"{self.prefix}backlog:{lane}:{agent}"

    def ring(self, lane: str) -> str:
        return f"{self.prefix}ring:{lane}"

    def request(self, request_id: str) -> str:
        return f"{self.prefix}request:{request_id}"

    def reply(self, request_id: str) -> str:
        return f"{self.prefix}reply:{request_id}"

    def inbox(self, producer: str) -> str:
        return f"{self.prefix}inbox:{producer}"

    def alive(self, producer: str) -> str:
        return f"{self.prefix}alive:{producer}"

    def idempotency(self, agent: str, key: str) -> str:
        return f"{self.prefix}key:{agent}:{key}"

    def upstream(self, name: str) -> str:
        return f"{self.prefix}upstream:{name}"

    def spent(self, window: int) -> str:
        return f"{self.prefix}spent:{window}"

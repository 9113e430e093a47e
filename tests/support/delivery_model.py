"""A small model of delivery: what Redis and two dispatchers know, and what each script does to it, by its own name.

One upstream; requests and dispatchers are numbers. Time is abstract: an entry of `run` is fresh or `old` (nobody has
renewed it for a lease), and after a silence of everybody there is `grace`. Each safeguard is a switch, so that a test
can take it out.
"""

from dataclasses import dataclass, field
from typing import Any, Self

ATTEMPTS_MAX, POISON_AFTER = 2, 2


@dataclass(frozen=True)
class Safeguards:
    """Which of them are in force."""

    idempotent_enqueue: bool = True  # a known id is accepted once
    retry_fence: bool = True  # only the holder may retry
    bury_fence: bool = True  # and bury
    first_result_wins: bool = True  # an outcome is never written over
    result_ends_the_wait: bool = True  # a result takes a request out of where it waits
    late_slot: bool = True  # a slot missed by a stall is exchanged, and so ownership is asked for, before it is used
    exchange_renews: bool = True  # or others reclaim between the exchange and the call
    grace: bool = True  # no reclaim for one lease after everybody was silent
    reclaims: bool = True  # what nobody renews is taken back
    reclaim_moves: bool = True  # a reclaim ends the delivery instead of handing its entry on
    reclaim_releases_ended: bool = True  # what has its outcome is not sent again
    renew_checks_owner: bool = True  # nobody renews or hands back another's entries
    hand_back_waits: bool = True  # what was leased after the last answered lease is not taken for lost
    count_with_entry: bool = True  # letting go twice counts once
    cancelled_stays: bool = True  # a cancelled call keeps its place in `run` until it is let go
    replay_only_dead: bool = True  # what a lost reply made the operator repeat is not dead any more
    on_unknown: bool = True  # who would rather not pay twice is not sent again


@dataclass(slots=True)
class Request:
    """The hash `request:<id>` while `place` is not empty, its reply, its entries, and what it may still spend (I3)."""

    place: str = ""  # backlog | run | retry | dead
    fence: int = 0  # which entry of `run`
    outcome: str = ""
    attempts: int = 0
    crashes: int = 0
    sends: int = 0  # numbers the deliveries
    backlog: int = 0  # its entries there
    retry: int = 0
    owed: int = (
        0  # calls that may still be started: accepted + failed + in flight at a crash or stall + replayed - started
    )

    def freeze(self) -> tuple[Any, ...]:
        return (
            self.place, self.fence, self.outcome, self.attempts, self.crashes,
            self.sends, self.backlog, self.retry, self.owed,
        )  # fmt: skip


@dataclass(slots=True)
class Entry:
    """An entry of `run`."""

    id: int
    fence: int
    owner: int
    old: bool = False
    missed: bool = False  # leased before the last lease whose answer its owner heard


@dataclass(slots=True)
class Call:
    """What a dispatcher believes to hold. phase: coming, late coming (the lease's reply is on its way) | leased | late
    (its slot is missed) | calling | settled, retried, buried (it was done, and the reply that said so was lost)."""

    id: int
    fence: int
    phase: str
    strayed: bool = False  # through a stall, or it ended and the reply that said so was lost: its entry may be gone


@dataclass(slots=True)
class World:
    """One state. The scripts change it in place; `freeze` makes it comparable, `thaw` makes a copy to change."""

    requests: list[Request]
    calls: list[list[Call]]  # of each dispatcher
    stalled: list[bool]
    faults: int  # how many more may happen
    run: list[Entry] = field(default_factory=list)
    in_flight: int = 0
    grace: bool = False

    def freeze(self) -> tuple[Any, ...]:
        return (
            tuple([r.freeze() for r in self.requests]),
            tuple([tuple(sorted([(c.id, c.fence, c.phase, c.strayed) for c in calls])) for calls in self.calls]),
            tuple(self.stalled),
            self.faults,
            tuple(sorted([(e.id, e.fence, e.owner, e.old, e.missed) for e in self.run])),
            self.in_flight,
            self.grace,
        )  # fmt: skip

    @classmethod
    def thaw(cls, state: tuple[Any, ...]) -> Self:
        requests, calls, stalled, faults, run, in_flight, grace = state
        return cls(
            [Request(*one) for one in requests],
            [[Call(*one) for one in some] for some in calls],
            list(stalled),
            faults,
            [Entry(*one) for one in run],
            in_flight,
            grace,
        )

    def holds(self, id: int, fence: int) -> bool:
        return self.requests[id].place == "run" and self.requests[id].fence == fence

    def find(self, id: int, fence: int) -> Entry | None:
        return next((entry for entry in self.run if (entry.id, entry.fence) == (id, fence)), None)


class Scripts:
    """What each script does; `d` is the dispatcher who calls it."""

    def __init__(self, safeguards: Safeguards, on_unknown_dead: tuple[int, ...]) -> None:
        self.on = safeguards
        self.on_unknown_dead = on_unknown_dead

    def enqueue(self, world: World, id: int) -> None:
        request = world.requests[id]
        known = request.outcome or request.place
        if known and self.on.idempotent_enqueue:
            return
        request.owed += not known  # accepted
        request.place, request.attempts, request.crashes = "backlog", 0, 0
        request.backlog += 1

    def lease(self, world: World, d: int, id: int, stream: str) -> None:
        request = world.requests[id]
        setattr(request, stream, getattr(request, stream) - 1)
        request.sends += 1
        request.place, request.fence = "run", request.sends
        world.run.append(Entry(id, request.fence, d))
        world.in_flight += 1
        world.calls[d].append(Call(id, request.fence, "coming"))

    def exchange(self, world: World, d: int, at: int) -> None:
        call = world.calls[d][at]
        if not world.holds(call.id, call.fence):
            world.calls[d].pop(at)
            return
        call.phase, call.strayed = "leased", False
        for entry in world.run:
            if (entry.id, entry.fence) == (call.id, call.fence) and self.on.exchange_renews:
                entry.old = False

    def settle(self, world: World, id: int, fence: int) -> None:
        request = world.requests[id]
        if (request.place and not request.outcome) or not self.on.first_result_wins:
            if not world.holds(id, fence) and self.on.result_ends_the_wait:
                self._leave_place(request)
            request.place, request.outcome = "", "ok"
        self._release(world, id, fence)

    def retry(self, world: World, id: int, fence: int) -> None:
        request = world.requests[id]
        if world.holds(id, fence) or (request.place and not request.outcome and not self.on.retry_fence):
            request.attempts += 1
            request.owed += 1  # a recorded failure
            request.place = "retry"
            request.retry += 1
        self._release(world, id, fence)

    def bury(self, world: World, id: int, fence: int) -> None:
        request = world.requests[id]
        if world.holds(id, fence) or (request.place and not request.outcome and not self.on.bury_fence):
            request.place, request.outcome = "dead", "dead"
        self._release(world, id, fence)

    def renew(self, world: World, d: int, *, heard: bool) -> None:
        """`heard`: whether the reply arrives. Who learns that a call has ended cuts it; who lost one goes on if it was
        sent."""
        calls = [call for call in world.calls[d] if not call.phase.endswith("coming")]
        named = [(call.id, call.fence) for call in calls]
        for entry in list(world.run):
            mine = entry.owner == d
            if not mine and self.on.renew_checks_owner:
                continue
            if (entry.id, entry.fence) in named:
                entry.old, entry.owner = False, d
            elif entry.missed or not mine or not self.on.hand_back_waits:
                self._hand_back(world, entry)
        for call in calls:
            ended = bool(world.requests[call.id].outcome)
            if ended:
                self._release(world, call.id, call.fence)
            call.strayed = call.strayed or ended
            unsent = call.phase in ("leased", "late")
            if heard and (ended or (unsent and not world.holds(call.id, call.fence))):
                world.calls[d].remove(call)

    def _hand_back(self, world: World, entry: Entry) -> None:
        request = world.requests[entry.id]
        if world.holds(entry.id, entry.fence):
            request.place = "retry"
            request.retry += 1
        self._release(world, entry.id, entry.fence)

    def reclaim(self, world: World, at: int) -> None:
        """Part of lease: what nobody renewed. Past its deadline it expires: the step `expire` after this one."""
        entry = world.run[at]
        request = world.requests[entry.id]
        if world.holds(entry.id, entry.fence) or not self.on.reclaim_releases_ended:
            request.crashes += 1
            unknown = entry.id in self.on_unknown_dead and self.on.on_unknown
            if unknown or request.crashes >= POISON_AFTER:
                request.place, request.outcome = "dead", "dead"
            else:
                request.place = "retry"
                request.retry += 1
        self._release(world, entry.id, entry.fence)

    def cancel(self, world: World, id: int) -> None:
        self._end(world, id, "cancelled")
        if not self.on.cancelled_stays:
            for entry in [entry for entry in world.run if entry.id == id]:
                self._release(world, id, entry.fence)

    def expire(self, world: World, id: int) -> None:
        """Part of lease and watch: what waits past its deadline."""
        self._end(world, id, "expired")

    def replay(self, world: World, id: int) -> None:
        request = world.requests[id]
        request.owed += 1
        request.place, request.outcome, request.attempts, request.crashes = "backlog", "", 0, 0
        request.backlog += 1

    def _end(self, world: World, id: int, outcome: str) -> None:
        request = world.requests[id]
        self._leave_place(request)
        request.place, request.outcome = "", outcome

    @staticmethod
    def _leave_place(request: Request) -> None:
        """What is in flight stays in `run` until its holder lets go of it."""
        if request.place == "backlog":
            request.backlog -= 1
        elif request.place == "retry":
            request.retry -= 1

    def _release(self, world: World, id: int, fence: int) -> None:
        entry = world.find(id, fence)
        if entry is not None:
            world.run.remove(entry)
        if entry is not None or not self.on.count_with_entry:
            world.in_flight -= 1


def find_contradiction(world: World) -> str:
    """What is wrong with a state, or nothing."""
    for number, request in enumerate(world.requests):
        entries = [entry.fence for entry in world.run if entry.id == number]
        if request.owed < 0:
            return f"I3: request {number} was paid for once too often"
        waiting = (request.backlog, request.retry)
        if waiting != (request.place == "backlog", request.place == "retry"):
            return f"places: request {number} says '{request.place}', and waits in backlog and retry {waiting} times"
        if request.place == "run" and entries != [request.fence]:
            return f"places: request {number} says 'run {request.fence}', and its entries there are {entries}"
        if request.place in ("backlog", "retry", "dead") and entries:
            return f"places: request {number} says '{request.place}', and is in run too"
        if request != Request() and bool(request.outcome) != (request.place in ("", "dead")):
            return f"places: request {number} says '{request.place}' beside its outcome '{request.outcome}'"
    if world.in_flight != len(world.run):
        return f"counters: in_flight is {world.in_flight}, run has {len(world.run)} entries"
    return _find_hidden_call(world)


def _find_hidden_call(world: World) -> str:
    """A call that nothing went wrong with is in `run`, or more than `max_in_flight` would run at once."""
    seen = []
    for dispatcher, calls in enumerate(world.calls):
        for call in calls:
            seen.append((call.id, call.fence))
            if call.phase == "calling" and not call.strayed and world.find(call.id, call.fence) is None:
                return f"in flight: dispatcher {dispatcher} calls for request {call.id}, and run has no such entry"
    return "" if len(seen) == len(set(seen)) else "fence: one delivery is in two hands"

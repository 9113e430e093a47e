"""Who may do what when in the model of delivery: every move out of a state, with what it is called in a history."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple

from support.delivery_model import ATTEMPTS_MAX, Call, Entry, Request, Safeguards, Scripts, World

NOBODY = -1  # owns what a crash left behind: whoever starts again has another name
DISPATCHERS = (0, 1)
State = tuple[Any, ...]


class Choice(NamedTuple):
    """`helps`: it needs nobody who gives up, so that it counts on the way to an outcome. Faults never help."""

    name: str
    act: Callable[[World], object]
    fault: bool = False
    helps: bool = True


class Moves:
    """All interleavings of the requests and two dispatchers, with at most so many faults: a crash, a stall, a pause of
    the server, a lost reply; a replay counts too, or there would be no end."""

    def __init__(
        self, safeguards: Safeguards, *, requests: int, faults: int, on_unknown_dead: tuple[int, ...] = ()
    ) -> None:
        self._on = safeguards
        self._scripts = Scripts(safeguards, on_unknown_dead)
        self._on_unknown_dead = on_unknown_dead
        self.start = World([Request() for _ in range(requests)], [[], []], [False, False], faults).freeze()

    def __call__(self, state: State) -> Iterator[tuple[str, bool, State]]:
        world = World.thaw(state)
        for choice in self._choices(world):
            if choice.fault and not world.faults:
                continue
            changed = World.thaw(state)
            choice.act(changed)
            changed.faults -= choice.fault
            yield choice.name, choice.helps and not choice.fault, changed.freeze()

    def _choices(self, world: World) -> Iterator[Choice]:
        yield from self._choices_of_clients(world)
        yield from self._choices_of_time(world)
        for d in DISPATCHERS:
            if world.stalled[d]:
                yield Choice(f"d{d} goes on", partial(_go_on, d=d))
                continue
            yield from self._choices_of_leasing(world, d)
            yield from self._choices_of_keeping(world, d)
            for at, call in enumerate(world.calls[d]):
                yield from self._choices_of_call(world, d, at, call)

    def _choices_of_clients(self, world: World) -> Iterator[Choice]:
        """A known id is enqueued again where the first reply was lost; with the safeguard on, nothing comes of it."""
        for number, request in enumerate(world.requests):
            if request == Request() or (not self._on.idempotent_enqueue and request.backlog < 2):
                yield Choice(f"enqueue {number}", partial(self._scripts.enqueue, id=number))
            if request.place and not request.outcome:
                yield Choice(f"cancel {number}", partial(self._scripts.cancel, id=number), helps=False)
            if request.place in ("backlog", "retry"):
                yield Choice(f"expire {number}", partial(self._scripts.expire, id=number), helps=False)
            again = request.place == "backlog" and not self._on.replay_only_dead
            if request.place == "dead" or again:
                yield Choice(f"replay {number}", partial(self._scripts.replay, id=number), fault=True)

    def _choices_of_time(self, world: World) -> Iterator[Choice]:
        if not world.run:
            return
        if not any(call.phase == "coming" for calls in world.calls for call in calls):  # heard or lost long before that
            yield Choice("a lease passes", _pass_lease)
        yield Choice("the server pauses", partial(_pause, grace=self._on.grace), fault=True)
        awake = [d for d in DISPATCHERS if not world.stalled[d]]
        if world.grace or not awake or not self._on.reclaims:
            return
        for at, entry in enumerate(world.run):
            if entry.old and self._on.reclaim_moves:
                yield Choice(f"reclaim {_name(entry)}", partial(self._scripts.reclaim, at=at))
            elif entry.old:
                yield from (Choice(f"d{d} claims {_name(entry)}", partial(_claim, d=d, at=at)) for d in awake)

    def _choices_of_leasing(self, world: World, d: int) -> Iterator[Choice]:
        if any(call.phase.endswith("coming") for call in world.calls[d]):  # one lease at a time
            yield Choice(f"d{d} hears of its lease", partial(_hear, d=d))
            yield Choice(f"d{d}'s lease reply is lost", partial(_lose, d=d), fault=True)
            return
        for number, request in enumerate(world.requests):
            for stream, entries in (("backlog", request.backlog), ("retry", request.retry)):
                if entries:
                    act = partial(self._scripts.lease, d=d, id=number, stream=stream)
                    yield Choice(f"d{d} leases {number} from {stream}", act)

    def _choices_of_keeping(self, world: World, d: int) -> Iterator[Choice]:
        if world.run:
            yield Choice(f"d{d} renews", partial(self._scripts.renew, d=d, heard=True))
        if world.run and world.calls[d]:
            yield Choice(f"d{d} renews, reply lost", partial(self._scripts.renew, d=d, heard=False), fault=True)
            yield Choice(f"d{d} crashes", partial(self._crash, d=d), fault=True)
            yield Choice(f"d{d} stalls", partial(self._stall, d=d), fault=True)

    def _choices_of_call(self, world: World, d: int, at: int, call: Call) -> Iterator[Choice]:
        """A call that was answered is in flight until that is written down. Who hears nothing says the same again."""
        if call.phase == "late" and self._on.late_slot:
            yield Choice(f"d{d} exchanges {_name(call)}", partial(self._scripts.exchange, d=d, at=at))
        elif call.phase in ("leased", "late"):
            yield Choice(f"d{d} sends {_name(call)}", partial(_send, d=d, at=at))
        verbs = {"settled": ["settle"], "retried": ["retry"], "buried": ["bury"]}.get(call.phase, [])
        if call.phase == "calling":
            verbs = ["settle", "retry" if world.requests[call.id].attempts + 1 < ATTEMPTS_MAX else "bury"]
        ends = {
            "settle": ("settled", self._scripts.settle),
            "retry": ("retried", self._scripts.retry),
            "bury": ("buried", self._scripts.bury),
        }
        for verb in verbs:
            done, script = ends[verb]
            helps = verb == "settle" or call.phase != "calling"
            act = partial(_conclude, d=d, at=at, script=script)
            yield Choice(f"d{d}: {verb} {_name(call)}", partial(act, heard=""), helps=helps)
            if call.phase == "calling":
                yield Choice(f"d{d}: {verb} {_name(call)}, reply lost", partial(act, heard=done), fault=True)

    def _crash(self, world: World, d: int) -> None:
        self._allow_again(world, d)
        world.calls[d] = []
        for entry in world.run:
            if entry.owner == d:
                entry.owner, entry.missed = NOBODY, False

    def _stall(self, world: World, d: int) -> None:
        self._allow_again(world, d)
        world.stalled[d] = True
        for call in world.calls[d]:
            call.phase = {"coming": "late coming", "leased": "late"}.get(call.phase, call.phase)
            call.strayed = True

    def _allow_again(self, world: World, d: int) -> None:
        """I3: what was in flight when its dispatcher crashed or stalled may be paid for once more, and nothing else."""
        for call in world.calls[d]:
            spent = call.phase in ("calling", "settled", "retried", "buried") and not call.strayed
            if spent and world.holds(call.id, call.fence) and call.id not in self._on_unknown_dead:
                world.requests[call.id].owed += 1


def _name(delivery: Call | Entry) -> str:
    return f"({delivery.id}, {delivery.fence})"


def _send(world: World, d: int, at: int) -> None:
    call = world.calls[d][at]
    call.phase = "calling"
    world.requests[call.id].owed -= 1


def _conclude(world: World, d: int, at: int, script: Callable[[World, int, int], None], heard: str) -> None:
    """`heard` is empty where the reply arrives, or else the phase that a lost one leaves the call in."""
    call = world.calls[d][at]
    script(world, call.id, call.fence)
    if heard:
        call.phase = heard
    else:
        world.calls[d].pop(at)


def _hear(world: World, d: int) -> None:
    for call in world.calls[d]:
        call.phase = {"coming": "leased", "late coming": "late"}.get(call.phase, call.phase)
    named = [(call.id, call.fence) for call in world.calls[d]]
    for entry in world.run:
        entry.missed = entry.missed or (entry.owner == d and (entry.id, entry.fence) not in named)


def _lose(world: World, d: int) -> None:
    world.calls[d] = [call for call in world.calls[d] if not call.phase.endswith("coming")]


def _go_on(world: World, d: int) -> None:
    world.stalled[d] = False


def _pass_lease(world: World) -> None:
    """A lease passes, in which everybody who can renews what it knows to hold."""
    kept = [(call.id, call.fence, d) for d in DISPATCHERS if not world.stalled[d] for call in world.calls[d]]
    for entry in world.run:
        entry.old = (entry.id, entry.fence, entry.owner) not in kept
    world.grace = False


def _pause(world: World, *, grace: bool) -> None:
    """Nobody can renew for longer than a lease."""
    for entry in world.run:
        entry.old = True
    world.grace = grace


def _claim(world: World, d: int, at: int) -> None:
    """What a reclaim must not do: hand the entry on, so that two deliveries have one name."""
    entry = world.run[at]
    entry.owner, entry.old = d, False
    world.calls[d].append(Call(entry.id, entry.fence, "leased"))


def merge_alike(state: State) -> State:
    """One state for all that differ in names only: of dispatchers, requests, fences, and of outcomes that allow the
    same."""
    requests, calls, stalled, faults, run, in_flight, grace = state
    known: list[set[int]] = [set() for _ in requests]
    for one, fence, *_ in (*calls[0], *calls[1], *run):
        known[one].add(fence)
    fences = [{fence: rank for rank, fence in enumerate(sorted(some))} for some in known]
    return min(
        (
            tuple([_forget_names(requests[one], fences[one]) for one in ids]),
            tuple([tuple(sorted([(ids.index(i), fences[i][f], *rest) for i, f, *rest in calls[d]])) for d in ds]),
            tuple([stalled[d] for d in ds]),
            faults,
            tuple(sorted([(ids.index(i), fences[i][f], _rename(o, ds), *rest) for i, f, o, *rest in run])),
            in_flight,
            grace,
        )
        for ids in permutations(range(len(requests)))
        for ds in permutations(DISPATCHERS)
    )


def _rename(owner: int, dispatchers: tuple[int, ...]) -> int:
    return NOBODY if owner == NOBODY else dispatchers.index(owner)


def _forget_names(request: State, fences: dict[int, int]) -> State:
    place, fence, outcome, attempts, crashes, _, backlog, retry, owed = request
    if outcome:
        outcome, attempts, crashes = "there", 0, 0
    return place, fences.get(fence, -1), outcome, attempts, crashes, backlog, retry, owed

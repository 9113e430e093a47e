"""Whether what is in Redis agrees with itself at any moment between two scripts: keys, places, indexes, counters."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sluicegate.keys import LANES, POOLS, type_of
from support.contents import Contents, Key

OF_POOL = re.compile(r"sg:\{([^}]*)\}:(.*)", re.DOTALL)
PLACE = re.compile(r"(backlog|run|retry|dead) (\d+-\d+)")
ENDING = ("reply:", "key:", "inbox:", "aside:", "dead", "spent:")  # what must have a TTL; a dead request has one too
Entries = dict[str, dict[str, str]]


def find_contradictions(contents: Contents, *pools: str) -> list[str]:
    """`pools` are those that may be there; any, when none is named."""
    found: list[str] = []
    by_pool: dict[str, Contents] = {}
    for name, key in contents.items():
        match = OF_POOL.fullmatch(name)
        if match and (not pools or match[1] in pools):
            by_pool.setdefault(match[1], {})[match[2]] = key
        elif name != POOLS and not key.ends:
            found.append(f"{name} is no key of ours")
    for pool, keys in by_pool.items():
        found += [f"pool {pool}: {one}" for one in _Pool(keys).find_contradictions()]
    return sorted(found)


class _Pool:
    def __init__(self, keys: Contents) -> None:
        self._keys = keys
        self._requests: dict[str, dict[str, str]] = self._named("request:")
        self._backlogs: dict[str, Entries] = self._named("backlog:")
        self._run, self._retry, self._dead = (self._read(name) for name in ("run", "retry", "dead"))

    def find_contradictions(self) -> Iterator[str]:
        wrong = list(self._find_strangers())
        yield from wrong
        if not wrong:
            yield from self._find_misplaced()
            yield from self._find_strays()
            yield from self._find_wrong_indexes()
            yield from self._find_wrong_counters()

    def _read(self, name: str) -> Entries:
        return self._keys[name].value if name in self._keys else {}

    def _named(self, prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): key.value for name, key in self._keys.items() if name.startswith(prefix)}

    def _find_strangers(self) -> Iterator[str]:
        for name, key in self._keys.items():
            wanted = key.kind if name.startswith("aside:") else type_of(name)
            if wanted is None:
                yield f"{name} is no key of ours"
            elif wanted != key.kind:
                yield f"{name} is a {key.kind} and should be a {wanted}"
            elif key.ends != self._should_end(name, key):
                yield f"{name} should {'not ' if key.ends else ''}have a time to live"

    @staticmethod
    def _should_end(name: str, key: Key) -> bool:
        if name.startswith("request:"):
            return str(key.value.get("place")).startswith("dead ")
        return name.startswith(ENDING)

    def _find_misplaced(self) -> Iterator[str]:
        """Each request is where it says, and has an outcome only when dead."""
        for one, request in self._requests.items():
            place = PLACE.fullmatch(request.get("place", ""))
            if place is None:
                yield f"request {one} is nowhere: '{request.get('place')}'"
                continue
            entries = {"run": self._run, "retry": self._retry, "dead": self._dead}.get(place[1])
            if entries is None:
                entries = self._backlogs.get(f"{request.get('lane')}:{request.get('agent')}", {})
            if entries.get(place[2], {}).get("id") != one:
                yield f"request {one} is not where it says, {place[0]}"
            if (f"reply:{one}" in self._keys) != (place[1] == "dead"):
                yield f"request {one} is in {place[1]} and has {'an' if place[1] != 'dead' else 'no'} outcome"

    def _find_strays(self) -> Iterator[str]:
        """Each entry belongs to a request that says so; one in flight may stay until its ended request is let go of."""
        for name, entries in [
            *self._backlogs.items(),
            ("run", self._run),
            ("retry", self._retry),
            ("dead", self._dead),
        ]:
            stream = "backlog" if name in self._backlogs else name
            for entry, fields in entries.items():
                one = fields.get("id", "")
                request = self._requests.get(one)
                unreadable = stream == "dead" and fields.get("reason") == "undecodable"
                ended = stream == "run" and request is None and f"reply:{one}" in self._keys
                there = request is not None and request.get("place") == f"{stream} {entry}"
                if not (there or ended or unreadable):
                    said = request and request.get("place")
                    yield f"entry {entry} of {name} is not the place of request {one}, which says {said}"
        pending = self._keys["run"].pending if "run" in self._keys else {}
        if set(pending) != set(self._run):
            yield f"run has the entries {sorted(self._run)}, and delivered are {sorted(pending)}"

    def _find_wrong_indexes(self) -> Iterator[str]:
        places = {one: request.get("place", "").partition(" ")[0] for one, request in self._requests.items()}
        delayed = sorted(one for one, place in places.items() if place == "retry")
        due = sorted([*self._read("due"), *self._read("suspects")])
        if due != delayed:
            yield f"due and suspects have {due}, and delayed are {delayed}"
        waiting = {one for one, place in places.items() if place in ("backlog", "retry")}
        if set(self._read("expiry")) != waiting:
            yield f"expiry has {sorted(self._read('expiry'))}, and these wait: {sorted(waiting)}"
        for lane in LANES:
            ring = set(self._read(f"ring:{lane}"))
            agents = {name.removeprefix(f"{lane}:") for name in self._backlogs if name.startswith(f"{lane}:")}
            if ring | {agent for agent in agents if self._is_at_cap(agent)} != agents | ring or ring - agents:
                yield f"ring:{lane} has {sorted(ring)}, and these agents have a backlog: {sorted(agents)}"
            if both := {agent for agent in ring if f"{lane}:{agent}" in self._read("idle")}:
                yield f"these agents are in ring:{lane} and idle at once: {sorted(both)}"
        if len(self._read("wake")) > 1:
            yield "wake has more than one token"

    def _is_at_cap(self, agent: str) -> bool:
        cap = int(self._keys["config"].value.get("max_in_flight_per_agent", 0)) if "config" in self._keys else 0
        return 0 < cap <= sum(fields.get("agent") == agent for fields in self._run.values())

    def _find_wrong_counters(self) -> Iterator[str]:
        sched: dict[str, str] = self._keys["sched"].value if "sched" in self._keys else {}
        alive = [one for one in self._requests.values() if not one.get("place", "").startswith("dead ")]
        truth = {
            "waiting": sum(len(entries) for entries in self._backlogs.values()),
            "waiting_cost": sum(
                int(one.get("cost", 0)) for one in alive if one.get("place", "").startswith("backlog ")
            ),
            "bytes": sum(int(request.get("bytes", 0)) for request in alive),
        }
        for name, count in truth.items():
            if int(sched.get(name, 0)) != count:
                yield f"{name} says {sched.get(name)}, and it is {count}"
        agents = Counter(fields.get("agent", "") for fields in self._run.values())
        flying: dict[str, str] = self._keys["flying"].value if "flying" in self._keys else {}
        said_of_agents = {agent: int(count) for agent, count in flying.items()}
        if said_of_agents != agents:
            yield f"flying says {said_of_agents}, and run has {dict(agents)}"
        yield from self._find_wrong_flights()

    def _find_wrong_flights(self) -> Iterator[str]:
        """What is in flight and what is reserved at each upstream: reserved = settled + leased, at every moment."""
        flying = Counter(fields.get("upstream", "") for fields in self._run.values())
        upstreams: dict[str, dict[str, str]] = self._named("upstream:")
        for name in {*upstreams, *flying}:
            said = int(upstreams.get(name, {}).get("in_flight", 0))
            if said != flying[name]:
                yield f"in_flight of upstream {name} says {said}, and run has {flying[name]} of its entries"
            for kind in ("in", "out"):
                handed, settled = (
                    int(upstreams.get(name, {}).get(f"{what}_{kind}", 0)) for what in ("handed", "settled")
                )
                leased = sum(
                    int(fields.get(f"tokens_{kind}", 0))
                    for fields in self._run.values()
                    if fields.get("upstream") == name
                )
                if handed != settled + leased:
                    yield f"upstream {name} has reserved {handed} tokens {kind}, settled {settled}, and leased {leased}"

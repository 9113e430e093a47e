"""The document that `load` and `demo` end with, from what the clients and the provider recorded."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from sluicegate_worker.demo.measures import Interval, count_busiest, measure_fairness, measure_utilisation, percentile
from sluicegate_worker.demo.records import Call, Record


class Run(msgspec.Struct, frozen=True):
    """What a report needs beyond records and calls."""

    duration_s: float
    drain_s: float
    ended_at: float
    group_sizes: Mapping[str, int]
    limit_rpm: float | None
    dispatchers: int | None


class Group(msgspec.Struct):
    agents: int
    ok: int
    wait_p50_s: float | None
    wait_p99_s: float | None


class Report(msgspec.Struct):
    """Counts are of requests; what starts with `upstream` or `max_in` and the duplicates are calls."""

    duration_s: float
    agents: int
    dispatchers: int | None
    limit_rpm: float | None
    offered: int
    accepted: int
    refused: int
    ok: int
    ok_by_status: dict[str, int]
    dead: int
    expired: int
    cancelled: int
    lost: int
    duplicates: int | None
    upstream_calls: int | None
    upstream_429: int | None
    retries: int
    utilisation: float | None
    jain: float | None
    wait_p50_s: float | None
    wait_p99_s: float | None
    wait_max_s: float | None
    groups: dict[str, Group]
    max_in_1s: int | None
    max_in_10s: int | None
    max_in_60s: int | None
    drain_s: float
    schema: int = 1


def make_report(run: Run, records: Sequence[Record], calls: Sequence[Call] | None) -> Report:
    """`calls` None: the provider's log is not at hand, and what only it can say is null."""
    records = correct_sends(records, calls or ())
    states = Counter(record.state for record in records)
    waits = _list_waits(records)
    waiting = _find_waiting(run, records)
    return Report(
        duration_s=run.duration_s,
        agents=sum(run.group_sizes.values()),
        dispatchers=run.dispatchers,
        limit_rpm=run.limit_rpm,
        offered=len(records),
        accepted=len(records) - states["refused"],
        refused=states["refused"],
        ok=states["ok"],
        ok_by_status=dict(sorted(Counter(str(record.status) for record in records if record.state == "ok").items())),
        dead=states["dead"],
        expired=states["expired"],
        cancelled=states["cancelled"],
        lost=states["lost"],
        duplicates=None if calls is None else count_duplicates(calls),
        upstream_calls=None if calls is None else len(calls),
        upstream_429=None if calls is None else sum(call.status == 429 for call in calls),
        retries=sum(max(0, record.attempts - 1) for record in records),
        utilisation=_measure_utilisation(run, waiting, calls),
        jain=measure_fairness(waiting, _find_charges(records, calls), run.limit_rpm),
        wait_p50_s=percentile(waits, 0.5),
        wait_p99_s=percentile(waits, 0.99),
        wait_max_s=max(waits, default=None),
        groups={group: _summarise(run, group, records) for group in ("hogs", "others")},
        max_in_1s=_count_busiest(calls, 1),
        max_in_10s=_count_busiest(calls, 10),
        max_in_60s=_count_busiest(calls, 60),
        drain_s=run.drain_s,
    )


def count_duplicates(calls: Iterable[Call]) -> int:
    """Successful calls beyond the first of each id: work that the provider did, and bills, twice."""
    successes = Counter(call.id for call in calls if call.id is not None and call.succeeded)
    return sum(count - 1 for count in successes.values())


def correct_sends(records: Iterable[Record], calls: Iterable[Call]) -> list[Record]:
    """The records with the first send of each, from enqueue to which it waited.

    A client learns the last send of a request that was tried again, and none of one that died. The provider's log knows
    the first.
    """
    first_calls: dict[str | None, float] = {}
    for call in calls:
        first_calls[call.id] = min(call.t, first_calls.get(call.id, call.t))
    return [
        replace(record, sent_at=max(record.enqueued_at, first_calls[record.id]))
        if record.id is not None and record.id in first_calls and (record.sent_at is None or record.attempts > 1)
        else record
        for record in records
    ]


def _list_waits(records: Iterable[Record]) -> list[float]:
    return [record.wait_s for record in records if record.wait_s is not None]


def _find_waiting(run: Run, records: Iterable[Record]) -> dict[str, list[Interval]]:
    """By agent, from enqueue to first send, or to its end for what was never sent."""
    waiting = defaultdict(list)
    for record in records:
        if record.state != "refused":
            ends = (record.sent_at, record.done_at, run.ended_at)
            waiting[record.agent].append((record.enqueued_at, next(end for end in ends if end is not None)))
    return waiting


def _find_charges(records: Iterable[Record], calls: Iterable[Call] | None) -> dict[str, list[float]]:
    """When each agent was charged: at each call in the provider's log, or, without it, at each request's send."""
    charges = defaultdict(list)
    if calls is None:
        for record in records:
            if record.sent_at is not None:
                charges[record.agent].append(record.sent_at)
        return charges
    agents = {record.id: record.agent for record in records if record.id is not None}
    for call in calls:
        if call.id in agents:
            charges[agents[call.id]].append(call.t)
    return charges


def _measure_utilisation(
    run: Run, waiting: Mapping[str, Iterable[Interval]], calls: Sequence[Call] | None
) -> float | None:
    if calls is None or run.limit_rpm is None:
        return None
    intervals = (interval for of_agent in waiting.values() for interval in of_agent)
    return measure_utilisation(intervals, (call.t for call in calls if call.was_admitted), run.limit_rpm)


def _summarise(run: Run, group: str, records: Iterable[Record]) -> Group:
    members = [record for record in records if record.group == group]
    waits = _list_waits(members)
    return Group(
        agents=run.group_sizes.get(group, 0),
        ok=sum(record.state == "ok" for record in members),
        wait_p50_s=percentile(waits, 0.5),
        wait_p99_s=percentile(waits, 0.99),
    )


def _count_busiest(calls: Sequence[Call] | None, window_s: float) -> int | None:
    return None if calls is None else count_busiest((call.t for call in calls), window_s)

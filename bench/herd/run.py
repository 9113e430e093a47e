"""One run: a column, a scenario, a model of the provider and a seed; starts everything, and measures what happened."""

import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.herd.job import Job, Request, write_job
from bench.herd.measures import Measures, Outcome, measure
from bench.herd.scenarios import DEADLINE_S, Model, Scenario, Span, list_capacity
from bench.herd.services import ROOT, Column, Place
from bench.herd.stage import Stage, StageError
from bench.herd.traffic import deal_requests, draw_requests, is_hog
from sluicegate_worker.demo.embedded import EmbeddedServerError
from sluicegate_worker.demo.records import read_calls

START_IN_S = 0.5
PATIENCE_S = 20.0  # beyond the last deadline: then the run has failed


Key = tuple[str, str, str, int]


class Case(NamedTuple):
    column: Column
    scenario: Scenario
    model: Model
    seed: int
    rpm: int

    @property
    def key(self) -> Key:
        return self.scenario.name, self.model.name, self.column.name, self.seed


class Run(msgspec.Struct, frozen=True):
    """What became of a case; without measures, why there are none."""

    scenario: str
    model: str
    column: str
    seed: int
    rpm: int
    measures: Measures | None = None
    impossible: str | None = None

    @property
    def key(self) -> Key:
        return self.scenario, self.model, self.column, self.seed


class Ended(msgspec.Struct, frozen=True):
    """What a process of agents writes of each request."""

    number: int
    late_s: float
    ended_s: float
    reason: str | None


def run_case(case: Case) -> Run:
    """Never raises what belongs to the case: what cannot be run here is a run without measures."""
    run = Run(case.scenario.name, case.model.name, case.column.name, case.seed, case.rpm)
    try:
        return msgspec.structs.replace(run, measures=_run(case))
    except (StageError, EmbeddedServerError) as error:
        return msgspec.structs.replace(run, impossible=str(error))


def _run(case: Case) -> Measures:
    requests = draw_requests(case.scenario, case.rpm, case.seed)
    capacity = list_capacity(case.scenario, case.rpm)
    with Stage(case.rpm, case.seed) as stage:
        stage.change_provider(case.model.behaviour)
        place = case.column.offer(stage)
        parts = deal_requests(requests, case.column.processes)
        jobs = [_plan_job(case, stage, place, capacity, number, part) for number, part in enumerate(parts)]
        for number, job in enumerate(jobs):
            file = stage.directory / f"agents-{number}.json"
            write_job(job, file)
            stage.start(
                f"agents-{number}", case.column.python, "-m", "bench.herd.agents", file,
                environment={"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        began_at, busy = _play(case, stage, jobs)
        ended = list(chain.from_iterable(_read_ended(job) for job in jobs))
        stage.stop_processes()
        calls = read_calls(stage.provider_log, since=0)
    outcomes = [_note(requests[end.number], end) for end in ended]
    if sum(outcome.answered_s is not None for outcome in outcomes) > sum(call.succeeded for call in calls):
        raise StageError("agents report more answers than the provider gave: the column does not do what it says")
    measured = measure(outcomes, [(call.t - began_at, call.status or 0) for call in calls], capacity, case.scenario)
    return msgspec.structs.replace(measured, late_s_max=max(end.late_s for end in ended), busy=busy)


def _plan_job(
    case: Case, stage: Stage, place: Place, capacity: Sequence[Span], number: int, part: list[Request]
) -> Job:
    return Job(
        column=case.column.name,
        base_url=place.base_url,
        api_key=place.api_key,
        redis_url=place.redis_url,
        processes=case.column.processes,
        deadline_s=DEADLINE_S,
        capacity=[(span.from_s, span.per_s) for span in capacity],
        requests=part,
        ready_file=str(stage.directory / f"agents-{number}.ready"),
        start_file=str(stage.directory / "start"),
        outcome_file=str(stage.directory / f"agents-{number}.outcome"),
    )


def _play(case: Case, stage: Stage, jobs: Sequence[Job]) -> tuple[float, float | None]:
    """From the start, which it returns, until the last request is answered or given up; and `busy` of the measures."""
    stage.wait_until(lambda: all(Path(job.ready_file).exists() for job in jobs), "all agents are ready")
    began_at = time.time() + START_IN_S
    start = Path(jobs[0].start_file)
    beside = start.with_suffix(".beside")
    beside.write_text(repr(began_at), encoding="utf-8")
    beside.replace(start)
    before_s = stage.read_services_cpu_s()
    for change in case.scenario.changes:
        time.sleep(max(0.0, began_at + change.at_s - time.time()))
        stage.change_provider(change.behaviour)
    time.sleep(max(0.0, began_at + case.scenario.traffic_s - time.time()))
    after_s = stage.read_services_cpu_s()
    busy = max((after_s[name] - before_s[name] for name in before_s.keys() & after_s.keys()), default=None)
    names = [f"agents-{number}" for number in range(len(jobs))]
    longest_s = began_at + case.scenario.traffic_s + DEADLINE_S + PATIENCE_S - time.time()
    stage.wait_until(lambda: all(map(stage.has_ended, names)), "all agents are done", longest_s)
    stage.check()
    return began_at, None if busy is None else busy / case.scenario.traffic_s


def _read_ended(job: Job) -> list[Ended]:
    return msgspec.json.decode(Path(job.outcome_file).read_bytes(), type=list[Ended])


def _note(request: Request, ended: Ended) -> Outcome:
    return Outcome(
        agent=request.agent,
        light=not is_hog(request.agent),
        wanted_s=request.offset_s,
        answered_s=ended.ended_s if ended.reason is None else None,
        reason=ended.reason,
    )

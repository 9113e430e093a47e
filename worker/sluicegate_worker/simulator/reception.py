"""What happens to each request, from its arrival to its answer and its line in the log."""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import get_args

import msgspec
from aiohttp import web

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.behaviour import Behaviour, change_behaviour
from sluicegate_worker.simulator.calls import Call, answer_no_call, decode_call, is_call
from sluicegate_worker.simulator.delivery import Delivery
from sluicegate_worker.simulator.dialects import Dialect, find_dialect
from sluicegate_worker.simulator.faults import Fate, decide_fate, draw_chance
from sluicegate_worker.simulator.intake import read_body, read_count_header, read_path, read_text_header
from sluicegate_worker.simulator.log import Kind, Record, RequestLog
from sluicegate_worker.simulator.metering import Meter, Verdict
from sluicegate_worker.simulator.streams import CONTENT_TYPE, Pace


@dataclass
class Visit:
    """One request while it is here."""

    request: web.BaseRequest
    dialect: Dialect  # another one may be spoken before this request is answered
    fate: Fate | None  # None: not a call, nothing happens to it
    at_us: int
    serial: str
    record: Record
    verdict: Verdict | None = None  # None: the limits were not asked


class Reception:
    """Serves one behaviour at a time; raises InvalidBehaviour for one that cannot be served."""

    def __init__(self, behaviour: Behaviour, seed: int | None) -> None:
        self.log: RequestLog | None = None
        # The wall clock, read once and carried on by the monotonic one: limits and log share a time that never jumps.
        self._epoch_us = time.time_ns() // 1_000 - time.monotonic_ns() // 1_000
        self._started_us = self._now_us()
        self._dialect = find_dialect(behaviour.profile)
        self._behaviour = behaviour
        self._meter = Meter(behaviour, self._started_us)
        self._random = Random(seed)
        self._serial = 0
        self._in_flight = 0
        self._counters: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)

    def change(self, changes: Mapping[str, object]) -> None:
        behaviour = change_behaviour(self._behaviour, changes)
        self._dialect = find_dialect(behaviour.profile)
        self._behaviour = behaviour
        self._meter.change(behaviour, self._now_us())

    def snapshot(self) -> dict[str, object]:
        behaviour: dict[str, object] = msgspec.to_builtins(self._behaviour)
        return behaviour | {"in_flight": self._in_flight, "counters": dict(self._counters)}

    async def receive(self, request: web.BaseRequest) -> web.StreamResponse:
        """What it returns may have been sent already."""
        visit = self._welcome(request)
        try:
            return await self._answer(visit)
        except errors.ApiError as error:
            visit.record.status, visit.record.kind = error.status, error.kind
            return self._respond(visit, visit.dialect.encode_error(error))
        finally:
            self._see_off(visit)

    # Nothing is awaited before this: the seed sees requests in the order of their arrival.
    def _welcome(self, request: web.BaseRequest) -> Visit:
        self._in_flight += 1
        self._serial += 1
        path, at_us = read_path(request), self._now_us()
        fate = None
        if is_call(self._dialect.paths, request.method, path):
            fate = decide_fate(self._behaviour, draw_chance(self._random))
        record = Record(
            t=at_us / 1_000_000,
            id=read_text_header(request, "Idempotency-Key"),
            attempt=read_count_header(request, "X-Sluicegate-Attempt"),
            path=path,
            in_flight=self._in_flight,
        )
        return Visit(request, self._dialect, fate, at_us, f"{self._started_us:016x}{self._serial:016x}", record)

    async def _answer(self, visit: Visit) -> web.StreamResponse:
        paths, record, fate = visit.dialect.paths, visit.record, visit.fate
        if fate is None:
            body = answer_no_call(paths, visit.request.method, record.path)
            record.status, record.kind = 200, "ok"
            return self._respond(visit, body)
        body = await read_body(visit.request)
        if fate.end == "credentials":
            raise errors.key_revoked()
        call = decode_call(paths, record.path, body)
        record.model, record.tokens_in = call.model, call.tokens_in
        # Only now is it known how many tokens it has. Still it counts from the arrival of its head, unless calls that
        # came after were faster: what reading takes, on a busy machine, would blur the rate at which calls really came.
        visit.verdict = self._meter.arrive(
            visit.at_us, call.tokens_in, call.max_out, call.tokens_out, charge=fate.is_charged
        )
        visit.at_us = visit.verdict.at_us
        record.t = visit.at_us / 1_000_000
        self._refuse(visit, fate, call.model)
        if fate.end == "hang":
            record.kind = "hang"
            await asyncio.get_running_loop().create_future()
        if isinstance(fate.end, int):
            await asyncio.sleep(fate.service_s - self._elapsed_s(visit))
            raise errors.server_failed(fate.end)
        return await self._deliver(visit, fate, call)

    async def _deliver(self, visit: Visit, fate: Fate, call: Call) -> web.StreamResponse:
        record, cut, created = visit.record, fate.end == "cut", math.floor(visit.record.t)
        stream, pace = call.encode_stream(visit.serial, created), Pace(fate.service_s, call.tokens_out)
        await asyncio.sleep((fate.service_s if stream is None else pace.due_s(0)) - self._elapsed_s(visit))
        if stream is None and not cut:
            record.status, record.kind, record.tokens_out = 200, "ok", call.tokens_out
            return self._respond(visit, call.encode_answer(visit.serial, created))
        response = web.StreamResponse(headers=self._headers(visit))
        delivery = Delivery(visit.request, response, record, lambda: self._elapsed_s(visit), cut)
        if stream is None:
            response.content_type = "application/json"
            await delivery.send_half(call.encode_answer(visit.serial, created), call.tokens_out)
        else:
            response.headers["Content-Type"] = CONTENT_TYPE
            await delivery.send_stream(stream, pace)
        return response

    # A call that will fail is refused like any other when nothing is left, but does not use the limits up.
    def _refuse(self, visit: Visit, fate: Fate, model: str) -> None:
        if visit.verdict is not None and visit.verdict.refused_by is not None:
            raise errors.rate_limited(model, visit.verdict.refused_by, visit.verdict)
        if fate.end in {"slow_down", "quota"}:
            self._meter.count_refusal(visit.at_us)
            raise errors.slow_down() if fate.end == "slow_down" else errors.out_of_quota()
        visit.record.admitted = True
        if fate.end == "overloaded":
            raise errors.overloaded(visit.dialect.overloaded_status)

    def _see_off(self, visit: Visit) -> None:
        now_us, record = self._now_us(), visit.record
        if visit.verdict is not None and visit.verdict.receipt is not None:
            self._meter.finish(now_us, visit.verdict.receipt, record.tokens_out)
        record.dur_s = (now_us - visit.at_us) / 1_000_000
        self._in_flight -= 1
        self._counters[record.kind] += 1
        if self.log is not None:
            self.log.write(record)

    def _respond(self, visit: Visit, body: bytes) -> web.Response:
        return web.Response(
            status=visit.record.status, body=body, headers=self._headers(visit), content_type="application/json"
        )

    def _headers(self, visit: Visit) -> dict[str, str]:
        now_us, verdict, dialect = self._now_us(), visit.verdict, visit.dialect
        standings = self._meter.look(now_us) if verdict is None else verdict.standings
        headers = dialect.request_headers(visit.serial, now_us - visit.at_us)
        headers |= dialect.limit_headers(standings, now_us if verdict is None else visit.at_us)
        if verdict is not None and not verdict.admitted:
            headers |= dialect.retry_headers(verdict.wait_us)
        return headers

    def _elapsed_s(self, visit: Visit) -> float:
        return (self._now_us() - visit.at_us) / 1_000_000

    def _now_us(self) -> int:
        return self._epoch_us + time.monotonic_ns() // 1_000

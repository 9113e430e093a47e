"""The simulated provider: an HTTP server that admits, waits and answers as OpenAI does, or fails as it was told to."""

import asyncio
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple, Self, get_args

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.behaviour import Behaviour, InvalidBehaviour, change_behaviour
from sluicegate_worker.simulator.calls import answer_no_call, decode_call, is_call
from sluicegate_worker.simulator.faults import Fate, decide_fate, draw_chance
from sluicegate_worker.simulator.headers import limit_headers, retry_headers
from sluicegate_worker.simulator.limits import Limit, Verdict, make_limit
from sluicegate_worker.simulator.log import Kind, Record, RequestLog

MAX_BODY_BYTES = 64 * 1024 * 1024
CONTROL_PATH = "/_sim"
STOP_WITHIN_S = 5.0
DEFAULT = Behaviour()


class CannotStart(Exception):
    """The simulator cannot serve here; the text is one sentence that names the cure."""


class Arrival(NamedTuple):
    """What was decided about a request the moment it came, before its body was read."""

    at_us: int
    fate: Fate | None  # None: not a call, nothing happens to it
    verdict: Verdict | None  # None: there is no limit


class SimulatedProvider:
    """One server in the running event loop. `change` and `snapshot` do what POST and GET /_sim do over HTTP."""

    def __init__(
        self,
        behaviour: Behaviour = DEFAULT,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | None = None,
        log: Path | None = None,
    ) -> None:
        self._behaviour = behaviour
        self._host = host
        self.port = port
        self._random = Random(seed)
        self._log_path = log
        self._log: RequestLog | None = None
        # The wall clock, read once and carried on by the monotonic one: limit and log share a time that never jumps.
        self._epoch_us = time.time_ns() // 1_000 - time.monotonic_ns() // 1_000
        self._limit = self._make_limit()
        self._started_us = self._now_us()
        self._serial = 0
        self._in_flight = 0
        self._counters: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)

    @property
    def url(self) -> str:
        """Without `/v1`: paths are served with and without it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[OSError] = loop.create_future()
        if self._log_path is not None:
            try:
                self._log = RequestLog(self._log_path, self.broken)
            except OSError as error:
                raise CannotStart(f"cannot write {self._log_path}: {error.strerror}; give another --log") from None
        # Cancelling a handler when its client leaves is how an abandoned or hanging call ends.
        self._server = web.Server(
            self._handle, request_factory=_make_request, handler_cancellation=True, access_log=None
        )
        try:
            self._listener = await loop.create_server(self._server, self._host, self.port, backlog=1_024)
        except (OSError, UnicodeError) as error:
            self._close_log()
            place = f"{self._host!r} port {self.port}"
            raise CannotStart(f"cannot listen on {place}: {_explain(error)}; give another --host or --port") from None
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Drops what is in flight: it is logged as abandoned or hanging."""
        self._listener.close()
        for connection in self._server.connections:
            connection.force_close()
        await self._server.shutdown(STOP_WITHIN_S)
        await self._listener.wait_closed()
        self._close_log()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def change(self, changes: Mapping[str, object]) -> None:
        """Takes a part of what `snapshot` shows; all of it is applied, or `InvalidBehaviour` raised and nothing."""
        before, self._behaviour = self._behaviour, change_behaviour(self._behaviour, changes)
        if self._limit is None or self._behaviour.rpm is None or self._behaviour.style != before.style:
            self._limit = self._make_limit()
        else:
            self._limit.change_rate(self._behaviour.rpm, self._now_us())

    def snapshot(self) -> dict[str, object]:
        behaviour: dict[str, object] = msgspec.to_builtins(self._behaviour)
        return behaviour | {"in_flight": self._in_flight, "counters": dict(self._counters)}

    def _make_limit(self) -> Limit | None:
        rpm = self._behaviour.rpm
        return None if rpm is None else make_limit(self._behaviour.style, rpm, self._now_us())

    def _now_us(self) -> int:
        return self._epoch_us + time.monotonic_ns() // 1_000

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()

    # No await before the arrival is decided: the limit and the seed see requests in the order of their arrival.
    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _replace_undecodable(request.path)
        if path == CONTROL_PATH:
            return await self._control(request)
        self._in_flight += 1
        self._serial += 1
        arrival = self._decide_arrival(request.method, path)
        record = Record(
            t=arrival.at_us / 1_000_000,
            id=_read_text_header(request, "Idempotency-Key"),
            attempt=_read_count_header(request, "X-Sluicegate-Attempt"),
            path=path,
            in_flight=self._in_flight,
            admitted=arrival.fate is not None and (arrival.verdict is None or arrival.verdict.admitted),
        )
        serial = f"{self._started_us:016x}{self._serial:016x}"
        try:
            body = await self._answer(request, arrival, record, serial)
            record.status, record.kind = 200, "ok"
        except errors.ApiError as error:
            body = error.encode()
            record.status, record.kind = error.status, error.kind
        finally:
            self._in_flight -= 1
            self._counters[record.kind] += 1
            duration_us = self._now_us() - arrival.at_us
            record.dur_s = duration_us / 1_000_000
            if self._log is not None:
                self._log.write(record)
        headers = {"x-request-id": f"req_{serial}", "openai-processing-ms": str(duration_us // 1_000)}
        if arrival.verdict is not None:
            headers |= limit_headers(arrival.verdict)
            if record.kind == "rate_limited":
                headers |= retry_headers(arrival.verdict)
        return web.Response(status=record.status, body=body, headers=headers, content_type="application/json")

    # A call that will fail is refused like any other when nothing is left, but does not use the limit up.
    def _decide_arrival(self, method: str, path: str) -> Arrival:
        at_us = self._now_us()
        fate = None
        if is_call(method, path):
            fate = decide_fate(self._behaviour, draw_chance(self._random))
        charge = fate is not None and fate.end in ("answer", "hang")
        verdict = None if self._limit is None else self._limit.decide(at_us, charge=charge)
        return Arrival(at_us, fate, verdict)

    async def _answer(self, request: web.BaseRequest, arrival: Arrival, record: Record, serial: str) -> bytes:
        if arrival.fate is None:
            return answer_no_call(request.method, record.path)
        call = decode_call(record.path, await _read_body(request))
        record.model, record.tokens_in = call.model, call.tokens_in
        if arrival.verdict is not None and not arrival.verdict.admitted:
            raise errors.rate_limited(call.model, arrival.verdict)
        if arrival.fate.end == "hang":
            record.kind = "hang"
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(arrival.fate.service_s - (self._now_us() - arrival.at_us) / 1_000_000)
        if isinstance(arrival.fate.end, int):
            raise errors.server_failed(arrival.fate.end)
        record.tokens_out = call.tokens_out
        return call.encode_answer(serial, math.floor(record.t))

    async def _control(self, request: web.BaseRequest) -> web.StreamResponse:
        status = 200
        try:
            if request.method == "POST":
                self.change(_decode_changes(await _read_body(request)))
            elif request.method != "GET":
                raise errors.wrong_method(request.method, CONTROL_PATH)
            body = msgspec.json.encode(self.snapshot())
        except InvalidBehaviour as error:
            status, body = 400, errors.ApiError(400, str(error)).encode()
        except errors.ApiError as error:
            status, body = error.status, error.encode()
        return web.Response(status=status, body=body, content_type="application/json")


# The event loop puts words of its own around the system's. An unknown host name is not on the system's list.
def _explain(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not a host name"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)


def _decode_changes(body: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise errors.body_not_json() from None


async def _read_body(request: web.BaseRequest) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise errors.body_too_large(MAX_BODY_BYTES) from None
    except web.RequestPayloadError:
        raise errors.body_not_json() from None


def _make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES)


def _read_text_header(request: web.BaseRequest, name: str) -> str | None:
    value = request.headers.get(name)
    return None if value is None else _replace_undecodable(value)


def _read_count_header(request: web.BaseRequest, name: str) -> int | None:
    value = request.headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


# Bytes that are not UTF-8 arrive as lone surrogates, which no JSON encoder takes.
def _replace_undecodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()

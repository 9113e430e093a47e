"""The simulated provider: an HTTP server that starts, stops, and is told meanwhile how to behave."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from aiohttp import web

from sluicegate_worker.simulator.behaviour import Behaviour
from sluicegate_worker.simulator.control import CONTROL_PATH, answer_control
from sluicegate_worker.simulator.intake import make_request, read_path
from sluicegate_worker.simulator.log import RequestLog
from sluicegate_worker.simulator.reception import Reception

STOP_WITHIN_S = 5.0
DEFAULT = Behaviour()


class CannotStart(Exception):
    """The simulator cannot serve here; the text is one sentence that names the cure."""


class SimulatedProvider:
    """One server in the running event loop. `change` and `snapshot` do what POST and GET /_sim do over HTTP.

    Raises InvalidBehaviour for a profile that cannot be served over HTTP.
    """

    def __init__(
        self,
        behaviour: Behaviour = DEFAULT,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | None = None,
        log: Path | None = None,
    ) -> None:
        self._reception = Reception(behaviour, seed)
        self._host = host
        self.port = port
        self._log_path = log

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
                self._reception.log = RequestLog(self._log_path, self.broken)
            except OSError as error:
                raise CannotStart(f"cannot write {self._log_path}: {error.strerror}; give another --log") from None
        # Cancelling a handler when its client leaves is how an abandoned or hanging call ends.
        self._server = web.Server(
            self._handle, request_factory=make_request, handler_cancellation=True, access_log=None
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
        self._reception.change(changes)

    def snapshot(self) -> dict[str, object]:
        return self._reception.snapshot()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if read_path(request) == CONTROL_PATH:
            return await answer_control(request, self.change, self.snapshot)
        return await self._reception.receive(request)

    def _close_log(self) -> None:
        if self._reception.log is not None:
            self._reception.log.close()


# The event loop puts words of its own around the system's. An unknown host name is not on the system's list.
def _explain(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not a host name"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)

"""The scaler as a process: looks at the pools, answers by gRPC and by HTTP, and ends at a signal."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
from msgspec import Struct

from sluicegate_worker.loops.ending import end_task
from sluicegate_worker.observe.listening import CannotListen, serve_pages
from sluicegate_worker.port_file import port_file
from sluicegate_worker.scaler.lookout import Lookout
from sluicegate_worker.scaler.page import ScalerPage
from sluicegate_worker.scaler.service import ScalerMetrics, ScalerService, make_server, say_health, stop_server


class Listening(Struct, frozen=True):
    """Where to listen; `http_port` None: not by HTTP. `tls` is certificate, key and the CA of clients, as PEM; the last
    empty where anybody may ask."""

    host: str
    port: int
    http_port: int | None
    tls: tuple[bytes, bytes, bytes] | None
    port_file: Path | None


async def serve_until_signal(redis_url: str, where: Listening, announce: Callable[[int, int | None], None]) -> None:
    """Calls `announce` with both ports once it listens. Raises CannotListen, PortFileBroken or InvalidRequest."""
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    lookout, metrics = Lookout(redis_url), ScalerMetrics()
    async with AsyncExitStack() as stack:
        http_port = None
        if where.http_port is not None:
            pages = ScalerPage(lookout, metrics).pages
            http_port = await stack.enter_async_context(
                serve_pages(pages, where.host, where.http_port, "--http-port or --host")
            )
        _check_free(where.host, where.port)
        address = f"{f'[{where.host}]' if ':' in where.host else where.host}:{where.port}"
        server, port, healthy = make_server(ScalerService(lookout, metrics), address, _make_credentials(where.tls))
        if port == 0:
            raise CannotListen(f"cannot listen on {where.host} port {where.port}; choose another by --port or --host")
        looking = asyncio.create_task(lookout.run(), name="lookout")
        stack.push_async_callback(end_task, looking)
        saying = asyncio.create_task(say_health(healthy, lookout), name="health")
        stack.push_async_callback(end_task, saying)
        await server.start()
        stack.push_async_callback(stop_server, server, healthy)
        stack.enter_context(port_file(where.port_file, port, *([] if http_port is None else [http_port])))
        announce(port, http_port)
        waiting = asyncio.create_task(over.wait(), name="signal")
        stack.push_async_callback(end_task, waiting)
        await asyncio.wait((waiting, looking), return_when=asyncio.FIRST_COMPLETED)
        if looking.done():
            looking.result()


def _check_free(host: str, port: int) -> None:
    """gRPC would write its own lines on stderr, and keep the reason to itself."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise CannotListen(f"cannot listen on {host} port {port}: {why}; choose another by --port or --host") from None


def _make_credentials(tls: tuple[bytes, bytes, bytes] | None) -> grpc.ServerCredentials | None:
    if tls is None:
        return None
    certificate, key, clients = tls
    return grpc.ssl_server_credentials([(key, certificate)], clients or None, require_client_auth=bool(clients))

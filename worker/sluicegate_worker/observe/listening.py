"""Serves pages by HTTP while a block runs: what probes, scrapes and people ask of a process."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from aiohttp import web

Page = Callable[[web.Request], Awaitable[web.Response]]


class CannotListen(Exception):
    """Its text says why, and the cure."""


@contextlib.asynccontextmanager
async def serve_pages(pages: Mapping[str, Page], host: str, port: int, option: str) -> AsyncIterator[int]:
    """Gives the port, which is a free one for 0. Raises CannotListen, naming the `option` that chose the port."""
    app = web.Application()
    for path, page in pages.items():
        app.router.add_get(path, page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise CannotListen(f"cannot listen on {host} port {port}: {why}; choose another by {option}") from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()

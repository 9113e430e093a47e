"""As the first process of a container: what it does not handle, the kernel drops."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.namespaces import UNAVAILABLE, UNSHARE, cannot_unshare
from support.waiting import wait_until


@pytest.mark.skipif(cannot_unshare(), reason=UNAVAILABLE)
async def test_it_ends_at_a_sigterm_that_comes_before_anything_else() -> None:
    """Its server never answers, so that it is still starting when it is told to stop."""
    silent: asyncio.Event = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        command = (*UNSHARE, sys.executable, "-m", "sluicegate_worker", "status", "--redis-url", url)
        outer = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
        try:
            await asyncio.wait_for(silent.wait(), 20)
            [first] = _children_of(outer.pid)
            os.kill(first, signal.SIGTERM)
            await wait_until(lambda: outer.returncode is not None, "it has ended")
            assert outer.returncode == 128 + signal.SIGTERM
        finally:
            if outer.returncode is None:
                outer.kill()
                await outer.wait()


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

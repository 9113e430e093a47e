"""The command line as a process beside the test, with nothing of this machine's own settings."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

UNREACHABLE = "redis://127.0.0.1:1/0"


class Ended(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


class CommandLine:
    """`await sluicegate("status", "--json")`: runs the command against the server."""

    def __init__(self, redis_url: str, directory: Path) -> None:
        self.redis_url = redis_url
        self.directory = directory  # where the command runs; a sluicegate.toml in it would be found

    @asynccontextmanager
    async def running(self, *arguments: str, **environment: str) -> AsyncIterator[Process]:
        """The process, which does not outlive the block."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLUICEGATE_")}
        given = {"SLUICEGATE_REDIS_URL": self.redis_url, "PYTHONUNBUFFERED": "1"} | environment
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sluicegate_worker", *arguments),
            env=inherited | given,
            cwd=self.directory,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        async with self.running(*arguments, **environment) as process:
            out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 50)
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())


def assert_refused(ended: Ended, message: str, code: int = 2) -> None:
    """One sentence on stderr, nothing on stdout, and the code."""
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("sluicegate: ")
    assert message in ended.err

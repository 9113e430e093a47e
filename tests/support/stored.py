"""What is in Redis, and what is sent to it: to look for what must never be there, and to count round trips."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from support.waiting import wait_until


async def read_everything(client: Redis) -> bytes:
    """Every key and every value of the database, one after the other."""
    found: list[bytes] = []
    async for key in client.scan_iter(count=1000):
        kind = await client.type(key)
        found.append(key)
        match kind:
            case b"string":
                found.append(await client.get(key) or b"")
            case b"hash":
                found += [part for pair in (await client.hgetall(key)).items() for part in pair]
            case b"zset":
                found += await client.zrange(key, 0, -1)
            case b"list":
                found += await client.lrange(key, 0, -1)
            case b"stream":
                entries = await client.xrange(key)
                found += [part for _, fields in entries for pair in fields.items() for part in pair]
            case _:
                raise AssertionError(f"{key!r} is a {kind!r}, and nothing here can be")
    return b"\n".join(found)


@asynccontextmanager
async def watch_commands(client: Redis) -> AsyncIterator[list[str]]:
    """The commands that clients send meanwhile, by name; what scripts do inside is not counted. Whole after the block."""
    names: list[str] = []
    marker = f"end-{os.urandom(4).hex()}"
    async with client.monitor() as monitor:
        reading = asyncio.create_task(_read_commands(monitor, names, marker))
        yield names
        await client.echo(marker)
        await wait_until(reading.done, "the last command was seen")
        reading.result()


async def _read_commands(monitor: Any, names: list[str], marker: str) -> None:
    while True:
        command = await monitor.next_command()
        if marker in command["command"]:
            return
        if command["client_type"] != "lua":
            names.append(command["command"].split(" ", 1)[0].upper())

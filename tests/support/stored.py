"""What is in Redis, and what is sent to it: to look for what must never be there, and to count round trips."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from support.waiting import wait_until

# How a value of each type is read whole: the command, and what stands after the key.
READS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "string": ("GET", ()),
    "hash": ("HGETALL", ()),
    "zset": ("ZRANGE", (0, -1, "WITHSCORES")),
    "set": ("SMEMBERS", ()),
    "list": ("LRANGE", (0, -1)),
    "stream": ("XRANGE", ("-", "+")),
}


async def send(client: Any, *command: str | bytes | float) -> Any:
    """One command; what it answers is bytes, which the client's own types do not promise."""
    return await client.execute_command(*command)


async def read_all(client: Redis) -> dict[str, Any]:
    """Every key and what it holds."""
    return {
        key.decode(errors="backslashreplace"): await read_whole(client, key)
        async for key in client.scan_iter(count=1000)
    }


async def read_whole(client: Redis, key: str | bytes) -> Any:
    """What a key holds, to be compared: DUMP would tell how a server has laid it out, too, which changes by itself."""
    kind: bytes = await send(client, "TYPE", key)
    if kind == b"none":
        return None
    command, arguments = READS[kind.decode()]
    return await send(client, command, key, *arguments)


async def read_everything(client: Redis) -> bytes:
    """Every key and every value of the database, one after the other."""
    found = [part for key, value in (await read_all(client)).items() for part in (key.encode(), *_flatten(value))]
    return b"\n".join(found)


def _flatten(value: Any) -> Iterator[bytes]:
    match value:
        case bytes():
            yield value
        case dict():
            yield from _flatten(list(value.items()))
        case float():
            yield repr(value).encode()
        case list() | tuple() | set():
            for part in value:
                yield from _flatten(part)


async def read_dead_letters(client: Redis) -> list[dict[str, str]]:
    return await read_stream(client, "dead")


async def read_stream(client: Redis, name: str) -> list[dict[str, str]]:
    """The entries of a stream of pool `chat`."""
    entries = await send(client, "XRANGE", f"sg:{{chat}}:{name}", "-", "+")
    return [{name.decode(): value.decode(errors="replace") for name, value in fields.items()} for _, fields in entries]


@asynccontextmanager
async def watch_commands(client: Redis) -> AsyncIterator[list[str]]:
    """The names of the commands that clients send meanwhile, without what scripts do inside; whole after the block."""
    names: list[str] = []
    marker = f"end-{os.urandom(4).hex()}"
    async with client.monitor() as monitor:
        reading = asyncio.create_task(_read_commands(monitor, names, marker))
        yield names
        await client.echo(marker)
        await wait_until(reading.done, "the last command was seen")
        reading.result()


@asynccontextmanager
async def holding_writes(client: Redis) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Meanwhile the server keeps every write waiting; gives what tells whether a script waits there."""

    async def is_held() -> bool:
        return any(one["cmd"] == "evalsha" and "b" in one["flags"] for one in await client.client_list())

    await client.client_pause(20_000, all=False)
    try:
        yield is_held
    finally:
        await client.client_unpause()


async def _read_commands(monitor: Any, names: list[str], marker: str) -> None:
    while True:
        command = await monitor.next_command()
        if marker in command["command"]:
            return
        if command["client_type"] != "lua":
            names.append(command["command"].split(" ", 1)[0].upper())

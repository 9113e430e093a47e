"""Connections to one server, each lent to one command at a time. Around every command redis-py's own pool and client do
more than the command itself costs; they stay where commands are rare or servers many."""

import asyncio
from contextlib import suppress
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Connections:
    """As many as there are commands at once, made by redis-py as `pool` says, and kept until `aclose`. One that is not
    answered within `timeout_s` loses its connection, and so does one that is cancelled."""

    def __init__(self, pool: ConnectionPool, timeout_s: float) -> None:
        self._pool, self._timeout_s = pool, timeout_s
        self._made: list[Any] = []
        self._idle: list[Any] = []
        self._closed = False
        self._read_as: Any = Redis(connection_pool=pool).response_callbacks

    async def execute_command(self, *command: Any) -> Any:
        """Sends it once. Raises what redis-py raises."""
        connection = self._idle.pop() if self._idle else self._make()
        try:
            async with asyncio.timeout(self._timeout_s):
                if connection.is_connected and await connection.can_read():  # closed by the server, or out of step
                    await connection.disconnect()
                if not connection.is_connected:  # where sentinels watch, this asks for the primary of now
                    await connection.connect()
                await connection.send_command(*command)
                answer = await connection.read_response()
        except TimeoutError:
            raise RedisTimeoutError(f"no answer within {self._timeout_s:g} s") from None
        finally:
            if self._closed:  # it was being made then
                await connection.disconnect()
            self._idle.append(connection)
        read = self._read_as.get(command[0])
        return answer if read is None else read(answer)

    async def aclose(self) -> None:
        """What is under way breaks off; a command whose connection is still being made has its answer first."""
        self._closed = True
        for connection in self._made:
            with suppress(RedisError, OSError):
                await connection.disconnect()
        await self._pool.aclose()

    def _make(self) -> Any:
        connection: Any = self._pool.make_connection()  # type: ignore[no-untyped-call]  # its own types leave it out
        self._made.append(connection)
        return connection

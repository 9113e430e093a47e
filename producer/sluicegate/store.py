"""The one place where a Redis client is made: single server or cluster, checked before use, errors translated.

redis-py re-sends commands by itself unless told not to, which would run a script twice; here it never does. Whoever
calls
decides what may be repeated. Blocking reads have a client of their own, so that they never make a command wait.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sluicegate.connections import Connections
from sluicegate.errors import InvalidRequest, StoreUnavailable
from sluicegate.servers import CONNECT_TIMEOUT_S, make_pool, place_of

VERSIONS_NEEDED = "Redis 7.0 or Valkey 8.0"
BLOCK_S_MAX = 5.0
_REPLY_TIMEOUT_S = 10.0
_COMMAND_CONNECTIONS = 8  # more than a dispatcher has verbs: one that hangs must not hold up the renewal of its leases
_WAITING_CONNECTIONS = 64  # one for each pool that is waited on, made when it is needed

_ACL_IN_SCRIPT = ("ACL failure in script", "The user executing the script")  # as newer servers say it, and Redis 7.0

Client = Connections | RedisCluster


class Store:
    """A connection to Redis or Valkey. Open it with `async with`, which also checks that the server can be used
    safely, unless told not to by who is to find out what is wrong with it."""

    def __init__(self, url: str, *, check: bool = True) -> None:
        self.url = url
        self._check = check
        self.place = place_of(url)
        self.durable = True
        self._commands: Client | None = None
        self._waiting: Client | None = None
        self._free = asyncio.Semaphore(_COMMAND_CONNECTIONS)  # the cluster client refuses where a pool would wait

    async def __aenter__(self) -> Self:
        probe = Redis.from_pool(make_pool(self.url, _REPLY_TIMEOUT_S))
        try:
            server = await self._guard(probe.info())
        finally:
            await probe.aclose()
        if self._check:
            self._refuse_unsafe(server)
        self.durable = bool(server.get("aof_enabled"))
        cluster = server.get("redis_mode") == "cluster" or server.get("server_mode") == "cluster"
        self._commands = _client(self.url, cluster, _COMMAND_CONNECTIONS)
        self._waiting = _client(self.url, cluster, _WAITING_CONNECTIONS)
        try:
            for client in (self._commands, self._waiting):
                if isinstance(client, RedisCluster):  # who sends before it knows the nodes is sent anywhere
                    await self._guard(client.initialize())
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in (self._commands, self._waiting):
            if client is not None:
                await client.aclose()
        self._commands = self._waiting = None

    async def call(self, *command: Any) -> Any:
        """Sends one command, once. Raises StoreUnavailable; NoScriptError passes, for its caller repairs it."""
        async with self._free:
            return await self._guard(_opened(self._commands).execute_command(*command))

    async def wait(self, *command: Any) -> Any:
        """Sends one blocking command on a connection kept for such; it must block for less than `BLOCK_S_MAX`
        seconds."""
        return await self._guard(_opened(self._waiting).execute_command(*command))

    async def _guard(self, call: Any) -> Any:
        try:
            return await call
        except NoScriptError:
            raise
        except (AuthenticationError, NoPermissionError) as error:
            raise self._refused(error) from error
        except (RedisConnectionError, RedisTimeoutError, OSError, AttributeError) as error:
            # AttributeError: what redis-py's cluster client raises when a connection in use is dropped by another task.
            raise StoreUnavailable(
                f"cannot reach Redis at {self.place}: {str(error).rstrip('.')}; is it running, and is the URL right?"
            ) from error
        except OutOfMemoryError as error:
            raise StoreUnavailable(
                f"{self.place} has reached its maxmemory and takes nothing new: drain it or raise maxmemory", "OOM"
            ) from error
        except (RedisError, RedisClusterException) as error:
            if any(words in str(error) for words in _ACL_IN_SCRIPT):
                raise self._refused(error) from error
            cure = "; `sluicegate doctor` looks for damaged keys" if "user_script" in str(error) else ""
            raise StoreUnavailable(f"{self.place} answered: {error}{cure}", str(error)) from error

    def _refused(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.place} refuses these credentials: {error}; check the user and its ACL", "NOPERM"
        )

    async def describe_servers(self) -> dict[str, dict[str, Any]]:
        """What each server says of itself (INFO), by its address; of a cluster, all primaries."""
        client = _opened(self._commands)
        if not isinstance(client, RedisCluster):
            return {self.place: await self.call("INFO")}
        found: dict[str, dict[str, Any]] = {}
        for node in client.get_primaries():
            found[node.name] = await self._guard(node.execute_command("INFO"))
        return found

    def _refuse_unsafe(self, server: dict[str, Any]) -> None:
        version, is_new_enough = read_version(server)
        if not is_new_enough:
            raise StoreUnavailable(f"{self.place} is {version}: Sluicegate needs {VERSIONS_NEEDED}, or newer")
        policy = server.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise StoreUnavailable(
                f"{self.place} evicts keys when memory is full (maxmemory-policy {policy}), which would drop requests: "
                "set maxmemory-policy noeviction"
            )


def read_version(server: dict[str, Any]) -> tuple[str, bool]:
    """The server's name and version, and whether it is new enough."""
    name = "Valkey" if server.get("server_name") == "valkey" else "Redis"
    version = str(server.get("valkey_version") or server.get("redis_version"))
    return f"{name} {version}", int(version.split(".", maxsplit=1)[0]) >= (8 if name == "Valkey" else 7)


def _opened(client: Client | None) -> Client:
    if client is None:
        raise InvalidRequest("not open: use the producer or dispatcher inside `async with`")
    return client


def _client(url: str, cluster: bool, connections: int) -> Client:
    if not cluster:
        return Connections(make_pool(url, None), _REPLY_TIMEOUT_S)
    return RedisCluster.from_url(
        url,
        max_connections=connections + 4,
        reinitialize_steps=0,  # else the fifth redirection closes connections that are in use
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        socket_timeout=_REPLY_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
    )

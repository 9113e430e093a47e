"""From a URL to what makes connections: one server, or whichever one sentinels say is the primary.

    redis://[user:password@]host:port/db                                rediss:// for TLS; any node of a cluster
    redis+sentinel://[user:password@]host:port[,host:port…]/service/db  rediss+sentinel:// for TLS, to all of them

Options follow as redis-py has them (`?ssl_ca_certs=…`); `sentinel_username` and `sentinel_password` are for sentinels
that want their own.
"""

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from sluicegate.errors import InvalidRequest
from sluicegate.packing import with_fast_packing

CONNECT_TIMEOUT_S = 3.0
_SENTINEL_TIMEOUT_S = 1.0  # the next one is asked then
_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_OWN = {"sentinel_username": "username", "sentinel_password": "password"}


class SentinelPool(SentinelConnectionPool):
    """Each connection asks for the primary when it is made, and again once its server says that it is none any more."""

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def make_pool(url: str, reply_timeout_s: float | None) -> ConnectionPool:
    """`reply_timeout_s` None where somebody else looks at the clock. Raises InvalidRequest where the URL is none."""
    try:
        pool = _follow_sentinels(url, reply_timeout_s) if is_watched(url) else _stay(url, reply_timeout_s)
        pool.make_connection()  # type: ignore[no-untyped-call]  # not opened: it refuses options that it does not know
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"the Redis URL {place_of(url)} is not usable: {error}") from error
    pool.connection_class = with_fast_packing(pool.connection_class)
    return pool


def is_watched(url: str) -> bool:
    """By sentinels."""
    return url.partition("://")[0] in _SCHEMES


def place_of(url: str) -> str:
    """The server's address without user and password, fit for a message."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rsplit("@", 1)[-1]
    except ValueError:
        host = ""
    return f"{parts.scheme}://{host}{parts.path}" if host else re.sub(r"//.*@", "//", url)


def _stay(url: str, reply_timeout_s: float | None) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        socket_timeout=reply_timeout_s,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        health_check_interval=20,
    )


def _follow_sentinels(url: str, reply_timeout_s: float | None) -> ConnectionPool:
    """The options are read by redis-py, from the URL of a single server that has them all."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("name the service that sentinels watch: redis+sentinel://host:26379/service/0")
    if database and not database.isdigit():
        raise ValueError(f"{database} is no number of a database")
    options = parse_qsl(parts.query)
    asked = urlencode([(name, value) for name, value in options if name not in _OWN])
    plain = f"{_SCHEMES[parts.scheme]}://{login and login + '@'}host/{database or 0}?{asked}"
    found = _stay(plain, reply_timeout_s).connection_kwargs
    given = {name: value for name, value in found.items() if name not in ("host", "port")}
    tls = {name: value for name, value in given.items() if name.startswith("ssl_")}
    own: dict[str, Any] = {_OWN[name]: value for name, value in options if name in _OWN}
    manager = Sentinel(  # type: ignore[no-untyped-call]  # its own types leave it out
        [_read_address(host) for host in hosts.split(",")],
        sentinel_kwargs=own
        | tls
        | {
            "ssl": parts.scheme == "rediss+sentinel",
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "socket_timeout": _SENTINEL_TIMEOUT_S,
            "socket_connect_timeout": _SENTINEL_TIMEOUT_S,
        },
    )
    secure = parts.scheme == "rediss+sentinel"
    return SentinelPool(unquote(service), manager, ssl=secure, **given)  # type: ignore[no-untyped-call]  # likewise


def _read_address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, "26379"
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text or 'nothing'} is no sentinel's host:port")
    return host.strip("[]"), int(port)

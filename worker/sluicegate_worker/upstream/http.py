"""Calls an upstream over HTTP: once. No retries, redirects or proxies of its own, and no answer larger than allowed."""

import os
import socket
import ssl
from io import BytesIO
from math import isfinite

import aiohttp

from sluicegate_worker.upstream.call import Answer, Call, CallFailed, Listener, read_headers
from sluicegate_worker.upstream.profiles import headers_for

_CONNECT_TIMEOUT_S = 10.0
_CHUNK_BYTES = 65_536
_PLAIN_BYTES_MAX = 1_048_576


class HttpUpstream:
    """One API root and one key. Close it when done."""

    def __init__(self, base_url: str, provider: str, key: str | None, max_in_flight: int, max_reply_bytes: int) -> None:
        self._base_url = base_url.rstrip("/")
        self._provider, self._key = provider, key
        self._max_reply_bytes = max_reply_bytes
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=max_in_flight, keepalive_timeout=30),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent",),
        )
        # aiohttp sends idempotent methods again by itself when a kept connection broke; every call must pass the
        # bucket.
        self._session._retry_connection = False  # noqa: SLF001  # it has no public switch

    async def call(self, call: Call, listener: Listener | None = None) -> Answer:
        # Without the threshold aiohttp rounds long time-outs up to whole seconds, beyond the deadline.
        timeout = aiohttp.ClientTimeout(
            total=call.timeout_s,
            sock_connect=_CONNECT_TIMEOUT_S,
            sock_read=call.silence_s if isfinite(call.silence_s) else None,
            ceil_threshold=call.timeout_s + _CONNECT_TIMEOUT_S,
        )
        try:
            async with self._session.request(
                call.method,
                self._base_url + call.path,
                data=_payload(call.body),
                headers=headers_for(self._provider, self._key, call.headers),
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                headers = read_headers(response.headers.items())
                good = 200 <= response.status < 300
                if listener is not None and good:
                    listener.begin(response.status, headers)
                body = await self._read(response, listener if good else None)
                return Answer(response.status, headers, body)
        except TimeoutError as error:
            raise CallFailed("timeout", f"no answer within {min(call.timeout_s, call.silence_s):.1f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed("connection", _describe(error)) from error

    async def close(self) -> None:
        await self._session.close()

    async def _read(self, response: aiohttp.ClientResponse, listener: Listener | None) -> bytes:
        chunks, size = [], 0
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_reply_bytes:
                raise CallFailed(
                    "too_large", f"the answer has more than {self._max_reply_bytes} bytes (max_reply_bytes)"
                )
            chunks.append(chunk)
            if listener is not None:
                listener.feed(chunk)
        return b"".join(chunks)


def _payload(body: bytes) -> bytes | BytesIO | None:
    """aiohttp wants large bodies as a file, so that it can give way to others while it sends."""
    return BytesIO(body) if len(body) > _PLAIN_BYTES_MAX else body or None


def _describe(error: Exception) -> str:
    """What went wrong, without the address: agents read it, and where requests go is the operator's business."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {_reason(error.os_error)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before an answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the answer is not HTTP: {error.message}"
    if isinstance(error, OSError):
        return f"the connection broke: {_reason(error)}"
    return f"the answer broke off: {type(error).__name__}"


def _reason(error: OSError) -> str:
    """The system's own words: what asyncio, aiohttp and ssl write into `strerror` may hold the address."""
    if isinstance(error, socket.gaierror):
        return error.strerror or "no such name"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({type(error).__name__})"
    return os.strerror(error.errno) if error.errno else type(error).__name__

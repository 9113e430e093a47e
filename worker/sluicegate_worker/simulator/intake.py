"""What is read of an HTTP request, whatever its client sent."""

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from sluicegate_worker.simulator import errors

MAX_BODY_BYTES = 64 * 1024 * 1024


def make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    """As aiohttp makes its own, but with room for a larger body."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES)


async def read_body(request: web.BaseRequest) -> bytes:
    """Raises ApiError for one that is too large or no body at all."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise errors.body_too_large(MAX_BODY_BYTES) from None
    except web.RequestPayloadError:
        raise errors.body_not_json() from None


def read_path(request: web.BaseRequest) -> str:
    return _replace_undecodable(request.path)


def read_text_header(request: web.BaseRequest, name: str) -> str | None:
    value = request.headers.get(name)
    return None if value is None else _replace_undecodable(value)


def read_count_header(request: web.BaseRequest, name: str) -> int | None:
    value = request.headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


# Bytes that are not UTF-8 arrive as lone surrogates, which no JSON encoder takes.
def _replace_undecodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()

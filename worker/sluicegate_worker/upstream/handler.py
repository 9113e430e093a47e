"""Calls a Python coroutine instead of an HTTP API: `await coroutine(path, body, headers) -> (status, headers, body)`.

The body is bytes, or an async iterator of bytes, which is streamed to who wants it streamed.
"""

import asyncio
import importlib
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

from sluicegate_worker.settings import SettingsError
from sluicegate_worker.upstream.call import Answer, Call, CallFailed, Listener, read_headers

Handler = Callable[[str, bytes, dict[str, str]], Awaitable[tuple[int, dict[str, str], bytes | AsyncIterable[bytes]]]]


class HandlerUpstream:
    """A handler's exception is a failed call like a broken connection; its message goes into the history."""

    def __init__(self, handler: Handler, max_reply_bytes: int) -> None:
        self._handler, self._max_reply_bytes = handler, max_reply_bytes

    async def call(self, call: Call, listener: Listener | None = None) -> Answer:
        try:
            async with asyncio.timeout(min(call.timeout_s, call.silence_s)) as limit:
                ends_at = asyncio.get_running_loop().time() + call.timeout_s
                found, headers, body = await self._handler(call.path, call.body, call.headers)
                status, named = int(found), read_headers((str(k), str(v)) for k, v in headers.items())
                if isinstance(body, AsyncIterable):
                    if listener is not None and 200 <= status < 300:
                        listener.begin(status, named)
                    else:
                        listener = None
                    limit.reschedule(ends_at)
                    body = await self._collect(body, listener, call.silence_s)
            answer = Answer(status, named, bytes(body))
        except CallFailed:
            raise
        except TimeoutError as error:
            raise CallFailed("timeout", f"no answer within {min(call.timeout_s, call.silence_s):.1f} s") from error
        except BaseException as error:
            if _is_cancelled():
                raise
            # Whatever a handler raises, cancellations and exits of its own included, is one failed call and no more.
            raise CallFailed("handler", f"{type(error).__name__}: {error}") from error
        self._check_size(len(answer.body))
        return answer

    async def _collect(self, body: AsyncIterable[bytes], listener: Listener | None, silence_s: float) -> bytes:
        collected, loop = bytearray(), asyncio.get_running_loop()
        async with asyncio.timeout(silence_s) as limit:
            async for piece in body:
                limit.reschedule(loop.time() + silence_s)
                collected += piece
                self._check_size(len(collected))
                if listener is not None:
                    listener.feed(bytes(piece))
        return bytes(collected)

    def _check_size(self, size: int) -> None:
        if size > self._max_reply_bytes:
            raise CallFailed("too_large", f"the answer has more than {self._max_reply_bytes} bytes (max_reply_bytes)")

    async def close(self) -> None:
        return


def import_handler(name: str) -> Handler:
    """The coroutine function `package.module:name`, from sys.path. Raises SettingsError."""
    module_name, _, attribute = name.partition(":")
    try:
        handler: Any = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"handler {name} cannot be imported: {error}; is its folder on PYTHONPATH?") from error
    if not any(map(inspect.iscoroutinefunction, (handler, getattr(handler, "__call__", None)))):  # noqa: B004
        raise SettingsError(f"handler {name} is not a coroutine function; define it with `async def`")
    return handler  # type: ignore[no-any-return]  # what it returns is checked at each call


def _is_cancelled() -> bool:
    """Whether it is this call that is to end, and not something inside the handler."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

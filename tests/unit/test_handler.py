"""A handler in place of an HTTP API: whatever it does is one call's outcome, and only a cancelled call is cancelled."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping

import pytest

from sluicegate_worker.settings import SettingsError
from sluicegate_worker.upstream.call import Answer, Call, CallFailed
from sluicegate_worker.upstream.handler import Handler, HandlerUpstream, import_handler

CALL = Call("POST", "/embeddings", {}, b"{}", timeout_s=60)


def raising(error: BaseException) -> HandlerUpstream:
    async def handler(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        raise error

    return HandlerUpstream(handler, max_reply_bytes=1000)


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError("own"), SystemExit("own"), GeneratorExit("own"), ValueError("own")]
)
async def test_whatever_a_handler_raises_is_a_failed_call(error: BaseException) -> None:
    with pytest.raises(CallFailed, match=f"^{type(error).__name__}: own$") as caught:
        await raising(error).call(CALL)
    assert caught.value.kind == "handler"


async def test_a_time_out_of_its_own_is_a_time_out() -> None:
    with pytest.raises(CallFailed, match=r"no answer within 60\.0 s") as caught:
        await raising(TimeoutError()).call(CALL)
    assert caught.value.kind == "timeout"


async def test_what_a_handler_cancelled_itself_is_its_own_trouble() -> None:
    async def handler(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        part = asyncio.ensure_future(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(part.cancel)
        await part
        return 200, {}, b"{}"

    with pytest.raises(CallFailed, match=r"^CancelledError") as caught:
        await HandlerUpstream(handler, max_reply_bytes=1000).call(CALL)
    assert caught.value.kind == "handler"


async def cancelled_while(handler: Handler, begun: asyncio.Event) -> asyncio.Task[Answer]:
    call = asyncio.create_task(HandlerUpstream(handler, max_reply_bytes=1000).call(CALL))
    await begun.wait()
    call.cancel()
    await asyncio.wait([call])
    return call


async def test_a_cancelled_call_is_cancelled() -> None:
    begun = asyncio.Event()

    async def handler(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        begun.set()
        await asyncio.Event().wait()
        return 200, {}, b"{}"

    assert (await cancelled_while(handler, begun)).cancelled()


def test_a_coroutine_function_is_a_handler() -> None:
    assert import_handler("support.echo:echo").__name__ == "echo"


@pytest.mark.parametrize("name", ["json:loads", "json:__doc__", "json:JSONDecoder"])
def test_what_is_no_coroutine_function_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^handler {name} is not a coroutine function; define it with `async def`"):
        import_handler(name)


@pytest.mark.parametrize("name", ["no_such_module:loads", "json:no_such_name"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^handler {name} cannot be imported: .*; is its folder on PYTHONPATH"):
        import_handler(name)


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.head: tuple[int, dict[str, str]] | None = None
        self.pieces: list[bytes] = []

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.head = status, dict(headers)

    def feed(self, piece: bytes) -> None:
        self.pieces.append(piece)


def streaming(status: int, *pieces: bytes) -> HandlerUpstream:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def handler(
        path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], AsyncIterator[bytes]]:
        return status, {"A": "b"}, stream()

    return HandlerUpstream(handler, max_reply_bytes=1000)


async def test_a_body_that_comes_in_pieces_is_heard_piece_by_piece() -> None:
    heard = Heard()
    assert await streaming(200, b"one", b"two").call(CALL, heard) == Answer(200, {"a": "b"}, b"onetwo")
    assert (heard.head, heard.pieces) == ((200, {"a": "b"}), [b"one", b"two"])


async def test_what_is_no_success_or_nobody_hears_comes_as_a_whole() -> None:
    heard = Heard()
    assert (await streaming(500, b"one", b"two").call(CALL, heard)).body == b"onetwo"
    assert heard.head is None
    assert (await streaming(200, b"one", b"two").call(CALL)).body == b"onetwo"


async def test_pieces_are_too_large_together() -> None:
    with pytest.raises(CallFailed, match="max_reply_bytes") as caught:
        await streaming(200, b"x" * 600, b"x" * 600).call(CALL, Heard())
    assert caught.value.kind == "too_large"


async def test_pieces_may_come_for_longer_than_nothing_may_come() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.15)
            yield b"on"
        await asyncio.Event().wait()

    async def handler(
        path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], AsyncIterator[bytes]]:
        return 200, {}, stream()

    heard = Heard()
    call = Call("POST", "/embeddings", {}, b"{}", timeout_s=60, silence_s=0.3)
    with pytest.raises(CallFailed, match=r"no answer within 0\.3 s"):
        await HandlerUpstream(handler, max_reply_bytes=1000).call(call, heard)
    assert heard.pieces == [b"on"] * 3

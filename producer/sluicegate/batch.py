"""Calls made in the same moment share a round trip: one script call carries all that came while the last was under way.

Nothing waits for company: the first call leaves at the end of the present turn of the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

_ROWS_MAX = 100
_BYTES_MAX = 1_048_576

Row = TypeVar("Row", bound=tuple[Any, ...])


class Batcher(Generic[Row]):
    """Sends rows by `call`, which answers a list with one answer per row; each sender gets its own answer. `size_of`
    says how many bytes a row has, where it can have many.

    An error of `call` is every sender's error: `call` itself repeats what may be repeated.
    """

    def __init__(
        self, name: str, call: Callable[[list[Row]], Awaitable[list[Any]]], size_of: Callable[[Row], int] = lambda _: 0
    ) -> None:
        self._name, self._call, self._size_of = name, call, size_of
        self._queued: list[tuple[Row, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._under_way: tuple[list[Row], asyncio.Future[list[Any]]] | None = None

    def send(self, row: Row) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queued.append((row, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(), name=self._name)
        return future

    async def withdraw(self, row: Row) -> Any:
        """For who waits no longer: the row's answer, when its call has ended; None where there is none, for the row has
        not left and will not, or its call failed."""
        for at, (queued, _) in enumerate(self._queued):
            if queued is row:
                del self._queued[at]
                return None
        if self._under_way is None:
            return None
        rows, ended = self._under_way
        for sent, answer in zip(rows, await asyncio.shield(ended), strict=False):  # no answers where it failed
            if sent is row:
                return answer
        return None

    async def close(self) -> None:
        """Returns when everything that was sent has its answer."""
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _send_all(self) -> None:
        try:
            while self._queued:
                count = self._count_fitting()
                batch, self._queued = self._queued[:count], self._queued[count:]
                ended: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
                self._under_way = [row for row, _ in batch], ended
                answers: list[Any] = []
                try:
                    answers = await self._send(batch)
                finally:
                    ended.set_result(answers)
        finally:
            self._sender = self._under_way = None

    def _count_fitting(self) -> int:
        """How many of the queued rows go together; one always does, whatever its size."""
        size = 0
        for count, (row, _) in enumerate(self._queued[:_ROWS_MAX]):
            size += self._size_of(row)
            if count and size > _BYTES_MAX:
                return count
        return min(len(self._queued), _ROWS_MAX)

    async def _send(self, batch: list[tuple[Row, asyncio.Future[Any]]]) -> list[Any]:
        """The answers, or none where the call failed."""
        try:
            answers: list[Any] = await self._call([row for row, _ in batch])
            answered = list(zip(batch, answers, strict=True))
        except Exception as error:  # noqa: BLE001  # it is raised where the answer is awaited
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return []
        for (_, future), answer in answered:
            if not future.done():
                future.set_result(answer)
        return answers

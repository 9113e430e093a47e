"""What sends the requests: dispatchers, the commands, and what they are watched with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluicegate_worker.dispatcher import Dispatcher

__all__ = ["Dispatcher"]


def __getattr__(name: str) -> object:
    """Imports the dispatcher only when asked for, so that `sluicegate` starts fast, and at all without [worker]."""
    if name == "Dispatcher":
        from sluicegate_worker.dispatcher import Dispatcher

        return Dispatcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

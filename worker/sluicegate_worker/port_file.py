"""Says in a file where a process listens, for as long as it does."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


class PortFileBroken(Exception):
    """It cannot be written; the text is one sentence."""


@contextlib.contextmanager
def port_file(path: Path | None, *ports: int) -> Iterator[None]:
    """A port a line; nothing where there is no path. Raises PortFileBroken."""
    if path is not None:
        _write_whole(path, "".join(f"{port}\n" for port in ports))
    try:
        yield
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


# Whoever waits for the file must never read half a number.
def _write_whole(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise PortFileBroken(f"cannot write the port to {path}: {error.strerror}; give another --port-file") from None

"""What hiredis packs is what redis-py would have sent."""

import pytest
from redis.asyncio.connection import Connection, UnixDomainSocketConnection

from sluicegate import packing
from sluicegate.packing import with_fast_packing

COMMANDS = [
    ("PING",),
    ("CLIENT SETINFO", "LIB-NAME", "redis-py"),
    ("EVALSHA", "a" * 40, 2, "sg:{chat}:config", "sg:{chat}:sched", "ärger", b"\x00\r\n\xff", 0, -5, 1.5, ""),
    ("XADD", "s", "*", "body", b"x" * 100_000),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_what_redis_py_packs(command: tuple[str | bytes | int | float, ...]) -> None:
    theirs, ours = Connection(), with_fast_packing(Connection)()
    assert b"".join(ours.pack_command(*command)) == b"".join(theirs.pack_command(*command))
    many = [command, ("PING",)]
    assert b"".join(ours.pack_commands(many)) == b"".join(theirs.pack_commands(many))


def test_it_stays_the_connection_that_it_was() -> None:
    assert issubclass(with_fast_packing(UnixDomainSocketConnection), UnixDomainSocketConnection)


def test_without_hiredis_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_pack", None)
    assert with_fast_packing(Connection) is Connection

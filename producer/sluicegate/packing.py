"""How commands are put into bytes: by hiredis where it is installed. In pure Python that is half of what a batch costs
its sender."""

from collections.abc import Iterable
from typing import Any

try:
    import hiredis
except ImportError:  # an agent may do without
    _pack: Any = None
else:
    _pack = hiredis.pack_command


def with_fast_packing(connection_class: type[Any]) -> type[Any]:
    """The same connection; hiredis packs what it sends. Unchanged where hiredis is missing."""
    if _pack is None:
        return connection_class
    return type(connection_class.__name__, (_Packing, connection_class), {})


class _Packing:
    def pack_command(self, *args: Any) -> list[bytes]:
        first, *others = args
        words = first.split() if isinstance(first, (str, bytes)) else [first]  # redis-py's own may be two words
        return [_pack((*words, *others))]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [b"".join(self.pack_command(*command)[0] for command in commands)]

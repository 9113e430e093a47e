"""A Lua file becomes a typed call: its header is read, checked and turned into the script's first lines.

A script file opens with its shebang and a header:

    #!lua flags=allow-oom
    --[[
    settle: what the script does, in one sentence.

    KEYS    run        STREAM  fixed keys, by their name in `keys.py`; each becomes a local of that name
    ARGV    dispatcher text    arguments that come once
    EACH    id         text    arguments that come once per request; `for id, … in each() do` walks them
    RETURNS …
    ]]
    -- @include clock keys

KEYS and ARGV therefore cannot drift from their use: the names in the header are the names in the code, and Redis
refuses
an unknown one. Includes come from the `include` folders; only `clock` asks for the time, so that tests bring their own.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import chain
from typing import Any

from redis.exceptions import NoScriptError

from sluicegate.keys import PoolKeys
from sluicegate.store import Store

Argument = str | bytes | int | float

_SHEBANG = re.compile(r"#!lua[^\n]*\n")
_HEADER = re.compile(r"--\[\[\n(.*?)\n\]\]\n", re.DOTALL)
_INCLUDE = re.compile(r"^-- @include ([a-z_ ]+)\n", re.MULTILINE)
_TOP_LOCAL = re.compile(r"^local (function )?(\w+(?:, \w+)*)( =)?", re.MULTILINE)
_WORD = re.compile(r"\w+")
_SECTION = re.compile(r"(KEYS|ARGV|EACH|RETURNS)?\s+(\S+)")
_INCLUDE_FOLDERS = (files("sluicegate") / "lua" / "include",)

EACH_WALK = """
local function each()
  local at = {first} - {width}
  return function()
    at = at + {width}
    if at <= #ARGV then return unpack(ARGV, at, at + {width} - 1) end
  end
end
"""


class ScriptError(Exception):
    """A Lua file that breaks the form above; a fault of the programme, never of its user."""


class Script:
    """One atomic verb. Calling it sends EVALSHA, and EVAL once where the server does not know the script (a restart,
    a failover)."""

    def __init__(
        self, folder: Traversable, name: str, *, each: tuple[str, ...] | None = None, clock: str | None = None
    ) -> None:
        text = (folder / f"{name}.lua").read_text("utf-8")
        shebang, header = _SHEBANG.match(text), _HEADER.search(text)
        if shebang is None or header is None or not header.group(1).startswith(f"{name}: "):
            raise ScriptError(f"{name}.lua must open with #!lua and a header that begins '{name}: '")
        self.name = name
        self.keys, self.arguments, self.each = (_section(header.group(1), part) for part in ("KEYS", "ARGV", "EACH"))
        if not self.keys or self.keys[0] != "config":
            raise ScriptError(f"{name}.lua must declare config as its first key: the others are built from it")
        if each is not None and each != self.each:
            raise ScriptError(f"{name}.lua takes {self.each} for each request, its caller gives {each}")
        self.source = shebang.group() + self._preamble() + _including(text[header.end() :], folder, clock)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self, store: Store, keys: PoolKeys, arguments: Sequence[Argument] = (), each: Iterable[Sequence[Argument]] = ()
    ) -> Any:
        """Runs the script once. Raises StoreUnavailable; never repeats by itself what the server may have executed."""
        flat = list(arguments)
        for row in each:
            flat.extend(row)
        if len(arguments) != len(self.arguments) or (len(flat) - len(arguments)) % (len(self.each) or 1):
            raise ScriptError(f"{self.name} takes {self.arguments} and rows of {self.each}")
        names = [keys.fixed(name) for name in self.keys]
        try:
            return await store.call("EVALSHA", self.sha, len(names), *names, *flat)
        except NoScriptError:
            return await store.call("EVAL", self.source, len(names), *names, *flat)

    def _preamble(self) -> str:
        lines = _locals(self.keys, "KEYS") + _locals(self.arguments, "ARGV")
        walk = EACH_WALK.format(first=len(self.arguments) + 1, width=len(self.each)) if self.each else ""
        return lines + walk


def _section(header: str, wanted: str) -> tuple[str, ...]:
    names: list[str] = []
    current = ""
    for line in header.splitlines()[1:]:
        match = _SECTION.match(line)
        if match and (match.group(1) or line.startswith("        ")):
            current = match.group(1) or current
            if current == wanted and not line.startswith("         "):
                names.append(match.group(2))
    return tuple(names)


def _locals(names: tuple[str, ...], source: str) -> str:
    return "".join(f"local {name.replace(':', '_')} = {source}[{at}]\n" for at, name in enumerate(names, 1))


def _including(text: str, folder: Traversable, clock: str | None) -> str:
    """The script's text, with its includes in place of the first line that names some."""
    names = [name for match in _INCLUDE.finditer(text) for name in match.group(1).split()]
    parts = [_read_include(name, folder, clock) for name in names]
    before, _, after = _INCLUDE.sub("\0", text).partition("\0")
    script = before + after.replace("\0", "")
    uses = Counter(chain.from_iterable(_read_words(part) for part in (script, *parts)))
    scoped = [_scope(part, uses) for part in parts]
    return before + "".join(scoped) + after.replace("\0", "")


def _read_include(name: str, folder: Traversable, clock: str | None) -> str:
    if name == "clock" and clock is not None:
        return clock
    for path in (folder / "include" / f"{name}.lua", *(other / f"{name}.lua" for other in _INCLUDE_FOLDERS)):
        if path.is_file():
            return path.read_text("utf-8")
    raise ScriptError(f"no include {name}.lua beside the scripts")


@cache  # most scripts have most includes in common, and every command reads them all
def _read_words(part: str) -> frozenset[str]:
    return frozenset(_WORD.findall(part))


def _scope(part: str, uses: Counter[str]) -> str:
    """What of an include no other part uses stays its own: a Lua script may have no more than 200 locals at once."""
    shared: list[str] = []

    def share(match: re.Match[str]) -> str:
        function, names, equals = match.groups(default="")
        if all(uses[name] == 1 for name in names.split(", ")):
            return match.group()
        shared.extend(names.split(", "))
        return f"{function}{names}{equals}" if function or equals else ""

    body = _TOP_LOCAL.sub(share, part)
    return f"local {', '.join(shared)}\ndo\n{body}end\n" if shared else f"do\n{body}end\n"

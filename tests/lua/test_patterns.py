"""Patterns of agents as the scripts read them: Lua's fit the same names as the shell's that they were written as."""

from fnmatch import fnmatchcase

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sluicegate_worker.script_terms import lua_pattern
from support.properties import PROPERTY
from support.scripts import Bench

FIND = "return string.find(ARGV[1], ARGV[2]) and 1 or 0"
NAMES = st.text("abzAZ09._-", min_size=1, max_size=6)
PATTERNS = st.text("abzAZ09._-*?[]!^%\\ä", min_size=1, max_size=10)


@settings(PROPERTY, max_examples=400)
@given(name=NAMES, pattern=PATTERNS)
@example("a", "[!]")
@example("a", "[]")
@example("a", "[]a]")
@example("a", "[!]a]")
@example("b", "[%-z]")
@example("-", "[a-]")
@example("b", "[z-a]")
@example("a.b", "a.b")
@example("axb", "a.b")
@example("a", "%a")
async def test_they_fit_the_same_names(bench: Bench, name: str, pattern: str) -> None:
    found = await bench.redis.eval(FIND, 0, name, lua_pattern(pattern))
    assert found == fnmatchcase(name, pattern)

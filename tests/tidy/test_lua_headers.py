"""What a script declares is what it uses, by the names of its header; and no script or include is left over."""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from sluicegate import keys, script_files
from sluicegate.scripts import Script
from sluicegate_worker import script_files as worker_script_files

FOLDERS = (files("sluicegate") / "lua", files("sluicegate_worker") / "lua")
FIXED = ("config", "sched", "run", "retry", "due", "dead", "idle", "served", "expiry", "wake", "audit")


def script_names(folder: Traversable) -> list[str]:
    return sorted(path.name.removesuffix(".lua") for path in folder.iterdir() if path.name.endswith(".lua"))


def words_of(source: str) -> set[str]:
    """Every name in the code: not in comments and strings, nor where the header's names become locals."""
    code = re.sub(r"--\[\[.*?\]\]", "", source, flags=re.DOTALL)
    code = re.sub(r"--[^\n]*|'[^'\n]*'|^local \w+ = (?:KEYS|ARGV)\[\d+\]$|\w+ = |\.\w+", "", code, flags=re.MULTILINE)
    return set(re.findall(r"[A-Za-z_]\w*", code))


def find_differences(script: Script) -> list[str]:
    used = words_of(script.source)
    declared = (*script.keys[1:], *script.arguments)  # config comes first in any case, for ACLs and the cluster's slots
    unused = [f"{name} is declared, and not used" for name in declared if name not in used]
    undeclared = [f"{name} is used, and not declared" for name in FIXED if name in used and name not in script.keys]
    unknown = [f"{name} is no key of keys.py" for name in script.keys if name not in FIXED]
    return unused + undeclared + unknown


def test_every_header_says_what_its_script_uses() -> None:
    found = {
        f"{name}.lua": differences
        for folder in FOLDERS
        for name in script_names(folder)
        if (differences := find_differences(Script(folder, name)))
    }
    assert found == {}


def test_every_script_is_loaded_somewhere() -> None:
    for folder, module in zip(FOLDERS, (script_files, worker_script_files), strict=True):
        assert sorted(value.name for value in vars(module).values() if isinstance(value, Script)) == script_names(
            folder
        )


def test_every_include_is_included() -> None:
    sources = [(folder / f"{name}.lua").read_text("utf-8") for folder in FOLDERS for name in script_names(folder)]
    included = {
        name
        for source in sources
        for line in re.findall(r"^-- @include (.+)$", source, re.MULTILINE)
        for name in line.split()
    }
    assert included == {name for folder in FOLDERS for name in script_names(folder / "include")}


def test_the_fixed_keys_are_rows_of_keys_py() -> None:
    assert keys.__doc__
    assert [name for name in FIXED if f"\n    {name} " not in keys.__doc__] == []


def test_a_difference_is_found() -> None:
    script = Script(FOLDERS[0], "cancel")
    script.source = script.source.replace("idle", "idler") + "\nredis.call('DEL', dead) -- idle\n"
    assert find_differences(script) == ["idle is declared, and not used", "dead is used, and not declared"]

"""The names of keys are the same in keys.py and in the scripts."""

import re
from importlib.resources import files

from sluicegate import keys
from sluicegate.keys import PoolKeys
from support.scripts import Bench

INCLUDE = (files("sluicegate") / "lua" / "include" / "keys.lua").read_text("utf-8")
BUILT = re.findall(r"^local function (\w+)_key\(([\w, ]+)\)", INCLUDE, re.MULTILINE)


async def test_scripts_and_python_build_the_same_names(bench: Bench) -> None:
    ours = PoolKeys("chat")
    assert {name for name, _ in BUILT} == {name for name in vars(PoolKeys) if not name.startswith("_")} - {"fixed"}
    for name, parameters in BUILT:
        arguments = ["batch", "ann"][: parameters.count(",") + 1]
        call = ", ".join(f"'{argument}'" for argument in arguments)
        built = await bench.redis.eval(
            f"local config = KEYS[1]\n{INCLUDE}\nreturn {name}_key({call})", 1, ours.fixed("config")
        )
        assert built == getattr(ours, name)(*arguments)


def test_every_key_of_a_pool_has_its_hash_tag() -> None:
    ours = PoolKeys("a.b-c")
    assert ours.fixed("run") == "sg:{a.b-c}:run"
    for name, parameters in BUILT:
        assert getattr(ours, name)(*["x"] * (parameters.count(",") + 1)).startswith("sg:{a.b-c}:")


async def test_what_a_key_is_called_and_of_what_type_stands_in_one_table(bench: Bench) -> None:
    """Every key that a busy pool has is a row of the table in keys.py, with that type."""
    assert keys.__doc__
    rows = re.findall(r"^    ([a-z]+)(?::<\w+>)*\s+(HASH|ZSET|STREAM|STRING|LIST)\b", keys.__doc__, re.MULTILINE)
    assert len(rows) >= 17
    table = dict(rows)
    await bench.submit("ann", 9, key="")
    await bench.submit("ann", key="k")
    await bench.submit("bob", lane="batch")
    leased = await bench.take(5)
    await bench.settle(leased[0])
    await bench.bury(leased[1])
    await bench.redis.hset(bench.keys.request(leased[2].id), "crashes", 2)
    await bench.retry(leased[2], leased[3])
    await bench.submit("hopper")
    await bench.lease(count=1)
    found = {}
    async for key in bench.redis.scan_iter(match="sg:{chat}:*"):
        found[key.split(":")[2]] = (await bench.redis.type(key)).upper()
    assert {name: table.get(name) for name in found} == found
    assert set(table) - set(found) <= {"idle", "spent", "alive"}


def test_the_table_and_what_checks_it_say_the_same() -> None:
    assert keys.__doc__
    table = re.findall(r"^    ([a-z]\S+)\s+(\w+)", keys.__doc__.split("Outside", maxsplit=1)[0], re.MULTILINE)
    written = {shape: type_.lower() for shape, type_ in table if shape != "aside:<name>"}
    assert written == keys.TYPES


def test_only_names_that_can_be_ours_have_a_type() -> None:
    ours = {
        "run": "stream", "ring:batch": "zset", "backlog:interactive:a.b-c": "stream", "key:ann:a b:{c}": "string",
        "request:" + "i" * 64: "hash", "upstream:a": "hash",
    }  # fmt: skip
    assert {name: keys.type_of(name) for name in ours} == ours
    strange = ["", "run:x", "ring", "ring:express", "backlog:interactive:", "backlog:a:b", "request:a:b", "aside:run"]
    strange += ["request:" + "i" * 65, "request:a\n", "run\n", "key:ann:", "key:ann:\n", "upstream:é", "configs"]
    assert [name for name in strange if keys.type_of(name) is not None] == []

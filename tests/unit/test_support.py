"""The tests' own tools find what they are for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from sluicegate.keys import POOLS, type_of
from sluicegate_worker.demo.embedded_cluster import EmbeddedCluster
from support.contents import read_contents
from support.leaks import assert_at_rest, assert_sound, find_leftovers
from support.source_tree import ROOT
from support.waiting import wait_until, wait_until_sync


async def test_waiting_ends_with_the_condition_or_says_what_was_missing() -> None:
    calls: list[int] = []

    async def third_time() -> bool:
        calls.append(1)
        return len(calls) == 3

    await wait_until(third_time, "the third call")
    assert len(calls) == 3
    with pytest.raises(AssertionError, match="in vain until pigs fly"):
        await wait_until(lambda: False, "pigs fly", timeout_s=0.02)
    with pytest.raises(AssertionError, match="in vain until pigs fly"):
        wait_until_sync(lambda: False, "pigs fly", timeout_s=0.02)


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_starts_with_empty_servers(turn: int, client: Redis, cluster: EmbeddedCluster) -> None:
    async with RedisCluster.from_url(cluster.url, protocol=2) as clustered:
        for each in (client, clustered):
            assert [key async for key in each.scan_iter()] == []
            await each.set("left", turn, ex=60)


async def put(client: Redis | RedisCluster, *keys: str) -> None:
    """Keys of the types that they should have, with something in each."""
    for key in keys:
        match type_of(key.split(":", maxsplit=2)[-1]):
            case "hash":
                await client.hset(key, "field", "1")
            case "zset":
                await client.zadd(key, {"ann": 1})
            case "stream":
                await client.xadd(key, {"field": "x"})
            case "list":
                await client.rpush(key, "1")
            case _:
                await client.set(key, "x")


async def test_what_may_remain_is_no_leak(client: Redis) -> None:
    await client.hset(POOLS, "chat", "x")
    await put(client, *(f"sg:{{chat}}:{name}" for name in ("config", "sched", "idle", "upstream:a", "audit", "wake")))
    await client.set("sg:{chat}:reply:1", "x", ex=60)
    await client.xgroup_create("sg:{chat}:run", "dispatchers", mkstream=True)
    await assert_at_rest(client, "chat")


@pytest.mark.damages
async def test_a_leak_is_found(client: Redis) -> None:
    leaks = ["other", "sg:{chat}:request:1", "sg:{chat}:ring:batch", "sg:{chat}:run"]
    await put(client, *leaks, "sg:{chat}:config")
    assert find_leftovers(await read_contents(client)) == sorted(leaks)
    with pytest.raises(AssertionError, match=r"sg:{chat}:request:1"):
        await assert_at_rest(client, "chat")


@pytest.mark.damages
async def test_another_pools_key_is_a_leak(client: Redis) -> None:
    await put(client, "sg:{other}:config")
    await assert_at_rest(client, "other")
    with pytest.raises(AssertionError, match=r"sg:{other}:config is no key of ours"):
        await assert_at_rest(client, "chat")


@pytest.mark.damages
@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (["left"], "left is no key of ours"),
        (["sg:{chat}:request:1"], "request 1 is nowhere"),
        (["sg:{chat}:run"], "entry .* of run is not the place of request"),
        (["sg:{chat}:ring:batch"], "ring:batch has"),
        (["sg:{chat}:expiry"], "expiry has"),
        (["sg:{chat}:reply:1"], "reply:1 should have a time to live"),
    ],
)
async def test_what_contradicts_itself_is_found_at_the_end_of_any_test(
    client: Redis, redis_url: str, keys: list[str], found: str
) -> None:
    await put(client, *keys)
    with pytest.raises(AssertionError, match=found):
        assert_sound(redis_url)


async def test_the_cluster_has_three_primaries_and_every_slot(cluster: EmbeddedCluster) -> None:
    async with RedisCluster.from_url(cluster.url, protocol=2) as client:
        assert len(client.get_primaries()) == 3
        owners = set()
        pools = "abcdefgh"
        for pool in pools:
            key = f"sg:{{{pool}}}:config"
            await put(client, key)
            owners.add(client.get_node_from_key(key))
        assert len(owners) == 3
        assert set(await read_contents(client)) == {f"sg:{{{pool}}}:config" for pool in pools}


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        ("@pytest.mark.skip(reason='no time')\ndef test_it(): pass", "1 error"),
        ("def test_it(): pytest.skip('no time')", "1 failed"),
        ("pytest.skip('no time', allow_module_level=True)", "1 error"),
        ("def test_it(): pytest.skip('an excuse')", "1 skipped"),
        ("@pytest.mark.xfail(strict=True)\ndef test_it(): assert False", "1 xfailed"),
        ("def test_it(): pass", "1 passed"),
    ],
)
def test_a_skip_needs_an_excuse(test: str, verdict: str, tmp_path: Path) -> None:
    excuse = "from support import skipping\nskipping.EXCUSES['an excuse'] = lambda: True\n"
    (tmp_path / "test_planted.py").write_text(f"import pytest\n{excuse}{test}\n")
    assert verdict in run_pytest(tmp_path, "-p", "support.skipping")


def test_the_long_tier_runs_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text("import pytest\n@pytest.mark.full\ndef test_it(): pass\n")
    marker = ("-o", "markers=full")
    assert "1 deselected" in run_pytest(tmp_path, "-p", "conftest", *marker)
    assert "1 passed" in run_pytest(tmp_path, "-p", "conftest", *marker, "--full")


def run_pytest(directory: Path, *options: str) -> str:
    """The last line of what pytest says about the planted file there."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", ".", *options, "test_planted.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    run = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    return run.stdout.splitlines()[-1]

"""`sluicegate dispatch` as a process: how it starts, what it says, how it drains, and how it refuses to start."""

import asyncio
import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer
from sluicegate_worker.demo.embedded import EmbeddedServer, find_free_port
from support.commands import CommandLine, assert_refused
from support.pools import chat, make_settings
from support.processes import launch_dispatcher, start_dispatcher, write_settings
from support.proxy import Proxy
from support.restarting import RestartingServer
from support.served_pool import PATH, apply_settings
from support.upstream import Upstream, answer, once
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")


async def list_dispatchers(client: Redis) -> list[str]:
    return [one["name"].decode() for one in await client.xinfo_consumers("sg:{chat}:run", "dispatchers")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_it_drains_under_load(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, tmp_path: Path, number: int, code: int
) -> None:
    """The first takes nothing new and finishes what it has; a second one does the rest."""
    gate = asyncio.Event()
    upstream.next_up.extend([once(gate, answer())] * 20)
    file = write_settings(redis_url, upstream.base_url, "rpm = 6000")
    with start_dispatcher(tmp_path, file) as first:
        calls = [asyncio.create_task(producer.request(PATH, chat(str(n)), agent=f"a{n % 9}")) for n in range(200)]
        await wait_until(lambda: len(upstream.arrivals) > 40, "it is under load")
        [name] = await list_dispatchers(client)
        first.process.send_signal(number)
        await wait_until(lambda: "draining" in first.words, "it drains")
        assert first.code is None
        with start_dispatcher(tmp_path, file) as second:
            await wait_until(lambda: len(upstream.arrivals) > 100, "the second goes on")
            gate.set()
            assert await first.end() == code, first.words
            assert name not in await list_dispatchers(client)
            replies = await asyncio.gather(*calls)
            second.process.terminate()
            assert await second.end() == 0, second.words
    assert await list_dispatchers(client) == []
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
    ids = [arrival.headers["idempotency-key"] for arrival in upstream.arrivals]
    assert len(ids) == len(set(ids)) == 200
    assert "Traceback" not in first.words + second.words


async def test_told_to_stop_before_it_serves_it_stops(upstream: Upstream, tmp_path: Path) -> None:
    """As a pod is that is scaled away while it starts: nothing may be waited for in vain until SIGKILL."""
    with RestartingServer() as server:
        server.freeze()
        async with Proxy(server.url) as proxy:
            with launch_dispatcher(tmp_path, write_settings(proxy.url, upstream.base_url)) as dispatcher:
                await wait_until(lambda: proxy.connected, "it asks the server")
                dispatcher.process.terminate()
                await wait_until(lambda: "draining" in dispatcher.words, "it has heard")
                server.thaw()
                assert await dispatcher.end() == 0, dispatcher.words
                assert "Traceback" not in dispatcher.words


async def test_draining_while_redis_is_away_is_no_disaster(upstream: Upstream, tmp_path: Path) -> None:
    with (
        RestartingServer() as server,
        start_dispatcher(tmp_path, write_settings(server.url, upstream.base_url)) as dispatcher,
    ):
        server.kill()
        await wait_until(lambda: "cannot be leased from" in dispatcher.words, "it misses its server")
        dispatcher.process.terminate()
        assert await dispatcher.end() == 0
        assert "Traceback" not in dispatcher.words


async def test_another_file_is_said_and_redis_followed(
    redis_url: str, upstream: Upstream, producer: AsyncProducer, tmp_path: Path
) -> None:
    await apply_settings(make_settings(redis_url, upstream.base_url, upstream={"rpm": 600}, max_request_bytes=500))
    other = write_settings(redis_url, upstream.base_url, "rpm = 60000")
    with start_dispatcher(tmp_path, other) as dispatcher:
        assert "the policy in Redis differs from this file and is followed" in dispatcher.words
        assert "`sluicegate pool apply`" in dispatcher.words
        calls = [producer.request(PATH, chat(str(number)), agent=f"a{number}") for number in range(6)]
        await asyncio.gather(*calls)
    assert upstream.arrivals[-1].at - upstream.arrivals[0].at > 5 * 0.1 * 0.9  # 600 a minute, and not 60,000


async def test_an_upstream_that_only_one_side_knows_is_not_used(
    redis_url: str, upstream: Upstream, producer: AsyncProducer, tmp_path: Path
) -> None:
    await apply_settings(make_settings(redis_url, upstream.base_url))
    extra = '[[pools.chat.upstreams]]\nname = "b"\nprovider = "openai"\nbase_url = "http://127.0.0.1:9/v1"'
    with start_dispatcher(tmp_path, write_settings(redis_url, upstream.base_url) + extra) as dispatcher:
        assert "upstreams only in the file or only in Redis are not used from here: b" in dispatcher.words
        replies = await asyncio.gather(*(producer.request(PATH, chat(str(number))) for number in range(10)))
    assert {reply.upstream for reply in replies} == {"a"}


async def test_a_server_without_a_file_of_its_own_is_said(redis_url: str, upstream: Upstream, tmp_path: Path) -> None:
    """The tests' server keeps none; one that does is not complained about."""
    with start_dispatcher(tmp_path, write_settings(redis_url, upstream.base_url)) as dispatcher:
        assert "keeps no append-only file" in dispatcher.words
    with (
        EmbeddedServer() as durable,
        start_dispatcher(tmp_path, write_settings(durable.url, upstream.base_url)) as dispatcher,
    ):
        assert "append-only" not in dispatcher.words


UPSTREAM = '[[pools.chat.upstreams]]\nname = "a"\nprovider = "openai"\n'
HTTP = f'{UPSTREAM}base_url = "http://127.0.0.1:9/v1"\n'


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("[pools.chat\n", "is not valid TOML"),
        ("", "pools is missing"),
        (f"[pools.chat]\nbacklog = 3\n{HTTP}", "backlog is not a setting"),
        (f'{HTTP}rpm = "many"', "rpm must be a number"),
        (f'{HTTP}api_key_env = "PLANTED_MISSING"', "PLANTED_MISSING holds no usable key"),
        (f'{HTTP}api_key_file = "missing.key"', "missing.key cannot be read"),
        (f'{UPSTREAM}handler = "nowhere.to:be"', "handler nowhere.to:be cannot be imported"),
    ],
)
async def test_wrong_settings_are_refused_in_one_sentence(sluicegate: CommandLine, file: str, sentence: str) -> None:
    (sluicegate.directory / "sluicegate.toml").write_text(file)
    assert_refused(await sluicegate("dispatch"), sentence, code=2)


async def test_without_a_file_or_a_server_it_says_so(sluicegate: CommandLine) -> None:
    assert_refused(await sluicegate("dispatch"), "there is no sluicegate.toml here", code=2)
    port = find_free_port()
    url = f"redis://:hunter2-planted@127.0.0.1:{port}/0"
    (sluicegate.directory / "sluicegate.toml").write_text(write_settings(url, "http://127.0.0.1:9/v1"))
    ended = await sluicegate("dispatch", "--redis-url", url)
    assert_refused(ended, f"redis://127.0.0.1:{port}/0", code=3)
    assert "hunter2" not in ended.err


async def test_a_server_that_drops_keys_is_refused(sluicegate: CommandLine) -> None:
    with EmbeddedServer("--maxmemory-policy", "volatile-ttl") as server:
        (sluicegate.directory / "sluicegate.toml").write_text(write_settings(server.url, "http://127.0.0.1:9/v1"))
        ended = await sluicegate("dispatch", "--redis-url", server.url)
    assert_refused(ended, "set maxmemory-policy noeviction", code=3)


async def test_its_name_is_in_the_group_while_it_serves(
    client: Redis, redis_url: str, upstream: Upstream, tmp_path: Path
) -> None:
    with start_dispatcher(tmp_path, write_settings(redis_url, upstream.base_url)) as dispatcher:

        async def is_listed() -> bool:
            return any(f"-{dispatcher.pid}-" in name for name in await list_dispatchers(client))

        await wait_until(is_listed, "it is in the group")
    assert await list_dispatchers(client) == []

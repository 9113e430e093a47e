"""`scripts/bench sizing`: memory and append-only file for each request, and the time to read that file again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import click
import msgspec
from redis.asyncio import Redis

from bench.sizing.upstream import ANSWER
from sluicegate import AsyncProducer
from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from sluicegate_worker.observe.events import Events
from sluicegate_worker.policy_settings import Breaker
from sluicegate_worker.registry import apply_policy
from sluicegate_worker.settings import Pool, Retry, Settings, Upstream, policy_of
from support.restarting import RestartingServer

FOLDER = click.Path(file_okay=False, path_type=Path)
BODIES = {1_000: 10_000, 10_000: 5_000, 100_000: 1_000}  # bytes → how many requests
AGENTS = 200
RELOADED = 100_000
POOL, PATH = "bench", "/chat/completions"
AT_ONCE = 500

State = Literal["waiting", "answered", "dead"]
STATES: tuple[State, ...] = ("waiting", "answered", "dead")


class Size(msgspec.Struct, frozen=True):
    """Bytes for each request in that state, beside its body where it is waiting or dead; `file_bytes` is what its whole
    way there wrote to the append-only file."""

    body_bytes: int
    state: State
    memory_bytes: float
    file_bytes: float


class Document(msgspec.Struct, frozen=True):
    """Everything that was measured. `reload_s`: for so many waiting requests of 1 kB."""

    sizes: list[Size]
    reloaded: int
    reload_s: float
    answer_bytes: int
    schema: int = 1


@click.command("sizing")
@click.option("--reloaded", type=click.IntRange(100, 1_000_000), default=RELOADED, show_default=True)
@click.option("--out", type=FOLDER, help="Where to write sizing.md and sizing.json.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def command(reloaded: int, out: Path | None, as_json: bool) -> None:
    """Fills a private server with requests that wait, are answered, or are dead."""
    found = asyncio.run(_measure_all(reloaded))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "sizing.md").write_text(write_table(found), encoding="utf-8")
        (out / "sizing.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    click.echo(msgspec.json.encode(found).decode() if as_json else write_table(found))


def write_table(found: Document) -> str:
    rows = (
        f"| {size.body_bytes:,} | {size.state} | {size.memory_bytes:,.0f} | {size.file_bytes:,.0f} |"
        for size in found.sizes
    )
    head = ("| body | state | memory beside the body, bytes | append-only file, bytes |", "|--:|---|--:|--:|")
    last = (
        f"Answers have {found.answer_bytes:,} bytes. A server with {found.reloaded:,} waiting requests of 1 kB, killed,"
        f" serves again after {found.reload_s:.1f} s."
    )
    lines = [*head, *rows, "", last]
    return "\n".join(lines) + "\n"


async def _measure_all(reloaded: int) -> Document:
    sizes = []
    for body_bytes, count in BODIES.items():
        for state in STATES:
            click.echo(f"{body_bytes:,} bytes, {state}", err=True)
            sizes.append(await _measure(body_bytes, state, count))
    click.echo(f"{reloaded:,} to be read again", err=True)
    return Document(sizes, reloaded, await _measure_reload(reloaded), len(ANSWER))


async def _measure(body_bytes: int, state: State, count: int) -> Size:
    with RestartingServer() as server:
        async with Redis.from_url(server.url, protocol=2) as client:
            await client.config_set("auto-aof-rewrite-percentage", 0)  # else the file is made smaller meanwhile
            settings = _make_settings(server.url, "fail" if state == "dead" else "answer")
            async with Store(server.url) as store:
                await apply_policy(store, POOL, policy_of(settings.pools[POOL]), "bench")
            memory, file = await _read_sizes(client)
            async with _served(settings, served=state != "waiting"):
                await _submit(server.url, body_bytes, count, waits=state != "waiting")
            memory_after, file_after = await _read_sizes(client)
    kept = 0 if state == "answered" else body_bytes
    return Size(body_bytes, state, (memory_after - memory) / count - kept, (file_after - file) / count)


async def _measure_reload(count: int) -> float:
    with RestartingServer() as server:
        settings = _make_settings(server.url, "answer")
        async with Store(server.url) as store:
            await apply_policy(store, POOL, policy_of(settings.pools[POOL]), "bench")
        await _submit(server.url, 1_000, count, waits=False)
        server.kill()
        began_at = time.monotonic()
        server.start()
        return time.monotonic() - began_at


@asynccontextmanager
async def _served(settings: Settings, *, served: bool) -> AsyncIterator[None]:
    if not served:
        yield
        return
    async with Dispatcher(settings, events=Events()):
        yield


async def _submit(url: str, body_bytes: int, count: int, *, waits: bool) -> None:
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "x" * (body_bytes - 70)}]}
    async with AsyncProducer(url, pool=POOL) as producer:
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(count, first + AT_ONCE))
            tickets = await asyncio.gather(
                *(producer.submit(PATH, body, agent=f"a{n % AGENTS}", deadline=3_600) for n in numbers)
            )
            if waits:
                await asyncio.gather(*(ticket.reply(timeout=60) for ticket in tickets), return_exceptions=True)


async def _read_sizes(client: Redis) -> tuple[int, int]:
    """Memory and file, once the server has nothing else to do."""
    memory, file = await client.info("memory"), await client.info("persistence")
    return int(memory["used_memory_dataset"]), int(file["aof_current_size"])


def _make_settings(url: str, handler: str) -> Settings:
    destination = f"bench.sizing.upstream:{handler}"
    upstream = Upstream(name="a", provider="openai", handler=destination, rpm=60_000_000, max_in_flight=1_000)
    pool = Pool(
        upstreams=(upstream,),
        retry=Retry(max_attempts=1),
        breaker=Breaker(failures=1_000_000),  # what fails here is meant to
        max_backlog=10_000_000,
        max_backlog_per_agent=1_000_000,
        max_backlog_bytes=10_000_000_000,
    )
    return Settings(redis_url=url, pools={POOL: pool})

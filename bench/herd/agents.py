"""One process of agents: `python -m bench.herd.agents JOB` offers its part of the traffic and notes what came of it."""

import asyncio
import json
import sys
import time
from importlib import import_module
from pathlib import Path

from bench.herd.job import Ask, Job, NotAnswered, Request, Wish, read_job

START_POLL_S = 0.02
START_WAIT_S = 120.0


async def serve(job: Job) -> list[dict[str, object]]:
    column = import_module(f"bench.herd.columns.{job.column}")
    async with column.open_column(job) as ask:
        await asyncio.to_thread(Path(job.ready_file).touch)
        starts_in_s = await asyncio.to_thread(_await_start, Path(job.start_file))
        began_at = asyncio.get_running_loop().time() + starts_in_s
        async with asyncio.TaskGroup() as group:
            wishes = [group.create_task(_wish(job, ask, request, began_at)) for request in job.requests]
    return [wish.result() for wish in wishes]


def _await_start(start_file: Path) -> float:
    """In how many seconds the run starts: all processes begin at the moment that the file names."""
    give_up_at = time.monotonic() + START_WAIT_S
    while not start_file.exists():
        if time.monotonic() >= give_up_at:
            sys.exit("nobody gave the start")
        time.sleep(START_POLL_S)
    return float(start_file.read_text(encoding="utf-8")) - time.time()


async def _wish(job: Job, ask: Ask, request: Request, began_at: float) -> dict[str, object]:
    """Times count from when the answer was wanted, not from when this process came to it: its delay is no excuse."""
    loop = asyncio.get_running_loop()
    wanted_at = began_at + request.offset_s
    await asyncio.sleep(wanted_at - loop.time())
    late_s = loop.time() - wanted_at
    reason = await _ask_until_deadline(ask, Wish(request, wanted_at, wanted_at + job.deadline_s))
    return {
        "number": request.number,
        "late_s": late_s,
        "ended_s": loop.time() - began_at,
        "reason": reason,
    }


async def _ask_until_deadline(ask: Ask, wish: Wish) -> str | None:
    """Why there is no answer; None when there is one."""
    try:
        async with asyncio.timeout_at(wish.deadline_at):
            await ask(wish)
    except TimeoutError:
        return "deadline"
    except NotAnswered as refusal:
        return str(refusal)
    except Exception as error:  # noqa: BLE001 - each library has errors of its own, and all mean that it gave up
        return type(error).__name__
    return None


def main(job: Job) -> None:
    outcomes = asyncio.run(serve(job))
    Path(job.outcome_file).write_text(json.dumps(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main(read_job(Path(sys.argv[1])))

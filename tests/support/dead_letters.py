"""Requests that were given up, and what has become of them."""

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead
from support.served_pool import PATH, POOL, make_settings, serve
from support.stored import send


async def make_dead(url: str, count: int = 1, *, agent: str = "ann", body: bytes = b'{"do":"fail"}') -> list[str]:
    """Requests that a dispatcher gave up; their ids, the oldest first. Nobody serves the pool then."""
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent=agent) as producer:
        ids = []
        for _ in range(count):
            ticket = await producer.submit(PATH, body)
            with pytest.raises(RequestDead):
                await ticket.reply()
            ids.append(ticket.id)
    return ids


async def list_states(client: Redis, ids: list[str]) -> list[str]:
    """The stream where each is, or `none` where nothing of it is kept."""
    places = [await send(client, "HGET", f"sg:{{chat}}:request:{one}", "place") for one in ids]
    return [place.decode().split()[0] if place else "none" for place in places]

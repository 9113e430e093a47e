"""How many agents wait makes no difference to what a request costs the server: measured side by side, as a ratio."""

import pytest

from bench.scheduling.cost import VERBS, CrowdedPool, Size, measure_costs
from sluicegate.store import Store
from sluicegate_worker.demo.embedded import EmbeddedServer

FEW, MANY = Size(200, 400), Size(100_000, 200_000)
BATCH = 10
ROUNDS = 300
RATIO_MAX = 2.0  # what of the server's work grows at all grows with the logarithm


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_a_request_costs_no_more_where_many_agents_wait() -> None:
    with EmbeddedServer("--appendonly", "no") as server:  # of its own: what 100,000 agents leave is not looked through
        async with Store(server.url) as store:
            pools = [CrowdedPool(store, "few", FEW), CrowdedPool(store, "many", MANY)]
            for pool in pools:
                await pool.fill()
            [_, many] = await measure_costs(pools, [BATCH], ROUNDS, store)
    assert {verb: many.ratio[verb] for verb in VERBS if many.ratio[verb] > RATIO_MAX} == {}, many

"""`scripts/bench scheduling` end to end, as small as can be."""

from bench.scheduling.command import Document, measure, write
from bench.scheduling.comparison import compare_trace
from bench.scheduling.cost import Size


def test_a_trace_is_compared() -> None:
    comparison = compare_trace(None, 4, 1, 90)
    ours, fifo = comparison.verdicts["sluicegate"], comparison.verdicts["fifo"]
    assert comparison.requests == 360
    assert ours.difference_s is not None
    assert ours.bound_s is not None
    assert ours.difference_s <= ours.bound_s
    assert min(ours.time_use, fifo.time_use) > 0.9
    assert "| **Sluicegate** |" in write(Document(1, [comparison], [], []))


async def test_costs_are_ratios_to_the_first_size() -> None:
    costs, memory = await measure([Size(2, 300), Size(20, 300)], 2)
    assert [(cost.agents, cost.batch) for cost in costs[:3]] == [(2, 1), (20, 1), (2, 10)]
    assert all(cost.ratio["lease"] == 1 for cost in costs if cost.agents == 2)
    assert all(one.bytes > 500 for one in memory)
    assert "| 20 | 300 | 100 |" in write(Document(1, [], costs, memory))

"""The status document and the server's memory as Prometheus gauges: what Redis says at the moment of a scrape.

Every dispatcher says the same of a pool, so queries take the maximum over them and not the sum.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

Document = dict[str, Any]

_POOL = {  # metric → field of the document, help
    "pool_waiting": ("waiting", "Requests that wait"),
    "pool_in_flight": ("in_flight", "Requests in flight"),
    "pool_delayed": ("delayed", "Requests that wait out a delay"),
    "pool_dead": ("dead", "Dead letters"),
    "pool_agents_waiting": ("agents_waiting", "Agents with waiting requests"),
    "pool_oldest_waiting_seconds": ("oldest_waiting_s", "Age of the request that waits longest, 0 when none does"),
    "pool_backlog_seconds": ("backlog_s", "How long the pool's full capacity needs for what waits"),
    "pool_fairness_gap_seconds": (
        "fairness_gap_s",
        "Largest difference of virtual time between agents that wait in the interactive lane",
    ),
    "pool_paused": ("paused", "1 where an operator has paused the pool"),
}
_UPSTREAM = {
    "upstream_utilisation_ratio": ("utilisation_60s", "Calls of the last minute ÷ the limit, where there is one"),
    "upstream_pace_factor": ("factor", "What feedback leaves of the paced rate, from 0 to 1"),
    "upstream_pause_seconds": ("pause_s", "How long it still takes nothing, by the provider's word"),
    "upstream_in_flight": ("in_flight", "Calls in flight"),
    "upstream_calls_last_minute": ("calls_60s", "Calls of the last minute"),
    "upstream_refusals_last_minute": ("status_429_60s", "429s of the last minute"),
}
_RATES = {
    "upstream_limit_per_minute": ("limit", "The limit in force"),
    "upstream_paced_per_minute": ("paced", "The rate kept to now"),
    "upstream_actual_per_minute": ("actual", "The rate of late"),
}
_BREAKER = ("closed", "open", "half_open")


class Gauges(Collector):
    """Of one moment. `document` is the status document, None where Redis could not be asked; `servers` is what each
    says of itself (INFO), by its address; the addresses stay here."""

    def __init__(self, document: Document | None, servers: Mapping[str, Mapping[str, Any]]) -> None:
        self.registry = CollectorRegistry()
        self._document, self._servers = document, servers
        self.registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield GaugeMetricFamily("sluicegate_redis_up", "1 where Redis answered this scrape", self._document is not None)
        if self._document is None:
            return
        yield from self._describe_memory()
        pools = self._document["pools"]
        for name, (field, text) in _POOL.items():
            yield _family(name, text, ("pool",), (((pool["name"],), pool[field] or 0) for pool in pools))
        alive = (((pool["name"],), sum(one["alive"] for one in pool["dispatchers"])) for pool in pools)
        yield _family("pool_dispatchers_alive", "Dispatchers that were heard of lately", ("pool",), alive)
        yield from _describe_upstreams([(pool["name"], one) for pool in pools for one in pool["upstreams"]])

    def _describe_memory(self) -> Iterator[GaugeMetricFamily]:
        """Of a cluster the fullest server: that is the one which will refuse first."""
        found = [(int(said.get("used_memory", 0)), int(said.get("maxmemory", 0))) for said in self._servers.values()]
        used, most = max(found, key=lambda pair: pair[0] / pair[1] if pair[1] else 0.0)
        yield _family("redis_memory_used_bytes", "Memory of the fullest server", (), [((), used)])
        yield _family("redis_memory_max_bytes", "Its maxmemory, 0 for none", (), [((), most)])


def _describe_upstreams(upstreams: list[tuple[str, Document]]) -> Iterator[GaugeMetricFamily]:
    labels = ("pool", "upstream")
    for name, (field, text) in _UPSTREAM.items():
        known = (((pool, one["name"]), one[field]) for pool, one in upstreams if one[field] is not None)
        yield _family(name, text, labels, known)
    for name, (field, text) in _RATES.items():
        rates = (
            ((pool, one["name"], dimension), rate)
            for pool, one in upstreams
            for dimension, rate in one[field].items()
            if rate is not None
        )
        yield _family(name, text, (*labels, "dimension"), rates)
    states = (((pool, one["name"], state), one["breaker"] == state) for pool, one in upstreams for state in _BREAKER)
    yield _family("upstream_breaker", "1 for the state that the breaker is in", (*labels, "state"), states)


def _family(
    name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"sluicegate_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family

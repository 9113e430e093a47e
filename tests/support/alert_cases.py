"""Of each alert: series of which it fires, and series, one for each of its conditions, of which it does not."""

from collections.abc import Iterable
from typing import NamedTuple

Series = dict[str, str]


class Case(NamedTuple):
    """`fires` is bad from the beginning, of one thing. In Prometheus' words `a+bxn` is a, a+b, … n times more; between
    two values lies a minute. The alert is looked at after `at_m` minutes."""

    fires: Series
    quiet: tuple[Series, ...]
    at_m: int = 30


def _together(series: Iterable[Series]) -> Series:
    return {name: values for one in series for name, values in one.items()}


def of_pool(name: str, values: str, labels: str = "") -> Series:
    return {f'sluicegate_{name}{{pool="chat"{labels}}}': values}


def of_upstream(name: str, values: str, labels: str = "") -> Series:
    return of_pool(name, values, f', upstream="a"{labels}')


def either(name: str, fires: str, quiet: str, at_m: int = 30) -> Case:
    """Of one series of the pool."""
    return Case(of_pool(name, fires), (of_pool(name, quiet),), at_m)


def calls(each_minute: float, **others: float) -> Series:
    """That many good ones, and others by their status."""
    return _together(
        of_upstream("calls_total", f"0+{count}x180", f', status="{status.removeprefix("_")}"')
        for status, count in {"2xx": each_minute, **others}.items()
    )


def histogram(name: str, seconds: float, labels: str = "") -> Series:
    """A hundred a minute that take so long."""
    return _together(
        of_pool(f"{name}_bucket", "0+100x60" if float(le) >= seconds else "0x60", f'{labels}, le="{le}"')
        for le in ("0.05", "0.1", "0.25", "1", "30", "60", "+Inf")
    )


def quota(actual: int, dimension: str = "rpm") -> Series:
    """Of a hundred."""
    by = f', dimension="{dimension}"'
    return {
        **of_upstream("upstream_actual_per_minute", f"{actual}x200", by),
        **of_upstream("upstream_paced_per_minute", "100x200", by),
    }


def counted_tokens(each_minute: int, direction: str, dimension: str) -> Series:
    """Of a limit of a thousand."""
    return {
        **of_upstream("tokens_total", f"0+{each_minute}x200", f', direction="{direction}"'),
        **of_upstream("upstream_paced_per_minute", "1000x200", f', dimension="{dimension}"'),
    }


def breaker(closed: int, upstream: str = "a") -> Series:
    states = {"closed": closed, "open": 1 - closed, "half_open": 0}
    return _together(
        of_pool("upstream_breaker", f"{value}x180", f', upstream="{upstream}", state="{state}"')
        for state, value in states.items()
    )


def queue(waiting: int, delayed: int) -> Series:
    return of_pool("pool_waiting", f"{waiting}x60") | of_pool("pool_delayed", f"{delayed}x60")


def idle(use: Series, backlog_s: int = 60, paused: int = 0, closed: int = 1, pause_s: int = 0) -> Series:
    """An upstream while work waits."""
    return {
        **use,
        **of_pool("pool_backlog_seconds", f"{backlog_s}x60"),
        **of_pool("pool_paused", f"{paused}x60"),
        **breaker(closed),
        **of_upstream("upstream_pause_seconds", f"{pause_s}x60"),
    }


def alive(dispatchers: int) -> Series:
    return of_pool("pool_dispatchers_alive", f"{dispatchers}x60")


def wanted(
    replicas: int, pod: str = "s1", answers: str = "0+6x60", code: str = "OK", signal: str = "dispatchers"
) -> Series:
    """As a pod of the scaler last answered."""
    return {
        **of_pool("scaler_wanted", f"{replicas}x60", f', signal="{signal}", pod="{pod}"'),
        f'sluicegate_scaler_calls_total{{method="GetMetrics", code="{code}", pod="{pod}"}}': answers,
    }


def retried(reason: str, values: str = "0+20x180") -> Series:
    return of_upstream("retries_total", values, f', reason="{reason}"')


def memory(used: int, most: int) -> Series:
    return {"sluicegate_redis_memory_used_bytes": f"{used}x90", "sluicegate_redis_memory_max_bytes": f"{most}x90"}


def redis_up(**pods: int) -> Series:
    return {f'sluicegate_redis_up{{pod="{pod}"}}': f"{up}x60" for pod, up in pods.items()}


ELSEWHERE = 'sluicegate_pool_dispatchers_alive{namespace="staging", pool="chat"}'  # another installation

CASES = {
    "SluicegateNothingScraped": Case({"up": "1x60"}, ({'sluicegate_build_info{version="1"}': "1x60"},)),
    "SluicegateNoDispatcher": Case({ELSEWHERE: "0x60", **alive(2)}, (alive(1),)),
    "SluicegateRedisAway": Case(redis_up(x=0, y=0), (redis_up(x=0, y=1),)),
    "SluicegateCutOff": Case(redis_up(x=0, y=1), (redis_up(x=0, y=0), redis_up(x=1, y=1))),
    "SluicegateNotScraped": Case(
        {'up{job="sluicegate/sluicegate", pod="x"}': "0x60"},
        ({'up{job="sluicegate/sluicegate", pod="x"}': "1x60", 'up{job="other/one", pod="y"}': "0x60"},),
    ),
    "SluicegateFewDispatchers": either("pool_dispatchers_alive", "1x60", "2x60"),
    "SluicegateFewerThanWanted": Case(
        alive(4) | wanted(5),
        (
            alive(19) | wanted(20),  # which the HPA leaves alone
            alive(2) | wanted(2) | wanted(9, signal="agents"),
            alive(2) | wanted(2) | wanted(9, "s2", "300x60"),  # what a pod said that nobody asks any more
            alive(2) | wanted(2) | wanted(9, "s2", code="UNAVAILABLE"),  # or that knows nothing
        ),
    ),
    "SluicegateScalerBlind": Case(
        {'sluicegate_scaler_calls_total{method="GetMetrics", code="UNAVAILABLE"}': "0+6x60"},
        ({'sluicegate_scaler_calls_total{method="GetMetrics", code="OK"}': "0+6x60"},),
    ),
    "SluicegateStoreErrors": Case(
        of_pool("store_errors_total", "0+60x60", ', loop="lease"'),
        (of_pool("store_errors_total", "0+3x60", ', loop="lease"'),),
    ),
    "SluicegateSlowLeases": Case(histogram("lease_seconds", 0.2), (histogram("lease_seconds", 0.05),)),
    "SluicegateSlotsMissed": Case(
        calls(100) | of_upstream("slots_missed_total", "0+10x60"),
        (calls(100) | of_upstream("slots_missed_total", "0+1x60"),),
    ),
    "SluicegateLeasesLost": either("leases_lost_total", "0x25 1x35", "7x60"),
    "SluicegateLateAnswers": Case(
        calls(100) | of_pool("late_answers_total", "0+2x180"),
        (calls(1000) | of_pool("late_answers_total", "0+2x180"), calls(1) | of_pool("late_answers_total", "0 3x60")),
    ),
    "SluicegateBacklogBeyondDeadline": either("pool_backlog_seconds", "400x60", "200x60"),
    "SluicegateLongWaits": Case(
        histogram("wait_seconds", 50, ', lane="interactive"'),
        (histogram("wait_seconds", 1, ', lane="interactive"'), histogram("wait_seconds", 50, ', lane="batch"')),
    ),
    "SluicegateStarved": either("pool_oldest_waiting_seconds", "700x60", "500x60"),
    "SluicegateUnfair": either("pool_fairness_gap_seconds", "90x60", "5x60"),
    "SluicegateQuotaUnused": Case(
        idle(quota(50)),
        (
            idle(quota(80)),
            idle(quota(20) | counted_tokens(900, "input", "itpm")),  # what is scarce is tokens
            idle(quota(20) | counted_tokens(900, "output", "otpm")),
            idle(quota(50), backlog_s=20),
            idle(quota(50), paused=1),
            idle(quota(50), closed=0),
            idle(quota(50), pause_s=100),
        ),
    ),
    "SluicegatePaused": either("pool_paused", "1x60", "0x20 1x40", 45),
    "SluicegateKeyUseless": Case(
        breaker(0) | retried("credentials", "0 1x180"),
        (breaker(0) | retried("failure"), breaker(1) | retried("credentials")),
    ),
    "SluicegateNoUpstream": Case(
        breaker(0) | breaker(0, "b") | queue(0, 1),
        (breaker(0) | breaker(1, "b") | queue(5, 5), breaker(0) | queue(0, 0)),
    ),
    "SluicegateBreakerOpen": Case(breaker(0) | breaker(1, "b"), (breaker(1),)),
    "SluicegateUpstreamPaused": Case(
        of_upstream("upstream_pause_seconds", "300x60"), (of_upstream("upstream_pause_seconds", "60x60"),)
    ),
    "SluicegateRefused": Case(calls(100, _429=10), (calls(1000, _429=10), calls(10, _429=0.9), calls(100, _5xx=10))),
    "SluicegateQuotaUsedUp": Case(
        quota(99),
        (quota(80), counted_tokens(3000, "input", "itpm")),  # the latter mostly from the cache
        150,
    ),
    "SluicegateRetries": Case(
        calls(80, _5xx=20) | retried("failure"),
        (
            calls(80, _429=20) | retried("rate") | retried("failure", "0+2x60"),
            calls(4) | retried("rate") | retried("failure", "0+0.5x60"),
        ),
    ),
    "SluicegateDeadLetters": Case(
        of_pool("dead_letters_total", "0+1x60", ', reason="attempts"'),
        (of_pool("dead_letters_total", "50+0.2x60", ', reason="attempts"'),),  # old ones, and one now and then
    ),
    "SluicegateRedisFull": Case(memory(97, 100), (memory(90, 100), memory(97, 0))),
    "SluicegateRedisFillsUp": Case(memory(90, 100), (memory(70, 100), memory(90, 0))),
    "SluicegateRedisUnbounded": Case(memory(90, 0), (memory(10, 100),), 80),
}

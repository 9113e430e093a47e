"""retry, bury, settle, lease: whether an upstream is called at all, and how it is found out that it may be again."""

import pytest

from sluicegate_worker.rows import BuryRow
from support.breaking import RULES, call, end, lease_probe, open_breaker, read_breaker
from support.scripts import HORIZON_US, PRICE_US, SECOND_US, Bench, make_policy
from support.traffic import LONG_S


@pytest.fixture
async def guarded(bench: Bench) -> Bench:
    """Three failures open the breaker for a second."""
    await bench.apply(make_policy(breaker=RULES, deadline_s=LONG_S))
    return bench


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ("FF", ""), ("FFF", "failures"), ("GGGGFFF", "failures"), ("FFGFF", ""), ("FGFGGF", "failures"),
        ("FGFGGGF", ""),
    ],
)  # fmt: skip
async def test_it_opens_at_failures_in_a_row_or_at_enough_of_twice_as_many(
    guarded: Bench, answers: str, reason: str
) -> None:
    for answer in answers:
        await call(guarded, "failure" if answer == "F" else None)
    assert await read_breaker(guarded) == (reason, 1 if reason else 0)


@pytest.mark.parametrize(("seconds", "reason"), [(9, "failures"), (10, "")])
async def test_what_failed_ten_seconds_ago_no_longer_counts(guarded: Bench, seconds: int, reason: str) -> None:
    for fault in ("failure", "failure", None):
        await call(guarded, fault)
    guarded.advance(seconds * SECOND_US)
    for fault in ("failure", None, "failure"):
        await call(guarded, fault)
    assert (await read_breaker(guarded))[0] == reason


@pytest.mark.parametrize(
    ("fault", "reason"), [("failure", "failures"), ("overload", "failures"), ("rate", ""), ("ramp", ""), ("", "")]
)
async def test_a_refused_rate_is_no_failure(guarded: Bench, fault: str, reason: str) -> None:
    await guarded.submit("ann", 5)
    for leased in await guarded.take(5):
        await end(guarded, leased, fault)
    assert (await read_breaker(guarded))[0] == reason


@pytest.mark.parametrize(("status", "reason"), [("", "failures"), ("302", "")])
async def test_streams_that_break_off_are_failures_and_redirects_are_none(
    guarded: Bench, status: str, reason: str
) -> None:
    await guarded.submit("ann", 3)
    rows = [
        BuryRow(one.fence, one.id, one.upstream, "upstream_error", status, "broken", guarded.reply(one, "dead"), b"{}")
        for one in await guarded.take(3)
    ]
    await guarded.run("bury", (), rows)
    assert (await read_breaker(guarded))[0] == reason


async def test_a_request_that_is_given_up_has_failed_too(guarded: Bench) -> None:
    await guarded.submit("ann", 6)
    leased = await guarded.take(6)
    await guarded.bury(*leased[:3], reason="too_large")  # the provider has answered
    await guarded.bury(leased[3]._replace(fence="0-1"))  # somebody else's
    assert (await read_breaker(guarded))[0] == ""
    await guarded.bury(*leased[3:], reason="attempts")
    assert (await read_breaker(guarded))[0] == "failures"


async def test_open_it_lets_nothing_through_and_then_one_call_at_a_time(guarded: Bench) -> None:
    await open_breaker(guarded)
    await guarded.submit("ann", 5)
    grant = await guarded.lease()
    assert (grant.leased, grant.verdict) == ([], "turn")
    guarded.advance(SECOND_US - HORIZON_US - 1)
    assert (await guarded.lease()).leased == []
    guarded.advance(1)
    [probe] = (await guarded.lease()).leased
    assert probe.slot_us == guarded.now_us + HORIZON_US  # when its time is over, and no earlier
    guarded.advance(5 * SECOND_US)
    for dispatcher in ("d1", "d2"):
        assert (await guarded.lease(dispatcher)).leased == []
    assert await guarded.of_upstream("probe") == probe.fence


async def test_a_probe_that_is_answered_closes_it_and_the_rate_begins_slowly(guarded: Bench) -> None:
    await open_breaker(guarded)
    await end(guarded, await lease_probe(guarded))
    assert [await guarded.of_upstream(field) for field in ("breaker", "breaker_reason", "probe")] == [None] * 3
    guarded.advance(HORIZON_US)
    first, second = (await guarded.lease()).leased
    assert second.slot_us - first.slot_us == 17_422  # half of the rate, 0.1 s later


async def test_who_waits_for_it_is_woken_when_it_closes(guarded: Bench) -> None:
    await open_breaker(guarded)
    probe = await lease_probe(guarded)
    await guarded.redis.delete(guarded.keys.fixed("wake"))
    await end(guarded, probe)
    assert await guarded.redis.llen(guarded.keys.fixed("wake")) == 1


async def test_a_probe_whose_rate_is_refused_has_been_answered(guarded: Bench) -> None:
    await open_breaker(guarded)
    await end(guarded, await lease_probe(guarded), "rate", pause_us=3 * SECOND_US)
    assert await guarded.of_upstream("breaker") is None
    assert (await guarded.lease()).leased == []
    guarded.advance(3 * SECOND_US)
    assert len((await guarded.lease(count=1)).leased) == 1


async def test_what_failed_before_it_closed_counts_no_more(guarded: Bench) -> None:
    await open_breaker(guarded)
    await end(guarded, await lease_probe(guarded))
    guarded.advance(4 * SECOND_US)
    await guarded.settle(*await guarded.take(2))
    for reason in ("", "", "failures"):
        await call(guarded, "failure")
        assert (await read_breaker(guarded))[0] == reason


@pytest.mark.parametrize("fault", ["failure", "overload"])
async def test_the_longer_it_is_open_the_longer_until_the_next_probe(guarded: Bench, fault: str) -> None:
    await open_breaker(guarded)
    opened_us = guarded.now_us
    for after_s, seconds in ((1, 1), (20, 1), (40, 2), (90, 4.5), (200, 5)):
        guarded.now_us = opened_us + after_s * SECOND_US
        await end(guarded, await lease_probe(guarded), fault)
        assert await read_breaker(guarded) == ("failures", seconds)
    await end(guarded, await lease_probe(guarded))
    guarded.advance(20 * SECOND_US)
    await guarded.lease()
    await open_breaker(guarded)
    assert await read_breaker(guarded) == ("failures", 1)


@pytest.mark.parametrize(
    ("fault", "times_s"), [("credentials", (5, 5, 10, 20, 40, 60, 60)), ("quota", (30, 30, 60, 120, 240, 480))]
)
async def test_where_no_call_can_succeed_it_opens_at_once(guarded: Bench, fault: str, times_s: tuple[int, ...]) -> None:
    await call(guarded, fault)
    for seconds in times_s:
        assert await read_breaker(guarded) == (fault, seconds)
        await end(guarded, await lease_probe(guarded), fault)
    await guarded.hold(held=False)  # so that the rest is answered soon


async def test_a_quota_stays_closed_for_an_hour_at_most_unless_the_provider_says_so(guarded: Bench) -> None:
    await call(guarded, "quota", pause_us=3000 * SECOND_US)
    for _ in range(2):
        assert await read_breaker(guarded) == ("quota", 3000)
        await end(guarded, await lease_probe(guarded), "quota")
    assert await read_breaker(guarded) == ("quota", 3600)
    await end(guarded, await lease_probe(guarded), "quota", pause_us=7200 * SECOND_US)
    assert await read_breaker(guarded) == ("quota", 7200)
    await guarded.hold(held=False)


async def test_a_probe_that_finds_another_reason_begins_anew(guarded: Bench) -> None:
    await call(guarded, "quota")
    await end(guarded, await lease_probe(guarded), "failure")
    assert await read_breaker(guarded) == ("quota", 30)  # nobody has seen that it has changed
    await end(guarded, await lease_probe(guarded), "credentials")
    assert await read_breaker(guarded) == ("credentials", 5)


@pytest.mark.parametrize("fault", ["failure", "rate", "quota", "credentials", None])
async def test_news_of_calls_in_flight_at_the_opening_change_nothing(guarded: Bench, fault: str | None) -> None:
    await guarded.submit("ann", 5)
    *others, last, late = await guarded.take(5)
    opened_by = fault if fault in ("quota", "credentials") else "failure"
    for leased in others if opened_by == "failure" else others[:1]:
        await end(guarded, leased, opened_by)
    before = await read_breaker(guarded)
    assert before[0]
    await end(guarded, last, fault)
    assert await read_breaker(guarded) == before
    probe = await lease_probe(guarded)
    await end(guarded, late, fault)
    assert await guarded.of_upstream("probe") == probe.fence
    assert (await read_breaker(guarded))[0] == before[0]


async def test_credentials_that_are_refused_are_a_fact_whoever_tells_it(guarded: Bench) -> None:
    await guarded.submit()
    [leased] = await guarded.take()
    await guarded.cancel(leased.id)
    assert await guarded.retry(leased, fault="credentials") == ["lost"]
    assert await read_breaker(guarded) == ("credentials", 5)


async def test_while_every_breaker_is_open_nobody_waits_in_vain(guarded: Bench) -> None:
    await call(guarded, "credentials")
    [late] = await guarded.enqueue(guarded.order(deadline_us=4 * SECOND_US))
    assert (late.kind, late.values[0]) == ("would_miss", 5 * SECOND_US + PRICE_US)
    [in_time] = await guarded.enqueue(guarded.order(deadline_us=6 * SECOND_US))
    assert (in_time.kind, in_time.values) == ("waiting", (1, 5 * SECOND_US + PRICE_US))

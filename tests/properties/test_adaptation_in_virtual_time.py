"""What the provider does beside its limit, in virtual time: halves it, breaks down, shares it out, refuses the key."""

from collections import Counter

import pytest

from support.scripts import SECOND_US, START_US, Bench, make_policy, make_upstream
from support.virtual_traffic import Provider, Sent, VirtualTraffic

pytestmark = pytest.mark.timeout(180)  # a long time passes, and a busy machine takes its own
RPM = 1_200
HEADROOM = 0.025


def at_s(seconds: float) -> int:
    return START_US + int(seconds * SECOND_US)


def between(traffic: VirtualTraffic, start_s: float, end_s: float) -> list[Sent]:
    return [one for one in traffic.sent if at_s(start_s) <= one.at_us < at_s(end_s)]


def most_within(traffic: VirtualTraffic, window_us: int, start_s: float = 0) -> int:
    """The most calls in any window of that length."""
    times = sorted(one.at_us for one in traffic.sent if one.at_us >= at_s(start_s))
    most, first = 0, 0
    for last, at_us in enumerate(times):
        while times[first] <= at_us - window_us:
            first += 1
        most = max(most, last - first + 1)
    return most


async def make_traffic(bench: Bench, provider: Provider) -> VirtualTraffic:
    upstream = make_upstream("a", rpm=RPM, headroom=HEADROOM, provider=provider.behaviour.profile)
    await bench.apply(make_policy(upstreams=(upstream,), max_backlog_per_agent=10_000, deadline_s=3_600))
    return VirtualTraffic(bench, {"a": provider})


async def offer(traffic: VirtualTraffic, count: int, agents: int = 20) -> None:
    orders = [traffic.bench.order(f"a{at % agents}") for at in range(count)]
    for at in range(0, count, 200):
        await traffic.submit(*orders[at : at + 200])


async def test_a_halved_limit_is_used_within_15_s(bench: Bench) -> None:
    """It is read in the headers of good answers: nothing needs to be refused for it."""
    provider = Provider.make(rpm=RPM)
    traffic = await make_traffic(bench, provider)
    await offer(traffic, 900)
    await traffic.run(at_s(10))
    provider.change(bench.now_us, rpm=RPM // 2)
    await traffic.run(at_s(40))
    await traffic.stop()
    good = [one for one in between(traffic, 25, 40) if one.status == 200]
    assert len(good) >= 0.95 * (1 - HEADROOM) * 15 * RPM / 120
    assert [one for one in between(traffic, 12, 40) if one.status == 429] == []
    assert len(between(traffic, 10, 12)) - len([one for one in between(traffic, 10, 12) if one.status == 200]) <= 12


async def test_a_halved_limit_that_nobody_tells_is_found_by_its_refusals(bench: Bench) -> None:
    provider = Provider.make(rpm=RPM, profile="generic")
    traffic = await make_traffic(bench, provider)
    await offer(traffic, 1_300)
    await traffic.run(at_s(10))
    provider.change(bench.now_us, rpm=RPM // 2, profile="generic")
    await traffic.run(at_s(70))
    await traffic.stop()
    late = Counter(one.status for one in between(traffic, 25, 70))
    assert late[200] >= 0.9 * 45 * RPM / 120
    assert late[429] <= 0.04 * late.total()


async def test_after_a_brown_out_there_is_no_burst_and_nothing_is_lost(bench: Bench) -> None:
    provider = Provider.make(rpm=RPM)
    traffic = await make_traffic(bench, provider)
    await offer(traffic, 700, agents=200)
    await traffic.run(at_s(5))
    provider.outage = 503
    await traffic.run(at_s(15))
    provider.outage = None
    await traffic.run(at_s(45))
    await traffic.stop()
    assert most_within(traffic, 100_000, start_s=15) <= RPM / 600 + 1
    assert len(between(traffic, 6, 15)) <= 18  # the breaker has opened: only probes, two a second
    good = [one for one in between(traffic, 25, 35) if one.status == 200]
    assert len(good) >= 0.95 * (1 - HEADROOM) * 10 * RPM / 60
    assert await bench.dead_letters() == []


async def test_who_shares_the_key_is_left_its_share(bench: Bench) -> None:
    """Another takes 40 % of a minute that slides: after 60 s hardly a refusal, and most of what it leaves is used."""
    provider = Provider.make(rpm=RPM, style="sliding-minute", sharer=0.4)
    traffic = await make_traffic(bench, provider)
    await offer(traffic, 4_000)
    await traffic.run(at_s(240))
    await traffic.stop()
    seen = Counter(one.status for one in between(traffic, 60, 240))
    assert seen[429] < 0.02 * seen.total()
    assert seen[200] >= 0.88 * 0.6 * 180 * RPM / 60


async def test_a_revoked_key_is_asked_now_and_then_until_it_is_taken_again(bench: Bench) -> None:
    provider = Provider.make(rpm=RPM)
    traffic = await make_traffic(bench, provider)
    await offer(traffic, 400)
    await traffic.run(at_s(5))
    provider.outage = 401
    await traffic.run(at_s(65))
    assert (await bench.of_upstream("breaker_reason")) == "credentials"
    assert len(between(traffic, 6, 65)) <= 5
    provider.outage = None
    await traffic.run(at_s(160))
    assert len(traffic.answered) == 400
    assert await bench.dead_letters() == []

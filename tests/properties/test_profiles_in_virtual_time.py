"""Every style of enforcement and every profile: no 429 where nobody else uses the key, and the paced rate is used."""

from typing import Any, get_args

import pytest

from sluicegate_worker.simulator.behaviour import Profile, Style
from support.scripts import SECOND_US, START_US, Bench, make_policy, make_upstream
from support.virtual_traffic import Provider, VirtualTraffic

pytestmark = pytest.mark.timeout(180)
HEADROOM = 0.025
# Sizes in tokens, in and out, one after the other.
BOUND_BY_REQUESTS: dict[str, Any] = {"limits": {"rpm": 300}, "sizes": [(40, 10)], "time_s": 130}
BOUND_BY_TOKENS: dict[str, Any] = {
    "limits": {"rpm": 6_000, "tpm": 120_000}, "sizes": [(300, 100), (900, 250), (500, 700), (200, 40)], "time_s": 130,
}  # fmt: skip
BOUND_BY_INPUT: dict[str, Any] = {
    "limits": {"rpm": 6_000, "itpm": 60_000, "otpm": 60_000}, "sizes": [(600, 100), (900, 250), (500, 400)],
    "time_s": 130,
}  # fmt: skip
# Output counts when it is made, and so in a later second than its slot: an answer must be small beside the headroom.
BOUND_BY_OUTPUT: dict[str, Any] = {
    "limits": {"rpm": 6_000, "itpm": 60_000, "otpm": 30_000}, "sizes": [(5, 12), (8, 10), (4, 11)], "time_s": 62,
}  # fmt: skip
# The others differ by their data alone, and most styles are proved by one profile: the rest is in the long tier.
SHORT_TIER = {"openai": get_args(Style), "anthropic": ("bucket", "sliding-minute")}


def loads_of(profile: Profile) -> list[dict[str, Any]]:
    by_kind = [BOUND_BY_INPUT, BOUND_BY_OUTPUT] if profile == "anthropic" else []
    return [BOUND_BY_REQUESTS, BOUND_BY_TOKENS, *by_kind]


CASES = [
    pytest.param(
        style,
        profile,
        load,
        id=f"{style}-{profile}-{'-'.join(load['limits'])}-{load['sizes'][0][0]}",
        marks=() if style in SHORT_TIER.get(profile, ()) else pytest.mark.full,
    )
    for style in get_args(Style)
    for profile in get_args(Profile)
    for load in loads_of(profile)
]


@pytest.mark.parametrize(("style", "profile", "load"), CASES)
async def test_nothing_is_refused_and_the_paced_rate_is_used(
    bench: Bench, style: Style, profile: Profile, load: dict[str, Any]
) -> None:
    limits, sizes, time_s = load["limits"], load["sizes"], load["time_s"]
    upstream = make_upstream("a", **limits, provider=profile, headroom=HEADROOM)
    await bench.apply(make_policy(upstreams=(upstream,), max_backlog_per_agent=10_000, deadline_s=3_600))
    provider = Provider.make(**limits, style=style, profile=profile)
    traffic = VirtualTraffic(bench, {"a": provider})
    most = {name: limit * time_s / 60 for name, limit in limits.items()}
    mean_in, mean_out = (sum(size[at] for size in sizes) / len(sizes) for at in (0, 1))
    used_by_one = {"rpm": 1.0, "tpm": mean_in + (profile != "gemini") * mean_out, "itpm": mean_in, "otpm": mean_out}
    enough = int(min(most[name] / used_by_one[name] for name in limits) * 1.1) + 5
    orders = [
        bench.order(f"a{at % 7}", tokens_in=sizes[at % len(sizes)][0], tokens_out=sizes[at % len(sizes)][1])
        for at in range(enough)
    ]
    for at in range(0, enough, 100):
        await traffic.submit(*orders[at : at + 100])
    await traffic.run(START_US + time_s * SECOND_US)
    waiting = await bench.counter("waiting")
    await traffic.stop()
    assert [one for one in traffic.sent if one.status != 200] == []
    assert waiting > 0  # it was always the limit that held them back
    used = {name: sum(amounts(one, profile)[name] for one in traffic.sent) for name in limits}
    utilisation = {name: used[name] / (most[name] * (1 - HEADROOM)) for name in limits}
    assert max(utilisation.values()) >= 0.985, utilisation


def amounts(sent: Any, profile: Profile) -> dict[str, int]:
    total = sent.tokens_in + (0 if profile == "gemini" else sent.tokens_out)
    return {"rpm": 1, "tpm": total, "itpm": sent.tokens_in, "otpm": sent.tokens_out}

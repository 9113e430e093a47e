"""The faults that refuse a call: each in its provider's words, under its own name in the log, and what they cost."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from sluicegate_worker.simulator.behaviour import Behaviour, Faults, Profile
from sluicegate_worker.simulator.provider import SimulatedProvider
from sluicegate_worker.upstream.call import Answer
from sluicegate_worker.upstream.classify import classify

PATHS: dict[Profile, str] = {
    "openai": "/v1/chat/completions",
    "azure": "/openai/deployments/m/chat/completions",
    "anthropic": "/v1/messages",
    "generic": "/v1/chat/completions",
}
BODY = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 4}
SLOW_DOWN = Faults(slow_down=1)
QUOTA = Faults(insufficient_quota=1)
OVERLOADED = Faults(overloaded=1)
REVOKED = Faults(revoked=1)


async def call(http: ClientSession, provider: SimulatedProvider, profile: Profile = "openai") -> tuple[int, Any]:
    async with http.post(provider.url + PATHS[profile], json=BODY) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("profile", "faults", "status", "word", "kind", "admitted"),
    [
        ("openai", SLOW_DOWN, 429, "slow_down", "slow_down", False),
        ("openai", QUOTA, 429, "insufficient_quota", "quota", False),
        ("openai", OVERLOADED, 503, "server_is_overloaded", "overloaded", True),
        ("openai", REVOKED, 401, "invalid_api_key", "credentials", False),
        ("azure", SLOW_DOWN, 429, "slow_down", "slow_down", False),
        ("azure", OVERLOADED, 503, "server_is_overloaded", "overloaded", True),
        ("anthropic", SLOW_DOWN, 429, "rate_limit_error", "slow_down", False),
        ("anthropic", QUOTA, 429, "enforced_spend_limit_reached", "quota", False),
        ("anthropic", OVERLOADED, 529, "overloaded_error", "overloaded", True),
        ("anthropic", REVOKED, 401, "authentication_error", "credentials", False),
        ("anthropic", Faults(server_error=1), None, "api_error", "fault_5xx", True),
        ("generic", QUOTA, 429, "insufficient_quota", "quota", False),
    ],
)
async def test_each_fault_has_its_status_and_words_and_no_time_to_come_back(
    http: ClientSession,
    tmp_path: Path,
    profile: Profile,
    faults: Faults,
    status: int | None,
    word: str,
    kind: str,
    admitted: bool,
) -> None:
    log = tmp_path / "log"
    behaviour = Behaviour(latency_median_s=0, rpm=60, profile=profile, faults=faults)
    async with SimulatedProvider(behaviour, log=log) as provider:
        async with http.post(provider.url + PATHS[profile], json=BODY) as response:
            error = (await response.json())["error"]
            assert response.status in ((500, 503) if status is None else (status,))
            assert not [name for name in response.headers if name.lower().startswith("retry-after")]
        counters = provider.snapshot()["counters"]
    assert isinstance(counters, dict)
    assert counters[kind] == 1
    assert word in (error["type"], error.get("code"))
    (line,) = [json.loads(text) for text in log.read_text().splitlines()]
    assert (line["status"], line["kind"], line["admitted"]) == (response.status, kind, admitted)


@pytest.mark.parametrize(
    ("profile", "faults", "understood"),
    [
        ("openai", SLOW_DOWN, "ramp"),
        ("openai", QUOTA, "quota"),
        ("openai", OVERLOADED, "overload"),
        ("openai", REVOKED, "credentials"),
        ("anthropic", SLOW_DOWN, "rate"),
        ("anthropic", QUOTA, "quota"),
        ("anthropic", OVERLOADED, "overload"),
        ("anthropic", REVOKED, "credentials"),
    ],
)
async def test_dispatchers_understand_each_fault(
    http: ClientSession, profile: Profile, faults: Faults, understood: str
) -> None:
    behaviour = Behaviour(latency_median_s=0, profile=profile, faults=faults)
    async with (
        SimulatedProvider(behaviour) as provider,
        http.post(provider.url + PATHS[profile], json=BODY) as response,
    ):
        answer = Answer(response.status, dict(response.headers), await response.read())
    assert classify(answer) == understood


@pytest.mark.parametrize("faults", [SLOW_DOWN, QUOTA, OVERLOADED, REVOKED])
async def test_they_use_nothing_of_the_limits_up(http: ClientSession, faults: Faults) -> None:
    # One call, one token, for a minute.
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=1, tpm=1, faults=faults)) as provider:
        for _ in range(3):
            assert (await call(http, provider))[0] != 200
        provider.change({"faults": {}})
        assert [(await call(http, provider))[0] for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(("faults", "status"), [(SLOW_DOWN, 429), (QUOTA, 429), (OVERLOADED, 200), (REVOKED, 200)])
async def test_where_refusals_count_every_429_does(http: ClientSession, faults: Faults, status: int) -> None:
    behaviour = Behaviour(latency_median_s=0, rpm=1, refusals_count=True, faults=faults)
    async with SimulatedProvider(behaviour) as provider:
        await call(http, provider)
        provider.change({"faults": {}})
        assert (await call(http, provider))[0] == status


async def test_when_nothing_is_left_that_is_said_first_but_not_to_a_revoked_key(http: ClientSession) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=1)) as provider:
        assert (await call(http, provider))[0] == 200
        provider.change({"faults": {"insufficient_quota": 1}})
        assert (await call(http, provider))[1]["error"]["code"] == "rate_limit_exceeded"
        provider.change({"faults": {"revoked": 1}})
        assert (await call(http, provider))[0] == 401

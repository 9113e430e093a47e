"""Each provider that can be simulated over HTTP has its own paths, bodies, headers, errors and ways to count."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientSession

from sluicegate_worker.simulator.behaviour import Behaviour, InvalidBehaviour, Profile
from sluicegate_worker.simulator.provider import SimulatedProvider

CHAT = "/v1/chat/completions"
DEPLOYMENT = "/openai/deployments/gpt-x/chat/completions?api-version=2024-10-21"
MESSAGES = "/v1/messages"
BODY = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 4}
# One token a minute is all there is, and no test lasts one: the first call goes deep into debt, the second is refused.
ONE = 1


class Got(NamedTuple):
    status: int
    document: Any
    headers: Mapping[str, str]

    def limits(self) -> dict[str, str]:
        return {name.lower(): text for name, text in self.headers.items() if "ratelimit" in name.lower()}


async def post(http: ClientSession, provider: SimulatedProvider, path: str, body: object = BODY) -> Got:
    async with http.post(provider.url + path, json=body) as response:
        return Got(response.status, await response.json(), response.headers)


async def test_openai_counts_what_may_be_answered_and_names_the_tokens(http: ClientSession) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=60_000, tpm=60_000)) as provider:
        got = await post(http, provider, CHAT)
    assert got.status == 200
    assert got.limits() == {
        "x-ratelimit-limit-requests": "60000",
        "x-ratelimit-remaining-requests": "999",
        "x-ratelimit-reset-requests": "1ms",
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-tokens": "993",
        "x-ratelimit-reset-tokens": "7ms",
    }


async def test_openai_says_of_which_limit_too_much_was_asked(http: ClientSession) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=60_000, tpm=ONE)) as provider:
        assert (await post(http, provider, CHAT)).status == 200
        got = await post(http, provider, CHAT)
    error = got.document["error"]
    assert (got.status, error["type"], error["code"]) == (429, "tokens", "rate_limit_exceeded")
    assert "on tokens per min (TPM): Limit 1, Requested 7." in error["message"]
    assert got.headers["x-ratelimit-remaining-tokens"] == "0"
    assert int(got.headers["x-ratelimit-remaining-requests"]) >= 999, "the refused call took no request"
    assert 6 * 60_000 < int(got.headers["retry-after-ms"]) <= 7 * 60_000


async def test_azure_has_deployments_and_counts_requests_by_ten_seconds(http: ClientSession) -> None:
    behaviour = Behaviour(latency_median_s=0, rpm=120, tpm=ONE, style="ten-seconds", profile="azure")
    async with SimulatedProvider(behaviour) as provider:
        got = await post(http, provider, DEPLOYMENT, {"messages": BODY["messages"]})
        refused = await post(http, provider, CHAT)
        embedding = await post(http, provider, "/openai/deployments/e/embeddings", {"input": "x"})
    assert (got.status, got.document["model"]) == (200, "gpt-x")
    assert got.limits() == {
        "x-ratelimit-limit-requests": "20",
        "x-ratelimit-remaining-requests": "19",
        "x-ratelimit-limit-tokens": "1",
        "x-ratelimit-remaining-tokens": "0",
    }
    assert (refused.status, embedding.status) == (429, 429)
    assert int(refused.headers["retry-after"]) == -(-int(refused.headers["retry-after-ms"]) // 1_000)


async def test_anthropic_answers_messages_and_names_moments(http: ClientSession) -> None:
    behaviour = Behaviour(latency_median_s=0, rpm=60_000, itpm=60_000, otpm=60_000, profile="anthropic")
    async with SimulatedProvider(behaviour) as provider:
        got = await post(http, provider, MESSAGES, BODY | {"system": "be brief"})
    assert (got.status, got.document["type"], got.document["stop_reason"]) == (200, "message", "max_tokens")
    assert got.document["usage"] == {
        "input_tokens": 5,
        "output_tokens": 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }
    assert got.headers["request-id"].startswith("req_")
    limits = got.limits()
    for name in ("requests", "input-tokens", "output-tokens"):
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", limits.pop(f"anthropic-ratelimit-{name}-reset"))
    assert limits == {
        "anthropic-ratelimit-requests-limit": "60000",
        "anthropic-ratelimit-requests-remaining": "999",
        "anthropic-ratelimit-input-tokens-limit": "60000",
        "anthropic-ratelimit-input-tokens-remaining": "995",
        "anthropic-ratelimit-output-tokens-limit": "60000",
        "anthropic-ratelimit-output-tokens-remaining": "1000",
    }


@pytest.mark.parametrize(
    ("dimension", "word"), [("rpm", "requests"), ("itpm", "input-tokens"), ("otpm", "output-tokens")]
)
async def test_anthropic_refuses_in_its_own_words(http: ClientSession, dimension: str, word: str) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, profile="anthropic")) as provider:
        provider.change({dimension: ONE})
        assert (await post(http, provider, MESSAGES)).status == 200
        got = await post(http, provider, MESSAGES)
    assert (got.status, got.document["type"], got.document["error"]["type"]) == (429, "error", "rate_limit_error")
    assert got.headers[f"anthropic-ratelimit-{word}-remaining"] == "0"
    assert int(got.headers["retry-after"]) > 0
    assert "retry-after-ms" not in got.headers


@pytest.mark.parametrize(
    ("path", "body", "status", "type"),
    [
        (CHAT, BODY, 404, "not_found_error"),
        (MESSAGES, {"model": "m", "messages": BODY["messages"]}, 400, "invalid_request_error"),
        (MESSAGES, [], 400, "invalid_request_error"),
        ("/v1/models", BODY, 405, "invalid_request_error"),
    ],
)
async def test_anthropics_errors_have_its_shape(
    http: ClientSession, path: str, body: object, status: int, type: str
) -> None:
    async with SimulatedProvider(Behaviour(profile="anthropic")) as provider:
        got = await post(http, provider, path, body)
    assert (got.status, got.document["type"], got.document["error"]["type"]) == (status, "error", type)


async def test_generic_says_nothing_but_when_to_come_back(http: ClientSession) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=ONE, profile="generic")) as provider:
        first, second = await post(http, provider, CHAT), await post(http, provider, CHAT)
    assert (first.status, first.limits(), second.status, second.limits()) == (200, {}, 429, {})
    assert 1 <= int(second.headers["retry-after"]) <= 60
    assert not {"retry-after-ms", "openai-processing-ms"} & {name.lower() for name in second.headers}


@pytest.mark.parametrize("profile", ["gemini", "bedrock"])
async def test_what_only_counts_is_not_served(profile: Profile) -> None:
    with pytest.raises(
        InvalidBehaviour, match=r"^the profile \w+ cannot be served over HTTP; those that can are openai"
    ):
        SimulatedProvider(Behaviour(profile=profile))
    async with SimulatedProvider() as provider:
        before = provider.snapshot()
        with pytest.raises(InvalidBehaviour):
            provider.change({"profile": profile, "rpm": 5})
        assert provider.snapshot() == before


async def test_everything_can_be_changed_while_it_runs(http: ClientSession) -> None:
    changes = {
        "rpm": 3, "tpm": 50, "itpm": 60, "otpm": 70, "rpd": 80, "tpd": 90, "style": "sliding-minute",
        "profile": "anthropic", "refusals_count": True, "sharer": 0.25,
    }  # fmt: skip
    async with SimulatedProvider(Behaviour(latency_median_s=0)) as provider:
        assert (await post(http, provider, CHAT)).status == 200
        changed = (await post(http, provider, "/_sim", changes)).document
        assert changed == provider.snapshot()
        assert {name: changed[name] for name in changes} == changes
        assert (await post(http, provider, MESSAGES)).status == 200
        assert (await post(http, provider, CHAT)).status == 404


async def test_a_limit_that_is_halved_keeps_what_was_used(http: ClientSession) -> None:
    async with SimulatedProvider(Behaviour(latency_median_s=0, rpm=4, style="sliding-minute")) as provider:
        assert [(await post(http, provider, CHAT)).status for _ in range(2)] == [200, 200]
        await post(http, provider, "/_sim", {"rpm": 2})
        assert (await post(http, provider, CHAT)).status == 429
        await post(http, provider, "/_sim", {"rpm": 3})
        assert [(await post(http, provider, CHAT)).status for _ in range(2)] == [200, 429]

"""Paths: what leads to the provider's API, and nothing that leads elsewhere."""

import pytest

from sluicegate.errors import InvalidRequest
from sluicegate.paths import PATHS, check_path, find_strangers, normalise_path
from sluicegate_worker.policy_settings import PROVIDERS


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/v1/chat/completions", "/chat/completions"),
        ("/chat/completions", "/chat/completions"),
        ("chat/completions", "/chat/completions"),
        ("v1/chat/completions", "/chat/completions"),
        ("/v1/v1/models", "/v1/models"),
        ("/v1beta/models", "/v1beta/models"),
        ("/v1", "/v1"),
        ("/models/m:generateContent?key=planted&alt=sse", "/models/m:generateContent?alt=sse"),
        ("/embeddings?API-Key=planted&access_token=planted", "/embeddings"),
        ("/embeddings?monkey=1&keys=2", "/embeddings?monkey=1&keys=2"),
        ("/models/gemini-2.0:generateContent", "/models/gemini-2.0:generateContent"),
        ("/models/a...b", "/models/a...b"),
        ("/models?limit=3&after=a%20b", "/models?limit=3&after=a%20b"),
        ("/models?next=../x", "/models?next=../x"),
    ],
)
def test_one_form_for_each_path(path: str, normal: str) -> None:
    assert normalise_path(path) == normal


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "//", "//evil.example/x", "http://evil.example/x", "/a//b", "/a/", "/a/../b", "/..", "/./a",
        "/v1/../admin", "/a%2e%2e/b",
        "/a b", "/a\r\nHost: x", "/a\x00", "/ä", "/a#b", "/a\\b", "/a?b?c#d", "/a?b\n", "/" + "x" * 1024,
    ],
)  # fmt: skip
def test_what_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        normalise_path(path)
    assert "/chat/completions" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [None, 7, b"/chat/completions", ["/a"]])
def test_what_is_no_text_is_refused(path: object) -> None:
    with pytest.raises(InvalidRequest, match="the path must be text"):
        normalise_path(path)  # type: ignore[arg-type]  # what callers may pass all the same


def test_every_provider_has_its_paths() -> None:
    assert set(PATHS) == set(PROVIDERS)


@pytest.mark.parametrize(
    ("provider", "method", "path"),
    [
        ("openai", "POST", "/chat/completions"),
        ("openai", "POST", "/embeddings?x=1"),
        ("openai", "GET", "/models/gpt-5"),
        ("azure", "POST", "/openai/deployments/mine/chat/completions?api-version=2024-10-21"),
        ("anthropic", "POST", "/messages"),
        ("gemini", "POST", "/models/gemini-2.0-flash:generateContent"),
        ("bedrock", "POST", "/model/anthropic.claude-v2:1/converse"),
        ("generic", "DELETE", "/whatever/there/is"),
    ],
)
def test_a_providers_path_is_taken(provider: str, method: str, path: str) -> None:
    check_path(method, path, [provider])


@pytest.mark.parametrize(
    ("provider", "method", "path"),
    [
        ("openai", "POST", "/messages"),
        ("openai", "GET", "/chat/completions"),
        ("openai", "DELETE", "/models/gpt-5"),
        ("openai", "POST", "/chat/completions/x"),
        ("openai", "GET", "/models/a/b"),
        ("openai", "POST", "/x/chat/completions"),
        ("bedrock", "GET", "/model/a/converse"),
        ("unheard-of", "POST", "/chat/completions"),
    ],
)
def test_another_path_is_refused_with_those_that_there_are(provider: str, method: str, path: str) -> None:
    with pytest.raises(
        InvalidRequest,
        match=rf"^{method} {path.partition('?')[0]} is not a path that {provider} answers here; these are: ",
    ):
        check_path(method, path, [provider])


def test_every_provider_that_may_get_it_must_have_the_path() -> None:
    check_path("POST", "/chat/completions", ["openai", "azure", "generic"])
    with pytest.raises(InvalidRequest, match="is not a path that openai answers here"):
        check_path("POST", "/openai/deployments/d/chat/completions", ["azure", "openai"])


@pytest.mark.parametrize(
    ("providers", "strangers"),
    [
        (["openai"], None), (["openai", "openai"], None), (["openai", "azure"], None), (["generic", "bedrock"], None),
        (["openai", "azure", "anthropic"], ("openai", "anthropic")), (["gemini", "bedrock"], ("gemini", "bedrock")),
    ],
)  # fmt: skip
def test_providers_without_a_path_in_common_are_found(providers: list[str], strangers: tuple[str, str] | None) -> None:
    assert find_strangers(providers) == strangers

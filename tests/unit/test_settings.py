"""Settings made in Python: their defaults, what is refused and in which words."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sluicegate.errors import InvalidRequest
from sluicegate_worker.settings import Pool, Retry, Settings, SettingsError, Upstream, policy_of

KEY = "sk-this-is-secret"


def make_upstream(**changes: Any) -> Upstream:
    return Upstream(**{"name": "a", "provider": "openai", "base_url": "https://provider.example/v1"} | changes)


def make_pool(**changes: Any) -> Pool:
    return Pool(**{"upstreams": (make_upstream(),)} | changes)


def make_settings(pool: Pool | None = None, name: str = "chat") -> Settings:
    return Settings(pools={name: pool or make_pool()})


def refusal(pool: Pool, name: str = "chat") -> str:
    with pytest.raises(SettingsError) as refused:
        make_settings(pool, name)
    return str(refused.value)


def upstream_refusal(**changes: Any) -> str:
    return refusal(make_pool(upstreams=(make_upstream(), make_upstream(**{"name": "b"} | changes))))


def test_defaults_are_those_of_the_contract() -> None:
    settings = make_settings()
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert msgspec.json.decode(msgspec.json.encode(settings.pools["chat"])) == {
        "models": ["*"],
        "max_backlog": 100_000,
        "max_backlog_per_agent": 1_000,
        "max_backlog_bytes": 1_073_741_824,
        "max_request_bytes": 1_048_576,
        "max_reply_bytes": 16_777_216,
        "deadline_s": 300,
        "reply_ttl_s": 3_600,
        "dead_ttl_s": 1_209_600,
        "lease_s": 10,
        "poison_after": 3,
        "slot_horizon_s": 0.1,
        "weights": {},
        "batch_share": 0.05,
        "max_in_flight_per_agent": None,
        "max_tokens_per_agent": None,
        "tokens_window_s": 86_400,
        "retry": {"max_attempts": 5, "base_s": 0.5, "cap_s": 60, "share": 0.2},
        "breaker": {"failures": 10, "share": 0.5, "open_s": 0.5, "cap_s": 5},
        "upstreams": [
            {
                "name": "a",
                "provider": "openai",
                "base_url": "https://provider.example/v1",
                "handler": None,
                "api_key_env": None,
                "api_key_file": None,
                "model_map": {},
                **dict.fromkeys(("rpm", "tpm", "itpm", "otpm", "rpd", "tpd")),
                "burst_s": 0,
                "headroom": 0.025,
                "max_in_flight": 200,
                "timeout_s": 120,
            }
        ],
    }


@pytest.mark.parametrize("field", ["rpm", "tpm", "itpm", "otpm", "rpd", "tpd", "timeout_s", "max_in_flight"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, -math.inf, "60", True])
def test_a_limit_is_a_positive_number(field: str, value: object) -> None:
    assert upstream_refusal(**{field: value}).startswith(f"pools.chat.upstreams[1].{field} must be a ")


COUNTS = [
    "max_backlog",
    "max_backlog_per_agent",
    "max_backlog_bytes",
    "max_request_bytes",
    "max_reply_bytes",
    "poison_after",
]


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, 10**400, "7", None])
def test_a_count_is_a_whole_number_from_one(field: str, value: object) -> None:
    message = refusal(make_pool(**{field: value}))
    assert message.startswith(f"pools.chat.{field} must be a whole number from 1 to "), message


BOUNDS = [
    ("lease_s", 1, 0.99),
    ("slot_horizon_s", 0.01, 0.009),
    ("slot_horizon_s", 1, 1.01),
    ("batch_share", 0, -0.01),
    ("batch_share", 1, 1.01),
    ("deadline_s", 0.001, 0),
    ("reply_ttl_s", 0.001, 0),
    ("dead_ttl_s", 0.001, 0),
]


@pytest.mark.parametrize(("field", "inside", "outside"), BOUNDS)
def test_pool_bounds(field: str, inside: float, outside: float) -> None:
    make_settings(make_pool(**{field: inside}))
    assert refusal(make_pool(**{field: outside})).startswith(f"pools.chat.{field} must be a number from ")


@pytest.mark.parametrize(
    ("field", "inside", "outside"), [("headroom", 0, -0.01), ("headroom", 0.99, 1), ("burst_s", 0, -1)]
)
def test_upstream_bounds(field: str, inside: float, outside: float) -> None:
    make_settings(make_pool(upstreams=(make_upstream(**{field: inside}),)))
    assert upstream_refusal(**{field: outside}).startswith(f"pools.chat.upstreams[1].{field} must be a number from ")


@pytest.mark.parametrize(("field", "value"), [("max_attempts", 0), ("base_s", 0), ("cap_s", math.nan), ("share", 1.1)])
def test_retry_bounds(field: str, value: float) -> None:
    message = refusal(make_pool(retry=replace(Retry(), **{field: value})))
    assert message.startswith(f"pools.chat.retry.{field} must be a "), message


def test_a_cap_is_not_below_its_base() -> None:
    make_settings(make_pool(retry=Retry(base_s=2, cap_s=2)))
    assert (
        refusal(make_pool(retry=Retry(base_s=2, cap_s=1)))
        == "pools.chat.retry.cap_s must be at least base_s, which is 2.0"
    )


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a{b}", "a\n", "é", "x" * 65])
def test_names_are_checked(name: str) -> None:
    assert "1 to 64 of the characters" in refusal(make_pool(), name)
    assert upstream_refusal(name=name).startswith("pools.chat.upstreams[1].name must be 1 to 64 of the characters")


def test_a_pool_with_a_dot_is_quoted_as_in_toml() -> None:
    assert refusal(make_pool(max_backlog=0), "gpt-4.1").startswith('pools."gpt-4.1".max_backlog must be')


@pytest.mark.parametrize("provider", ["opnai", "", "OpenAI", "openai\n", None])
def test_an_unknown_provider_is_refused(provider: object) -> None:
    expected = "pools.chat.upstreams[1].provider must be one of openai, azure, anthropic, gemini, bedrock, generic, not"
    assert upstream_refusal(provider=provider).startswith(expected)


def test_exactly_one_destination() -> None:
    make_settings(make_pool(upstreams=(make_upstream(base_url=None, handler="package.module:coroutine"),)))
    where = "pools.chat.upstreams[1] must have exactly one of base_url and handler, and has"
    assert upstream_refusal(base_url=None) == f"{where} neither"
    assert upstream_refusal(handler="module:coroutine") == f"{where} both"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://host.example/v1/", "http://[::1]:9/v1"])
def test_a_base_url_may_be(url: str) -> None:
    make_settings(make_pool(upstreams=(make_upstream(base_url=url),)))


BAD_URLS = [
    "",
    "host.example/v1",
    "ftp://host.example/v1",
    "https://",
    "https:///v1",
    "https://host.example:99999/v1",
    "https://host.example:0/v1",
    "https://[::1/v1",
    "https://host.example/v1?key=" + KEY,
    "https://host.example/v1?",
    "https://host.example/v1#" + KEY,
    f"https://user:{KEY}@host.example/v1",
    "https://@host.example/v1",
    "https://host.example/v 1",
    "https://host.example/v1\n",
    "https://hôst.example/v1",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_base_url_is_refused_and_kept_secret(url: str) -> None:
    message = upstream_refusal(base_url=url)
    assert message.startswith("pools.chat.upstreams[1].base_url must ")
    assert KEY not in message


@pytest.mark.parametrize("handler", ["module", "module:", ":name", "a..b:c", "a-b:c", "a:b:c", "a:b.c", "1a:b"])
def test_a_bad_handler_is_refused(handler: str) -> None:
    message = upstream_refusal(base_url=None, handler=handler)
    assert message == "pools.chat.upstreams[1].handler must be written as package.module:coroutine"


def test_one_key_and_by_name() -> None:
    make_settings(
        make_pool(upstreams=(make_upstream(api_key_env="_KEY_1"), make_upstream(name="b", api_key_file="/k")))
    )
    assert "at most one of api_key_env and api_key_file" in upstream_refusal(api_key_env="KEY", api_key_file="key")
    message = upstream_refusal(api_key_env=KEY)
    assert "must be the name of an environment variable" in message
    assert KEY not in message


@pytest.mark.parametrize("other", ["open_ai", "Open.AI"])
def test_names_that_the_environment_cannot_tell_apart_are_refused(other: str) -> None:
    upstreams = (make_upstream(name="open-ai"), make_upstream(name=other))
    message = refusal(make_pool(upstreams=upstreams))
    assert message == (
        f"pools.chat.upstreams: open-ai and {other} are both OPEN_AI in environment variables; rename one"
    )
    with pytest.raises(SettingsError, match=r"pools: open-ai and .* are both OPEN_AI"):
        Settings(pools={"open-ai": make_pool(), other: make_pool()})


def test_a_name_that_is_used_twice_is_refused() -> None:
    message = refusal(make_pool(upstreams=(make_upstream(name="open-ai"), make_upstream(name="open-ai"))))
    assert message == "pools.chat.upstreams: the name open-ai is used twice; rename one"


def test_something_is_needed() -> None:
    with pytest.raises(SettingsError, match=r"pools must have at least one pool; write \[pools.NAME\]"):
        Settings(pools={})
    assert refusal(make_pool(upstreams=())) == (
        "pools.chat.upstreams must have at least one upstream; write [[pools.chat.upstreams]]"
    )
    assert refusal(make_pool(models=())).startswith("pools.chat.models must name at least one pattern")


@pytest.mark.parametrize("models", ["*", ("",), (1,), ("a\x1b",), ("\udc80",), None])
def test_models_are_a_list_of_texts(models: object) -> None:
    assert refusal(make_pool(models=models)).startswith("pools.chat.models")


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf, "4", True])
def test_a_weight_is_a_positive_number(weight: object) -> None:
    message = refusal(make_pool(weights={"planner-*": weight}))
    assert message.startswith('pools.chat.weights."planner-*" must be a number from ')


def test_an_error_is_one_of_the_tree() -> None:
    assert issubclass(SettingsError, InvalidRequest)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_whatever_a_setting_is_it_is_taken_or_refused(value: object) -> None:
    for build in (make_pool, lambda **changes: make_pool(upstreams=(make_upstream(**changes),))):
        kind = Pool if build is make_pool else Upstream
        for field in kind.__struct_fields__:
            try:
                settings = make_settings(build(**{field: value}))
            except SettingsError:
                continue
            msgspec.json.encode(policy_of(settings.pools["chat"]))


def test_upstreams_of_a_pool_speak_one_dialect() -> None:
    both = (make_upstream(name="a", provider="openai"), make_upstream(name="b", provider="anthropic"))
    assert refusal(make_pool(upstreams=both)) == (
        "pools.chat.upstreams: any of them may get any request, but openai and anthropic have no path in common; "
        "give each a pool of its own"
    )

"""The part of the settings that goes to Redis: all of it, in one form, and nothing that only a dispatcher may know."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from sluicegate_worker.policy_settings import Policy, UpstreamRules, check_policy
from sluicegate_worker.settings import Pool, SettingsError, Upstream, policy_of

SECRETS = {
    "base_url": "https://provider.example/v1",
    "api_key_env": "THE_KEY",
    "model_map": {"gpt-4o": "my-deployment"},
    "timeout_s": 77.0,
}


def make_upstream(**changes: Any) -> Upstream:
    return Upstream(**{"name": "a", "provider": "openai", "base_url": "https://provider.example/v1"} | changes)


def make_pool(**changes: Any) -> Pool:
    return Pool(**{"upstreams": (make_upstream(),)} | changes)


def test_the_policy_holds_what_it_should_and_no_secret() -> None:
    pool = make_pool(weights={"planner-*": 4}, upstreams=(make_upstream(rpm=60, tpm=9, **SECRETS),))
    encoded = msgspec.json.encode(policy_of(pool))
    for name, value in SECRETS.items():
        assert name.encode() not in encoded
        assert msgspec.json.encode(value) not in encoded
    assert b"handler" not in encoded
    assert b"api_key" not in encoded
    assert msgspec.json.decode(encoded, type=Policy) == policy_of(pool)
    upstream = policy_of(pool).upstreams[0]
    assert upstream.__struct_fields__ == UpstreamRules.__struct_fields__
    assert (upstream.name, upstream.provider, upstream.rpm, upstream.tpm) == ("a", "openai", 60, 9)
    assert policy_of(pool).weights == {"planner-*": 4}


def test_equal_policies_are_equal_json() -> None:
    whole = make_pool(lease_s=10, weights={"a": 4}, upstreams=(make_upstream(rpm=60),))
    decimal = make_pool(lease_s=10.0, weights={"a": 4.0}, upstreams=(make_upstream(rpm=60.0, burst_s=0.0),))
    encoded = msgspec.json.encode(policy_of(whole))
    assert encoded == msgspec.json.encode(policy_of(decimal))
    assert encoded == msgspec.json.encode(msgspec.json.decode(encoded, type=Policy))


def test_a_policy_of_a_newer_version_is_read() -> None:
    policy = msgspec.to_builtins(policy_of(make_pool()))
    policy["later"] = policy["upstreams"][0]["later"] = policy["retry"]["later"] = 1
    assert msgspec.convert(policy, Policy) == policy_of(make_pool())


def test_a_policy_can_be_checked_alone() -> None:
    policy = policy_of(make_pool())
    check_policy(policy, "chat")
    with pytest.raises(SettingsError, match=r"chat.max_backlog must be a whole number from 1 to 1_000_000_000, not 0"):
        check_policy(replace(policy, max_backlog=0), "chat")

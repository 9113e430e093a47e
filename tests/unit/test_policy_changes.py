"""Changes to a policy as a person types them: all of them, or one sentence about what is wrong and none."""

import pytest

from sluicegate_worker.policy_changes import change_policy
from sluicegate_worker.policy_settings import Breaker, Policy, Retry, UpstreamPolicy
from sluicegate_worker.settings_reading import SettingsError

POLICY = Policy(
    max_backlog=10,
    retry=Retry(base_s=2),
    upstreams=(
        UpstreamPolicy(name="a", provider="openai", rpm=600),
        UpstreamPolicy(name="eu.1", provider="anthropic", rpm=60),
    ),
)


def change(*changes: str) -> Policy:
    return change_policy(POLICY, changes, "pools.chat")


def test_each_kind_of_setting_can_be_changed() -> None:
    changed = change(
        "max_backlog=5000", "deadline_s=2.5", 'weights={"planner-*": 4}', 'models=["gpt-*"]', "retry.base_s=1",
        "breaker.failures=3", "a.rpm=900", "a.tpm=1e6", "eu.1.rpm=30",
    )  # fmt: skip
    assert (changed.max_backlog, changed.deadline_s, changed.models) == (5000, 2.5, ("gpt-*",))
    assert changed.weights == {"planner-*": 4}
    assert (changed.retry, changed.breaker) == (Retry(base_s=1), Breaker(failures=3))
    assert [upstream.rpm for upstream in changed.upstreams] == [900, 30]
    assert changed.upstreams[0].tpm == 1_000_000
    assert [upstream.name for upstream in changed.upstreams] == ["a", "eu.1"]


def test_an_empty_value_is_the_default() -> None:
    changed = change("max_backlog=", "retry.base_s=", "a.rpm=", "weights=")
    assert (changed.max_backlog, changed.retry, changed.upstreams[0].rpm) == (100_000, Retry(), None)
    assert changed.weights == {}


def test_spaces_around_a_name_do_no_harm_and_the_last_change_counts() -> None:
    assert change(" max_backlog =7", "max_backlog=8").max_backlog == 8


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["max_backlog"], "'max_backlog' must be written as setting=value, as in max_backlog=5000"),
        (["=5"], " is not a setting"),
        (["max_backlok=5"], "pools.chat.max_backlok is not a setting; did you mean max_backlog?"),
        (["upstreams=[]"], "pools.chat.upstreams is not a setting"),
        (["retry={}"], "pools.chat.retry is not a setting"),
        (["retry.bse_s=1"], "pools.chat.retry.bse_s is not a setting; did you mean base_s?"),
        (["c.rpm=1"], "c.rpm is not a setting: there is no part or upstream c"),
        (["a.rpn=1"], "pools.chat: a.rpn is not a setting"),
        (["a.name=b"], "a.name is not a setting"),
        (["a.provider="], "a.provider has no default; give it a value"),
        (["max_backlog=many"], "pools.chat.max_backlog"),
        (["max_backlog=0"], "pools.chat.max_backlog must be a whole number from 1 to "),
        (["a.rpm=-1"], "rpm must be a number from 0.001 to "),
        (["retry.base_s=100"], "pools.chat.retry.cap_s must be at least base_s, which is 100"),
        (["breaker.open_s=10"], "pools.chat.breaker.cap_s must be at least open_s, which is 10"),
        (["models=[]"], "pools.chat.models must name at least one pattern"),
        (["max_backlog=5", "deadline_s=never"], "pools.chat.deadline_s"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(changes: list[str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        change(*changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_together_they_may_make_sense_in_any_order() -> None:
    for changes in (["retry.base_s=100", "retry.cap_s=200"], ["retry.cap_s=200", "retry.base_s=100"]):
        assert change(*changes).retry == Retry(base_s=100, cap_s=200)

"""Environment variables: which setting each reaches, what it may say, and which are not ours."""

from pathlib import Path

import pytest

from sluicegate_worker.settings import Settings, SettingsError, Upstream
from sluicegate_worker.settings_file import load_settings

SMALL = """
[pools.chat]
[[pools.chat.upstreams]]
name = "openai-a"
provider = "openai"
base_url = "https://provider.example/v1"
rpm = 60
"""
CHAT = "SLUICEGATE_POOLS__CHAT__"
OPENAI_A = CHAT + "UPSTREAMS__OPENAI_A__"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str = SMALL, environ: dict[str, str] | None = None) -> Settings:
    Path("sluicegate.toml").write_text(text)
    return load_settings(None, environ or {})


def refusal(text: str, environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        load(text, environ)
    message = str(refused.value)
    assert "\n" not in message
    return message


def first_upstream(settings: Settings) -> Upstream:
    return settings.pools["chat"].upstreams[0]


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("MAX_BACKLOG", "7", 7),
        ("DEADLINE_S", "1.5", 1.5),
        ("LEASE_S", "20", 20),
        ("MODELS", '["gpt-*", "o1"]', ("gpt-*", "o1")),
        ("WEIGHTS", '{"planner-*": 4}', {"planner-*": 4}),
    ],
)
def test_the_environment_goes_before_the_file(variable: str, text: str, value: object) -> None:
    assert getattr(load(SMALL, {CHAT + variable: text}).pools["chat"], variable.lower()) == value


def test_the_environment_reaches_retry_and_upstreams() -> None:
    second = SMALL.replace("[pools.chat]", "").replace("openai-a", "eu.west-1")
    environ = {
        CHAT + "RETRY__BASE_S": "2",
        OPENAI_A + "RPM": "5",
        OPENAI_A + "API_KEY_ENV": "12345",
        OPENAI_A + "MODEL_MAP": '{"a": "b"}',
        CHAT + "UPSTREAMS__EU_WEST_1__RPM": "6",
    }
    with pytest.raises(SettingsError, match="name of an environment variable"):
        load(SMALL + second, environ)
    pool = load(SMALL + second, environ | {OPENAI_A + "API_KEY_ENV": "null"}).pools["chat"]
    assert (pool.retry.base_s, pool.retry.cap_s) == (2, 60)
    assert [upstream.rpm for upstream in pool.upstreams] == [5, 6]
    assert pool.upstreams[0].api_key_env == "null"
    assert pool.upstreams[0].model_map == {"a": "b"}


def test_a_destination_may_come_from_the_environment_alone() -> None:
    text = SMALL.replace('base_url = "https://provider.example/v1"\n', "")
    assert first_upstream(load(text, {OPENAI_A + "BASE_URL": "http://localhost"})).base_url == "http://localhost"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        (CHAT + "MAX_BACKLOG", ""),
        (CHAT + "MAX_BACKLOG", "many"),
        (CHAT + "MAX_BACKLOG", "1.5"),
        (CHAT + "MAX_BACKLOG", "null"),
        (CHAT + "MAX_BACKLOG", "9" * 5_000),
        (OPENAI_A + "RPM", ""),
        (OPENAI_A + "RPM", "nan"),
        (OPENAI_A + "RPM", "1e400"),
        (OPENAI_A + "RPM", "-1"),
        (OPENAI_A + "RPM", "null"),
        (OPENAI_A + "BASE_URL", ""),
        (OPENAI_A + "PROVIDER", "opnai"),
        (OPENAI_A + "MODEL_MAP", "[]"),
        (OPENAI_A + "MODEL_MAP", "{"),
        (CHAT + "MODELS", "gpt-4o"),
        (CHAT + "MODELS", "\udcff"),
        (CHAT + "MODELS", "[" * 100_000),
        (CHAT + "MODELS", "[1]"),
    ],
)
def test_a_bad_value_names_its_variable(variable: str, text: str) -> None:
    assert refusal(SMALL, {variable: text}).startswith(f"{variable} (pools.chat.")


@pytest.mark.parametrize(
    ("variable", "cure"),
    [
        (CHAT + "MAX_BACKLOGG", f"did you mean {CHAT}MAX_BACKLOG?"),
        (CHAT + "UPSTREAMS__OPENAI_B__RPM", f"did you mean {OPENAI_A}RPM?"),
        ("SLUICEGATE_POOLS__CHATS__MAX_BACKLOG", f"did you mean {CHAT}MAX_BACKLOG?"),
        (CHAT + "max_backlog", "is not a variable of Sluicegate"),
        (CHAT + "UPSTREAMS", "is not a variable of Sluicegate"),
        (OPENAI_A + "NAME", "is not a variable of Sluicegate"),
        ("SLUICEGATE_REDIS", "did you mean SLUICEGATE_REDIS_URL?"),
        ("SLUICEGATE_ZZZZZZZZZZZZZZZZZZZZZZZZ", "it fits no pool, upstream and setting of the file; unset it"),
        ("SLUICEGATE_", "is not a variable of Sluicegate"),
    ],
)
def test_an_unknown_variable_is_refused(variable: str, cure: str) -> None:
    message = refusal(SMALL, {variable: "5"})
    assert message.startswith(f"{variable} is not a variable of Sluicegate; ")
    assert cure in message


def test_other_variables_are_left_alone() -> None:
    environ = {"PATH": "/bin", "SLUICEGATE_POOL": "chat", "SLUICEGATE_AGENT": "a", "SLUICEGATES": "1"}
    assert load(SMALL, environ) == load(SMALL)


SERVICE_LINKS = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_6379_TCP", "PORT_6379_TCP_ADDR"]


@pytest.mark.parametrize("service", ["SLUICEGATE_", "SLUICEGATE_REDIS_"])
@pytest.mark.parametrize("link", SERVICE_LINKS)
def test_service_links_of_kubernetes_are_left_alone(service: str, link: str) -> None:
    assert load(SMALL, {service + link: "tcp://10.0.0.1:6379"}) == load(SMALL)


def test_a_variable_of_two_meanings_is_refused_when_used() -> None:
    text = SMALL.replace("openai-a", "b__upstreams__c").replace("chat", "a")
    text += SMALL.replace("openai-a", "c").replace("chat", "a__upstreams__b")
    variable = "SLUICEGATE_POOLS__A__UPSTREAMS__B__UPSTREAMS__C__RPM"
    assert len(load(text).pools) == 2
    assert refusal(text, {variable: "5"}).startswith(f"{variable} is both pools.a.upstreams[0].rpm and ")

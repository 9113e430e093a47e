"""sluicegate.toml: where it is found, which source goes first, and how each mistake in it is said."""

import tomllib
from pathlib import Path

import pytest

from sluicegate_worker.settings import Settings, SettingsError, Upstream
from sluicegate_worker.settings_file import load_settings, load_settings_here, resolve_redis_url, resolve_redis_url_here

SAMPLE = """
redis_url = "redis://127.0.0.1:6379/0"

[pools.chat]                     # one quota class: any upstream of the pool may answer any request of the pool
models = ["*"]                   # patterns; another model is refused, with the name of the pool that serves it
max_backlog = 100_000            # requests, whole pool
max_backlog_per_agent = 1_000
max_backlog_bytes = 1_073_741_824
max_request_bytes = 1_048_576
max_reply_bytes = 16_777_216
deadline_s = 300                 # default of requests that name none
reply_ttl_s = 3_600
dead_ttl_s = 1_209_600
lease_s = 10
poison_after = 3
slot_horizon_s = 0.1
weights = { "planner-*" = 4 }    # shell patterns
batch_share = 0.05               # minimum for priority "batch"
[pools.chat.retry]
max_attempts = 5
base_s = 0.5
cap_s = 60
share = 0.2                      # of slots

[[pools.chat.upstreams]]
name = "openai-a"
provider = "openai"              # openai | azure | anthropic | gemini | bedrock | generic
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"   # or api_key_file
model_map = {}
rpm = 10_000
tpm = 2_000_000                  # also itpm, otpm, rpd, tpd
burst_s = 0
headroom = 0.025                 # the bucket leaks at rate × (1 − headroom)
max_in_flight = 200
timeout_s = 120
"""
SMALL = """
[pools.chat]
[[pools.chat.upstreams]]
name = "openai-a"
provider = "openai"
base_url = "https://provider.example/v1"
rpm = 60
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str | bytes, name: str = "sluicegate.toml") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def load(text: str | bytes) -> Settings:
    return load_settings(write(text), {})


def refusal(text: str | bytes) -> str:
    with pytest.raises(SettingsError) as refused:
        load(text)
    message = str(refused.value)
    assert "\n" not in message
    return message


def first_upstream(settings: Settings) -> Upstream:
    return settings.pools["chat"].upstreams[0]


def test_the_sample_loads_as_written() -> None:
    settings = load(SAMPLE)
    pool, written = settings.pools["chat"], tomllib.loads(SAMPLE)["pools"]["chat"]
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert pool.models == ("*",)
    for name in written.keys() - {"models", "retry", "upstreams"}:
        assert getattr(pool, name) == written[name], name
    for name, value in written["retry"].items():
        assert getattr(pool.retry, name) == value, name
    for name, value in written["upstreams"][0].items():
        assert getattr(first_upstream(settings), name) == value, name


# Where the file is found


def test_a_flag_goes_before_the_environment_before_the_folder() -> None:
    for name in ("flag.toml", "environment.toml", "sluicegate.toml"):
        write(SMALL.replace("openai-a", name.removesuffix(".toml")), name)
    environ = {"SLUICEGATE_CONFIG": "environment.toml"}
    assert first_upstream(load_settings("flag.toml", environ)).name == "flag"
    assert first_upstream(load_settings(None, environ)).name == "environment"
    assert first_upstream(load_settings(None, {})).name == "sluicegate"


def test_no_file_is_an_error_that_names_the_cure() -> None:
    with pytest.raises(SettingsError, match=r"no sluicegate.toml here; name the file by --config or SLUICEGATE_CONFIG"):
        load_settings(None, {})


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    for path, environ in (("gone.toml", {}), (None, {"SLUICEGATE_CONFIG": "gone.toml"})):
        with pytest.raises(SettingsError, match=r"gone.toml cannot be read: No such file or directory; name another"):
            load_settings(path, environ)
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(str(folder), {})
    with pytest.raises(SettingsError, match="--config is empty"):
        load_settings("", {})
    with pytest.raises(SettingsError, match="SLUICEGATE_CONFIG is empty"):
        load_settings(None, {"SLUICEGATE_CONFIG": ""})


# What is wrong in it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[pools.chat\n", "sluicegate.toml is not valid TOML: "),
        ("a = 1\nb = \n", "(at line 2, column 5)"),
        ("a = 1\na = 2\n", "(at line 2, column 6)"),
        (b"a = '\xff'\n", "sluicegate.toml is not UTF-8 text (byte 6)"),
        ("a = " + "[" * 100_000, "too deep"),
        ("a = " + "9" * 5_000, "a number too long"),
    ],
)
def test_bad_toml_is_named_with_its_line(text: str | bytes, expected: str) -> None:
    assert expected in refusal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis_ulr = 'x'\n" + SMALL, "redis_ulr is not a setting; did you mean redis_url?"),
        (SMALL + "rmp = 5\n", "pools.chat.upstreams[0].rmp is not a setting; did you mean rpm?"),
        (SMALL + "api_key = 'sk-1'\n", "pools.chat.upstreams[0].api_key is not a setting; did you mean api_key_"),
        (SMALL + "[pools.chat.retry]\nmax = 5\n", "pools.chat.retry.max is not a setting; "),
        (
            SMALL + "[pools.chat.retry]\nq = 5\n",
            "retry.q is not a setting; known here: max_attempts, base_s, cap_s, share",
        ),
        (
            SMALL.replace("[pools.chat]", "[pools.chat]\nmax_backlg = 5"),
            "max_backlg is not a setting; did you mean max_backlog?",
        ),
    ],
)
def test_an_unknown_setting_is_named_in_full(text: str, expected: str) -> None:
    message = refusal(text)
    assert message.startswith("sluicegate.toml: ")
    assert expected in message
    assert "sk-1" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "pools is missing; it must be a table"),
        ("pools = 5", "pools must be a table, not 5"),
        ("[pools]", "pools must have at least one pool; write [pools.NAME]"),
        ("pools.chat = true", "pools.chat must be a table, not true"),
        ("[pools.chat]", "pools.chat.upstreams is missing"),
        (
            "[pools.chat.upstreams]",
            "pools.chat.upstreams must be a list of tables, each written as [[pools.chat.upstreams]]",
        ),
        ("[pools.chat]\nupstreams = []", "pools.chat.upstreams must have at least one upstream"),
        ("[pools.chat]\nupstreams = [5]", "pools.chat.upstreams[0] must be a table, not 5"),
        ("[pools.chat]\nretry = 5\nupstreams = []", "pools.chat.retry must be a table, not 5"),
        ("[[pools.chat.upstreams]]", "pools.chat.upstreams[0].name is missing; it must be 1 to 64 of the characters"),
        (SMALL + "tpm = 'x'", "pools.chat.upstreams[0].tpm must be a number from 0.001 to 1_000_000_000_000, not 'x'"),
        (SMALL + "tpm = nan", "pools.chat.upstreams[0].tpm must be a number from 0.001 to 1_000_000_000_000, not nan"),
        (SMALL + "tpm = -inf", "upstreams[0].tpm must be a number from 0.001 to 1_000_000_000_000, not -inf"),
        (
            SMALL + "max_in_flight = 1.5",
            "upstreams[0].max_in_flight must be a whole number from 1 to 1_000_000_000, not 1.5",
        ),
        (SMALL + "max_in_flight = 0x" + "f" * 6_000, "from 1 to 1_000_000_000, not a number that large"),
        (SMALL + "tpm = 1979-05-27", "upstreams[0].tpm must be a number"),
        (SMALL + "tpm = [1]", "upstreams[0].tpm must be a number from 0.001 to 1_000_000_000_000, not a list"),
        (
            SMALL + "model_map = {a = 1}",
            "upstreams[0].model_map.a must be text without control characters, not empty, not 1",
        ),
        (SMALL + "model_map = {'' = 'b'}", "upstreams[0].model_map: a name in it must be text"),
        (SMALL.replace("60", "-60"), "upstreams[0].rpm must be a number from 0.001 to 60_000_000, not -60"),
        (SMALL.replace("openai-a", "open ai"), "upstreams[0].name must be 1 to 64 of the characters"),
        (SMALL.replace("chat", '"a b"'), 'pools."a b" must have a name of 1 to 64 of the characters'),
        (SMALL + SMALL.replace("[pools.chat]", ""), "upstreams: the name openai-a is used twice; rename one"),
        ("redis_url = ''\n" + SMALL, "redis_url must be text"),
        ("redis_url = 5\n" + SMALL, "redis_url must be text"),
    ],
)
def test_a_bad_value_is_named_in_full(text: str, expected: str) -> None:
    assert expected in refusal(text)


# The server


def test_the_server_is_named_by_flag_environment_file_default() -> None:
    environ = {"SLUICEGATE_REDIS_URL": "redis://environment"}
    assert resolve_redis_url(None, {}, None) == "redis://127.0.0.1:6379/0"
    path = write("redis_url = 'redis://file'\n" + SMALL)
    for chosen, flag, variables in (
        ("redis://flag", "redis://flag", environ),
        ("redis://environment", None, environ),
        ("redis://file", None, {}),
    ):
        assert resolve_redis_url(flag, variables, None) == chosen
        assert load_settings(path, variables, flag).redis_url == chosen
    assert load(SMALL).redis_url == "redis://127.0.0.1:6379/0"
    assert resolve_redis_url(None, {}, None) == "redis://127.0.0.1:6379/0"


def test_the_server_needs_nothing_else_of_the_file() -> None:
    path = write("redis_url = 'redis://file'\nunknown = 1\n", "other.toml")
    assert resolve_redis_url(None, {"SLUICEGATE_POOLS__CHAT__MAX_BACKLOG": "1"}, path) == "redis://file"
    assert resolve_redis_url(None, {"SLUICEGATE_CONFIG": path}, None) == "redis://file"


@pytest.mark.parametrize(
    ("flag", "environ", "file", "expected"),
    [
        ("", {}, "", "--redis-url is empty"),
        (None, {"SLUICEGATE_REDIS_URL": ""}, "", "SLUICEGATE_REDIS_URL is empty"),
        (None, {"SLUICEGATE_REDIS_ULR": "redis://x"}, "", "did you mean SLUICEGATE_REDIS_URL?"),
        (None, {}, "redis_url = 5", "redis_url must be text"),
        (None, {}, "redis_url = ''", "redis_url must be text"),
        (None, {}, "redis_url", "is not valid TOML"),
    ],
)
def test_a_bad_server_is_refused(flag: str | None, environ: dict[str, str], file: str, expected: str) -> None:
    write(file)
    with pytest.raises(SettingsError) as refused:
        resolve_redis_url(flag, environ, None)
    assert expected in str(refused.value)


def test_a_named_file_must_be_there() -> None:
    with pytest.raises(SettingsError, match=r"gone.toml cannot be read"):
        resolve_redis_url(None, {}, "gone.toml")


def test_the_environment_of_the_process_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICEGATE_REDIS_URL", "redis://environment")
    assert resolve_redis_url_here(None, None) == "redis://environment"
    assert resolve_redis_url_here("redis://flag", None) == "redis://flag"
    assert load_settings_here(write(SMALL)).redis_url == "redis://environment"
    assert load_settings_here(write(SMALL), "redis://flag").redis_url == "redis://flag"

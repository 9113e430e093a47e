"""What becomes of a call: each kind of failure, the jitter, and who bounds what."""

from random import Random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.outcome import Bury, Outcome, Retry, Settle
from sluicegate_worker.policy import RATE_PAUSE_S, jittered_s, judge_answer, judge_failure
from sluicegate_worker.policy_settings import Retry as RetrySettings
from sluicegate_worker.upstream.call import Answer, CallFailed

RULES = RetrySettings(max_attempts=5, base_s=0.5, cap_s=60)
NOW_S = 1_700_000_000.0
QUOTA = b'{"error":{"code":"insufficient_quota"}}'


def judge(
    status: int, body: bytes = b"", *, attempts: int = 0, sends: int = 1, asked: str | None = None, seed: int = 1
) -> Outcome:
    headers = {} if asked is None else {"retry-after": asked}
    return judge_answer(Answer(status, headers, body), attempts, sends, RULES, NOW_S, Random(seed))


def retried(outcome: Outcome) -> Retry:
    assert isinstance(outcome, Retry)
    return outcome


@pytest.mark.parametrize("status", [200, 201, 400, 404, 409, 413, 422])
@pytest.mark.parametrize("attempts", [0, 99])
def test_a_final_answer_goes_to_the_agent(status: int, attempts: int) -> None:
    assert judge(status, attempts=attempts, sends=attempts + 1) == Settle()


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 408])
def test_a_failure_uses_an_attempt_and_holds_nobody_else_back(status: int) -> None:
    outcome = retried(judge(status, b"broken"))
    assert (outcome.uses_attempt, outcome.pause_s, outcome.status, outcome.error) == (
        True,
        0,
        status,
        f"{status} broken",
    )
    assert 0 <= outcome.delay_s <= 0.5


@pytest.mark.parametrize("attempts", [3, 4, 5, 1000])
def test_after_the_last_attempt_it_is_dead(attempts: int) -> None:
    outcome = judge(500, attempts=attempts)
    assert isinstance(outcome, Retry) == (attempts == 3)
    if attempts > 3:
        assert outcome == Bury("attempts", "500", 500)


def test_the_provider_may_ask_for_more_time_after_a_failure() -> None:
    delays = [retried(judge(503, asked="20", attempts=2, seed=seed)).delay_s for seed in range(200)]
    assert min(delays) >= 20
    assert max(delays) <= 22
    assert max(delays) - min(delays) > 1.5  # and they do not all come back at once


@pytest.mark.parametrize("attempts", [0, 4, 1000])
@pytest.mark.parametrize(
    ("status", "body", "fault", "pause_s"),
    [
        (429, b"", "rate", RATE_PAUSE_S),
        (429, b'{"error":{"code":"slow_down"}}', "ramp", RATE_PAUSE_S),
        (429, QUOTA, "quota", 0),
        (401, b"", "credentials", 0),
        (402, b"", "credentials", 0),
        (403, b"", "credentials", 0),
    ],
)
def test_what_the_key_is_to_blame_for_holds_the_upstream_back_and_uses_no_attempt(
    status: int, body: bytes, fault: str, pause_s: float, attempts: int
) -> None:
    outcome = retried(judge(status, body, attempts=attempts, sends=attempts + 1))
    assert (outcome.uses_attempt, outcome.pause_s, outcome.fault) == (False, pause_s, fault)


@pytest.mark.parametrize(("status", "body"), [(429, b""), (429, QUOTA), (401, b"")])
def test_they_come_back_soon_for_the_bucket_says_when(status: int, body: bytes) -> None:
    """Somewhere else, perhaps, and apart from each other."""
    delays = {retried(judge(status, body, sends=6, asked="7", seed=seed)).delay_s for seed in range(200)}
    assert len(delays) == 200
    assert max(delays) <= 0.5


@pytest.mark.parametrize(
    ("asked", "pause_s"), [("7", 7), ("0", RATE_PAUSE_S), ("86400", 3600), ("nonsense", RATE_PAUSE_S)]
)
def test_a_429_pauses_as_long_as_the_provider_says(asked: str, pause_s: float) -> None:
    assert retried(judge(429, asked=asked)).pause_s == pause_s


@pytest.mark.parametrize(("status", "body"), [(529, b""), (503, b'{"error":{"code":"server_is_overloaded"}}')])
def test_overload_backs_off_without_using_attempts(status: int, body: bytes) -> None:
    outcome = retried(judge(status, body, attempts=1000, sends=1))
    assert (outcome.uses_attempt, outcome.pause_s, outcome.fault) == (False, 0, "overload")
    assert 0 <= outcome.delay_s <= 0.5
    later = [retried(judge(status, body, sends=6, seed=seed)).delay_s for seed in range(200)]
    assert max(later) > 10
    assert retried(judge(status, body, asked="30")).pause_s == 30


@pytest.mark.parametrize("status", [101, 103, 301, 302, 307, 308])
def test_what_is_no_final_answer_would_be_the_same_again(status: int) -> None:
    outcome = judge(status)
    assert isinstance(outcome, Bury)
    assert (outcome.reason, outcome.status) == ("upstream_error", status)
    assert outcome.error == f"{status} (no final answer; redirects are not followed: check base_url)"


@pytest.mark.parametrize("kind", ["timeout", "connection", "handler"])
def test_a_call_without_an_answer_is_a_failure(kind: str) -> None:
    failure = CallFailed(kind, "gone")  # type: ignore[arg-type]  # each of the kinds
    assert retried(judge_failure(failure, 0, RULES, Random(1))).uses_attempt
    assert judge_failure(failure, 4, RULES, Random(1)) == Bury("attempts", "gone", None)


def test_an_answer_that_is_too_large_would_be_so_again() -> None:
    assert judge_failure(CallFailed("too_large", "9 bytes"), 0, RULES, Random(1)) == Bury("too_large", "9 bytes")


@given(st.integers(-5, 10_000), st.integers(0, 2**32), st.floats(0.001, 10), st.floats(10, 315_360_000))
def test_jitter_stays_between_nothing_and_the_cap(failures: int, seed: int, base_s: float, cap_s: float) -> None:
    rules = RetrySettings(base_s=base_s, cap_s=cap_s)
    assert 0 <= jittered_s(failures, rules, Random(seed)) <= min(cap_s, base_s * 2 ** min(max(failures, 0), 30))


@pytest.mark.parametrize(("failures", "ceiling_s"), [(0, 0.5), (1, 1), (4, 8), (6, 32), (7, 60), (40, 60)])
def test_jitter_is_full_and_even(failures: int, ceiling_s: float) -> None:
    random = Random(7)
    delays = [jittered_s(failures, RULES, random) for _ in range(4000)]
    assert max(delays) <= ceiling_s
    for tenth in range(10):
        low_s, high_s = ceiling_s * tenth / 10, ceiling_s * (tenth + 1) / 10
        assert 300 < sum(low_s <= delay < high_s for delay in delays) < 500
    assert mean(delays) == pytest.approx(ceiling_s / 2, rel=0.05)


def test_the_error_quotes_a_little_of_the_body_on_one_line() -> None:
    outcome = retried(judge(500, b"line one\r\n\tline two \xff" + b"x" * 5000))
    assert outcome.error.startswith("500 line one line two \ufffd")
    assert len(outcome.error) < 420
    assert "\n" not in outcome.error

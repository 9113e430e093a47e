"""Decides what becomes of a call; pure. The life of a request whose calls fail:

0. The provider's final answer, a 4xx of the caller's own making included, goes to the agent as it is.
1. A 429 is about the key: the whole upstream pauses as long as the provider says and slows down, and the request comes
   back when the bucket has a slot for it, here or at another upstream, without using an attempt. So it does when the
   provider is overloaded, when the credentials are refused or the quota is used up: then the breaker opens.
2. A 5xx, a time-out or a broken connection uses up an attempt, and so does a bug of ours. The next comes after a random
   time between nothing and twice as much as the time before ("full jitter"), or later where the provider says so, so
   that they never come back together.
3. When the attempts are used up the request is dead (`attempts`). An answer that is too large, or a redirect, would be
   the same again, so it is dead at once.
4. What has begun to be streamed to its agent is not called again: when it breaks off, the request is dead.
5. Its deadline bounds all of it: the script that delays a request answers it as expired once that has passed.
"""

from random import Random

from sluicegate_worker.outcome import Bury, Outcome, Retry, Settle
from sluicegate_worker.policy_settings import Retry as RetrySettings
from sluicegate_worker.upstream.call import Answer, CallFailed
from sluicegate_worker.upstream.classify import classify
from sluicegate_worker.upstream.delays import read_retry_after_s

RATE_PAUSE_S = 1.0  # a 429 that does not say how long, or says not at all
_DOUBLINGS_MAX = 30


def judge_answer(
    answer: Answer, attempts: int, sends: int, rules: RetrySettings, now_s: float, random: Random
) -> Outcome:
    """`attempts` were used up before this call; `sends` counts this call too."""
    kind = classify(answer)
    if kind == "final":
        return Settle()
    error = f"{answer.status} {_excerpt(answer.body)}".strip()
    if kind == "unusable":
        return Bury(
            "upstream_error", f"{error} (no final answer; redirects are not followed: check base_url)", answer.status
        )
    asked_s = read_retry_after_s(answer.headers, answer.body, now_s)
    if kind == "transient":
        return _after_failure(error, answer.status, asked_s, attempts, rules, random)
    # The upstream waits, and with it whatever has nowhere else to go: the request itself is only set apart from others.
    delay_s = jittered_s(sends - 1 if kind == "overload" else 0, rules, random)
    # "At once" is not taken at its word: it would be asked again and again, as fast as the bucket allows.
    pause_s = asked_s or (RATE_PAUSE_S if kind in ("rate", "ramp") else 0.0)
    return Retry(delay_s, False, error, answer.status, pause_s, kind)


def judge_failure(
    failure: CallFailed, attempts: int, rules: RetrySettings, random: Random, *, begun: bool = False
) -> Outcome:
    """For a call without an answer, or with one that had `begun` to be passed on: nobody can take that back."""
    if begun:
        return Bury(
            "too_large" if failure.kind == "too_large" else "upstream_error", f"the stream broke off: {failure.error}"
        )
    if failure.kind == "too_large":
        return Bury("too_large", failure.error)
    return _after_failure(failure.error, None, None, attempts, rules, random)


def jittered_s(failures: int, rules: RetrySettings, random: Random) -> float:
    """Full jitter: anything from nothing to the doubled and capped base, so that a crowd spreads over the whole
    time."""
    ceiling_s: float = min(rules.cap_s, rules.base_s * 2 ** min(max(failures, 0), _DOUBLINGS_MAX))
    return random.uniform(0, ceiling_s)


def _after_failure(
    error: str, status: int | None, asked_s: float | None, attempts: int, rules: RetrySettings, random: Random
) -> Outcome:
    if attempts + 1 >= rules.max_attempts:
        return Bury("attempts", error, status)
    return Retry((asked_s or 0.0) + jittered_s(attempts, rules, random), True, error, status, fault="failure")


def _excerpt(body: bytes) -> str:
    return " ".join(body[:400].decode("utf-8", "replace").split())

"""Names, keys and ids: nothing that could change which key of Redis is meant."""

import time
from uuid import UUID

import pytest

from sluicegate.errors import InvalidRequest
from sluicegate.names import check_idempotency_key, check_name, new_id


@pytest.mark.parametrize("name", ["a", "planner-7", "A.b_c-9", "x" * 64, "0", "..."])
def test_a_good_name_is_returned(name: str) -> None:
    assert check_name("agent", name) == name


@pytest.mark.parametrize(
    "name", ["", "x" * 65, "a b", "a:b", "a{b}", "a\n", "a\x00", "ä", "a/b", "a*", None, 7, b"a", ["a"]]
)
def test_a_bad_name_is_refused_with_what_would_do(name: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^agent must be 1 to 64 of the characters .*, not ") as caught:
        check_name("agent", name)  # type: ignore[arg-type]  # what callers may pass all the same
    assert "\n" not in str(caught.value)


def test_the_message_stays_short() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_name("agent", "x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("key", ["a", "order 7: {x}", "x" * 256, "~!"])
def test_a_key_may_be_any_printable_text(key: str) -> None:
    assert check_idempotency_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * 257, "a\n", "ä", "\x7f", None, 7])
def test_a_bad_key_is_refused(key: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^key must be 1 to 256 printable ASCII characters"):
        check_idempotency_key(key)  # type: ignore[arg-type]  # what callers may pass all the same


def test_ids_are_uuids_of_version_7_and_of_now() -> None:
    before_ms = time.time_ns() // 1_000_000
    text = new_id()
    after_ms = time.time_ns() // 1_000_000
    made = UUID(text)
    assert str(made) == text == check_name("id", text)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before_ms <= made.int >> 80 <= after_ms


def test_ids_are_never_the_same() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000

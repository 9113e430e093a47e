"""Replies as they lie in Redis, and what they become for the agent."""

import msgspec
import pytest

from sluicegate.errors import DeadlineExceeded, RequestCancelled, RequestDead, StoreUnavailable
from sluicegate.wire import Reply, ReplyHead, Submission, encode_reply, open_reply, split_reply

HEAD = ReplyHead(
    state="ok", agent="ann", digest="d" * 32, attempts=2, queued_s=0.5, upstream_s=1.25, upstream="a", status=200,
    headers={"content-type": "application/json"}, usage={"total_tokens": 3},
)  # fmt: skip


def test_a_reply_comes_back_as_it_was_written() -> None:
    body = b'{"a":\n1}\n\x00\xff'
    assert split_reply(encode_reply(HEAD, body)) == (HEAD, body)
    assert open_reply("one", encode_reply(HEAD, body)) == Reply(
        id="one", status=200, headers={"content-type": "application/json"}, body=body, agent="ann", upstream="a",
        attempts=2, queued_s=0.5, upstream_s=1.25, usage={"total_tokens": 3},
    )  # fmt: skip


def test_the_head_is_one_readable_line() -> None:
    line, _, body = encode_reply(HEAD, b"x").partition(b"\n")
    assert msgspec.json.decode(line)["agent"] == "ann"
    assert body == b"x"


def test_json_decodes_the_body() -> None:
    assert open_reply("one", encode_reply(HEAD, b'{"a":1}')).json() == {"a": 1}
    with pytest.raises(msgspec.DecodeError):
        open_reply("one", encode_reply(HEAD, b"<html>")).json()


def test_whatever_the_providers_status_it_is_a_reply() -> None:
    assert open_reply("one", encode_reply(msgspec.structs.replace(HEAD, status=404))).status == 404


def test_fields_of_a_later_version_are_ignored() -> None:
    head, body = split_reply(b'{"v":9,"state":"ok","agent":"a","digest":"d","colour":"blue"}\nx')
    assert (head.v, head.state, body) == (9, "ok", b"x")


def test_outcomes_without_an_answer_are_errors() -> None:
    gone = msgspec.structs.replace(HEAD, queued_s=3.0)
    with pytest.raises(DeadlineExceeded, match=r"before its deadline, 3\.0 s after it was accepted$"):
        open_reply("one", encode_reply(msgspec.structs.replace(gone, state="expired")))
    with pytest.raises(RequestCancelled, match="request one was cancelled"):
        open_reply("one", encode_reply(msgspec.structs.replace(gone, state="cancelled")))
    dead = msgspec.structs.replace(HEAD, state="dead", reason="attempts", status=500, error="500 broken", attempts=5)
    with pytest.raises(RequestDead, match=r"request one is dead \(attempts\) after 5 calls: 500 broken") as caught:
        open_reply("one", encode_reply(dead))
    assert (caught.value.reason, caught.value.status, caught.value.last_error) == ("attempts", 500, "500 broken")


def test_who_waited_in_vain_learns_why() -> None:
    expired = msgspec.structs.replace(HEAD, state="expired", queued_s=3.0, error="500 broken")
    with pytest.raises(DeadlineExceeded, match=r"3\.0 s after it was accepted; its last call: 500 broken$"):
        open_reply("one", encode_reply(expired))


def test_a_death_that_says_little_is_still_a_death() -> None:
    with pytest.raises(RequestDead, match="no detail") as caught:
        open_reply("one", b'{"state":"dead","agent":"a","digest":"d"}\n')
    assert (caught.value.reason, caught.value.status, caught.value.last_error) == ("upstream_error", None, None)


@pytest.mark.parametrize(
    "blob", [b"", b"nonsense", b"{}\n", b"[1]\nx", b'{"state":1,"agent":"a","digest":"d"}\n', b"[" * 99_999]
)
def test_what_is_no_reply_is_somebody_elses(blob: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="does another programme write to these keys"):
        split_reply(blob)


def test_a_submission_is_a_row_of_the_enqueue_script() -> None:
    assert Submission._fields == (
        "id", "agent", "lane", "key", "digest", "head", "body", "deadline_us", "not_before_us", "on_unknown",
        "model", "tokens_in", "tokens_out",
    )  # fmt: skip

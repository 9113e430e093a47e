"""Answers as OpenAI and Anthropic send them, written by hand: documents, and events in the order of their APIs."""

import json
from collections.abc import Sequence
from typing import Any

from support.streaming import DONE, EVENTS
from support.upstream import Behaviour, answer

CHAT_USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
CALL = {"name": "get_weather", "arguments": '{"city":"Bern"}'}


def tell(document: Any, status: int = 200, **headers: str) -> Behaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(status, json.dumps(document).encode(), named)


def tell_events(pieces: Sequence[bytes]) -> Behaviour:
    return answer(200, b"".join(pieces), {**EVENTS, "x-request-id": "req_stream"})


def completion(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "small"}
    return {**head, "choices": [choice], "usage": CHAT_USAGE}


def chat_chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small"}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({**head, "choices": [choice]}).encode()


def tool_chunks() -> list[bytes]:
    """A call whose arguments come in two halves."""
    first, second = CALL["arguments"][:6], CALL["arguments"][6:]
    begun = {"index": 0, "id": "call_1", "type": "function", "function": {"name": CALL["name"], "arguments": first}}
    return [
        chat_chunk({"role": "assistant", "tool_calls": [begun]}),
        chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": second}}]}),
        chat_chunk({}, "tool_calls"),
        DONE,
    ]


def response(text: str = "", status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "small", "tools": []}
    return {**head, "output": [message] if text else [], "parallel_tool_calls": True, "tool_choice": "auto"}


def response_events(*texts: str) -> list[bytes]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response(status="in_progress")},
        *({"type": "response.output_text.delta", "delta": text, **place} for text in texts),
        {"type": "response.completed", "response": response("".join(texts))},
    ]
    return [_named({**event, "sequence_number": number}) for number, event in enumerate(events)]


def message(content: list[dict[str, Any]], stop: str | None = "end_turn") -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "small", "content": content}
    usage = {"input_tokens": 5, "output_tokens": 3}
    return {**head, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def message_events(*texts: str) -> list[bytes]:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message([], None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}} for t in texts),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return [_named(event) for event in events]


def openai_error(sentence: str, code: str) -> dict[str, Any]:
    return {"error": {"message": sentence, "type": "invalid_request_error", "param": "model", "code": code}}


def anthropic_error(kind: str, sentence: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": sentence}, "request_id": "req_1"}


def _named(event: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())

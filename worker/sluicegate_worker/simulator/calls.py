"""Which paths there are: calls, which have a body, a fate and a limit, and the rest, which is answered at once."""

from collections.abc import Callable

import msgspec

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.chat import ChatBody, ChatCall, read_chat
from sluicegate_worker.simulator.embeddings import EmbeddingsBody, EmbeddingsCall, read_embeddings

Call = ChatCall | EmbeddingsCall

CALLS: dict[str, Callable[[bytes], Call]] = {
    "/chat/completions": lambda body: read_chat(msgspec.json.decode(body, type=ChatBody)),
    "/embeddings": lambda body: read_embeddings(msgspec.json.decode(body, type=EmbeddingsBody)),
}
MODELS_PATH = "/models"
MODELS = msgspec.json.encode(
    {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"}
            for name in ("sim-chat", "sim-embedding")
        ],
    }
)


def is_call(method: str, path: str) -> bool:
    return method == "POST" and _strip_version(path) in CALLS


def decode_call(path: str, body: bytes) -> Call:
    """Raises ApiError for a body that no provider would take."""
    try:
        return CALLS[_strip_version(path)](body)
    except msgspec.ValidationError as error:
        raise errors.wrong_type(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise errors.body_not_json() from None


def answer_no_call(method: str, path: str) -> bytes:
    """The list of models, or ApiError."""
    endpoint = _strip_version(path)
    if endpoint == MODELS_PATH and method == "GET":
        return MODELS
    if endpoint == MODELS_PATH or endpoint in CALLS:
        raise errors.wrong_method(method, path)
    raise errors.unknown_path(method, path)


def _strip_version(path: str) -> str:
    return path.removeprefix("/v1")

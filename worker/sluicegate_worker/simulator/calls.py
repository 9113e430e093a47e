"""Which paths there are: calls, which have a body, a fate and a price, and the rest, which is answered at once."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.chat import ChatBody, ChatCall, read_chat
from sluicegate_worker.simulator.embeddings import EmbeddingsBody, EmbeddingsCall, read_embeddings
from sluicegate_worker.simulator.messages import MessagesBody, MessagesCall, read_messages

Call = ChatCall | EmbeddingsCall | MessagesCall


class Paths(NamedTuple):
    """The calls of a provider: how each path's body is read, given the model that the path may name."""

    readers: Mapping[str, Callable[[bytes, str | None], Call]]
    prefix: re.Pattern[str] = re.compile(r"(?:/v1)?")


_CHAT_AND_EMBEDDINGS: Mapping[str, Callable[[bytes, str | None], Call]] = {
    "/chat/completions": lambda body, model: read_chat(msgspec.json.decode(body, type=ChatBody), model),
    "/embeddings": lambda body, model: read_embeddings(msgspec.json.decode(body, type=EmbeddingsBody), model),
}
OPENAI_PATHS = Paths(_CHAT_AND_EMBEDDINGS)
AZURE_PATHS = Paths(_CHAT_AND_EMBEDDINGS, re.compile(r"(?:/v1|/openai/deployments/(?P<model>[^/]+))?"))
ANTHROPIC_PATHS = Paths({"/messages": lambda body, _: read_messages(msgspec.json.decode(body, type=MessagesBody))})

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


def is_call(paths: Paths, method: str, path: str) -> bool:
    return method == "POST" and _split(paths, path)[1] in paths.readers


def decode_call(paths: Paths, path: str, body: bytes) -> Call:
    """Raises ApiError for a body that no provider would take."""
    model, endpoint = _split(paths, path)
    try:
        return paths.readers[endpoint](body, model)
    except msgspec.ValidationError as error:
        raise errors.wrong_type(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise errors.body_not_json() from None


def answer_no_call(paths: Paths, method: str, path: str) -> bytes:
    """The list of models, or ApiError."""
    _, endpoint = _split(paths, path)
    if endpoint == MODELS_PATH and method == "GET":
        return MODELS
    if endpoint == MODELS_PATH or endpoint in paths.readers:
        raise errors.wrong_method(method, path)
    raise errors.unknown_path(method, path)


# The prefix may be missing, but always matches: as nothing.
def _split(paths: Paths, path: str) -> tuple[str | None, str]:
    found = paths.prefix.match(path)
    if found is None:
        return None, path
    return found.groupdict().get("model"), path[found.end() :]

"""Which paths each provider has, and what a path may look like at all. Paths are relative to the API root; `/v1` is
optional.

Only what answers one JSON document to one JSON document is listed: files, audio and realtime cannot wait in a queue.
"""

import re

from sluicegate.errors import InvalidRequest

PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "openai": {
        "POST": ("/chat/completions", "/completions", "/responses", "/embeddings", "/moderations"),
        "GET": ("/models", "/models/*"),
    },
    "azure": {
        "POST": (
            "/chat/completions",
            "/completions",
            "/responses",
            "/embeddings",
            "/openai/deployments/*/chat/completions",
            "/openai/deployments/*/completions",
            "/openai/deployments/*/embeddings",
        ),
        "GET": ("/models", "/models/*"),
    },
    "anthropic": {"POST": ("/messages", "/messages/count_tokens"), "GET": ("/models", "/models/*")},
    "gemini": {
        "POST": (
            "/models/*:generateContent",
            "/models/*:countTokens",
            "/models/*:embedContent",
            "/models/*:batchEmbedContents",
        ),
        "GET": ("/models", "/models/*"),
    },
    "bedrock": {"POST": ("/model/*/converse", "/model/*/invoke"), "GET": ()},
    "generic": {"POST": ("*",), "GET": ("*",), "PUT": ("*",), "PATCH": ("*",), "DELETE": ("*",)},
}

_PATH = re.compile(r"(?:/[A-Za-z0-9._~:@!$&'()*+,;=-]+)+(?:\?[A-Za-z0-9._~:@!$&'()*+,;=/?%-]*)?\Z")
_PATH_CHARACTERS_MAX = 1024


def normalise_path(path: str) -> str:
    """The path with a leading slash and without `/v1`. Raises InvalidRequest for what could lead elsewhere."""
    if not isinstance(path, str) or len(path) > _PATH_CHARACTERS_MAX:
        raise InvalidRequest(
            f"the path must be text of at most {_PATH_CHARACTERS_MAX} characters, such as /chat/completions"
        )
    rooted = path if path.startswith("/") else f"/{path}"
    if rooted.startswith("/v1/"):
        rooted = rooted[3:]
    segments = rooted.partition("?")[0].split("/")
    if not _PATH.match(rooted) or "." in segments or ".." in segments:
        raise InvalidRequest(
            f"{path!r:.100} is not a path: write it like /chat/completions, without host, '..' or escapes"
        )
    return rooted


def check_path(method: str, path: str, providers: list[str]) -> None:
    """Raises InvalidRequest unless one of the providers has this normalised path."""
    bare = path.partition("?")[0]
    offered = [pattern for provider in providers for pattern in PATHS.get(provider, {}).get(method, ())]
    if any(_matches(pattern, bare) for pattern in offered):
        return
    known = ", ".join(sorted(set(offered))) or "none"
    raise InvalidRequest(
        f"{method} {bare} is not a path that {' or '.join(sorted(set(providers)))} answers here; these are: {known}"
    )


def _matches(pattern: str, path: str) -> bool:
    if pattern == "*":
        return True
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]+"), path) is not None

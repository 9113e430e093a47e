"""Which paths each provider has, and what a path may look like at all. Paths are relative to the API root; `/v1` is
optional.

Only what answers one JSON document with one, or with a stream, is listed: files, audio and realtime cannot wait in a
queue.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

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
            "/models/*:streamGenerateContent",
            "/models/*:countTokens",
            "/models/*:embedContent",
            "/models/*:batchEmbedContents",
        ),
        "GET": ("/models", "/models/*"),
    },
    "bedrock": {"POST": ("/model/*/converse", "/model/*/converse-stream", "/model/*/invoke"), "GET": ()},
    "generic": {"POST": ("*",), "GET": ("*",), "PUT": ("*",), "PATCH": ("*",), "DELETE": ("*",)},
}

_NOT_QUEUED = re.compile(
    r"/(?:openai/)?(?:files|uploads|audio|images|videos|realtime|batches|messages/batches|fine_tuning|vector_stores|"
    r"containers|assistants|threads|evals|conversations|skills)(?:/|\Z)"
)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~:@!$&'()*+,;=-]+)+(?:\?[A-Za-z0-9._~:@!$&'()*+,;=/?%-]*)?\Z")
_PATH_CHARACTERS_MAX = 1024
_CREDENTIALS = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "subscription-key"})


def normalise_path(path: str) -> str:
    """The path with a leading slash, without `/v1` and without credentials in its query. Raises InvalidRequest for what
    could lead elsewhere."""
    if not isinstance(path, str) or len(path) > _PATH_CHARACTERS_MAX:
        raise InvalidRequest(
            f"the path must be text of at most {_PATH_CHARACTERS_MAX} characters, such as /chat/completions"
        )
    rooted = path if path.startswith("/") else f"/{path}"
    if rooted.startswith("/v1/"):
        rooted = rooted[3:]
    rooted = _without_credentials(rooted)
    segments = rooted.partition("?")[0].split("/")
    if not _PATH.match(rooted) or "." in segments or ".." in segments:
        raise InvalidRequest(
            f"{path!r:.100} is not a path: write it like /chat/completions, without host, '..' or escapes"
        )
    return rooted


def _without_credentials(path: str) -> str:
    """Some clients put their key into the query: like those in headers, it goes nowhere."""
    bare, mark, query = path.partition("?")
    kept = [part for part in query.split("&") if part.partition("=")[0].lower() not in _CREDENTIALS]
    return f"{bare}?{'&'.join(kept)}" if mark and any(kept) else bare


def check_path(method: str, path: str, providers: Sequence[str]) -> None:
    """Raises InvalidRequest unless each of the providers has this normalised path: any of them may get the request."""
    bare = path.partition("?")[0]
    for provider in providers:
        offered = PATHS.get(provider, {}).get(method, ())
        if not any(_matches(pattern, bare) for pattern in offered):
            known = ", ".join(sorted(offered)) or "none"
            if _NOT_QUEUED.match(bare):
                raise InvalidRequest(
                    f"{method} {bare} is no path that waits in a queue: ask the provider directly for files, media and "
                    f"what else it keeps, with a client of its own; {provider} answers here: {known}"
                )
            raise InvalidRequest(f"{method} {bare} is not a path that {provider} answers here; these are: {known}")


def resolve_path(method: str, path: str, providers: tuple[str, ...]) -> str:
    """The normalised path, which each of the providers has. Raises InvalidRequest."""
    return _resolve_text(method, path, providers) if isinstance(path, str) else normalise_path(path)


@lru_cache(maxsize=1024)  # agents ask for the same few, over and over
def _resolve_text(method: str, path: str, providers: tuple[str, ...]) -> str:
    normalised = normalise_path(path)
    check_path(method, normalised, providers)
    return normalised


def find_strangers(providers: Sequence[str]) -> tuple[str, str] | None:
    """Two providers of which no request can go to both: they have no POST path in common."""
    for one, other in combinations(dict.fromkeys(providers), 2):
        posts, others = (set(PATHS[provider]["POST"]) for provider in (one, other))
        if "*" not in posts | others and posts.isdisjoint(others):
            return one, other
    return None


def _matches(pattern: str, path: str) -> bool:
    if pattern == "*":
        return True
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]+"), path) is not None

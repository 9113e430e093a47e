"""Which headers of an answer go to the agent: an allow-list, so that a provider's cookies and inner workings do not."""

from collections.abc import Mapping

_NAMES = frozenset(
    {"content-type", "date", "retry-after", "retry-after-ms", "request-id", "x-request-id", "traceparent"}
)
_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "openai-", "anthropic-organization-id", "x-ms-", "apim-request-id")
_CHARACTERS_MAX = 2048


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value[:_CHARACTERS_MAX] for name, value in headers.items() if name in _NAMES or name.startswith(_PREFIXES)
    }

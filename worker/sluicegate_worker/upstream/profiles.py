"""What differs between providers besides their paths: how a key is shown, and what each request must carry. Data."""

AUTHORISATION: dict[str, tuple[str, str]] = {
    "openai": ("authorization", "Bearer {key}"),
    "azure": ("api-key", "{key}"),
    "anthropic": ("x-api-key", "{key}"),
    "gemini": ("x-goog-api-key", "{key}"),
    "bedrock": ("authorization", "Bearer {key}"),
    "generic": ("authorization", "Bearer {key}"),
}

REQUIRED_HEADERS: dict[str, dict[str, str]] = {"anthropic": {"anthropic-version": "2023-06-01"}}


def headers_for(provider: str, key: str | None, headers: dict[str, str]) -> dict[str, str]:
    """The caller's headers with the provider's own and the key added."""
    complete = {**REQUIRED_HEADERS.get(provider, {}), **headers}
    if key is not None:
        name, form = AUTHORISATION[provider]
        complete[name] = form.format(key=key)
    return complete

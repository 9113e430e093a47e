"""How each provider speaks over HTTP: its paths, the headers of its answers, the bodies of its errors. Data."""

from collections.abc import Callable
from typing import NamedTuple

from sluicegate_worker.simulator import headers
from sluicegate_worker.simulator.behaviour import InvalidBehaviour, Profile
from sluicegate_worker.simulator.calls import ANTHROPIC_PATHS, AZURE_PATHS, OPENAI_PATHS, Paths
from sluicegate_worker.simulator.errors import ApiError


class Dialect(NamedTuple):
    paths: Paths
    limit_headers: Callable[[headers.Standings, int], dict[str, str]]  # how the limits stand, and what time it is
    retry_headers: Callable[[int], dict[str, str]]  # how long to wait
    request_headers: Callable[[str, int], dict[str, str]]  # the request's serial, and how long it took
    encode_error: Callable[[ApiError], bytes]
    overloaded_status: int


DIALECTS: dict[Profile, Dialect] = {
    "openai": Dialect(
        OPENAI_PATHS,
        headers.openai_limits,
        headers.openai_retry,
        headers.openai_request,
        ApiError.encode_as_openai,
        overloaded_status=503,
    ),
    "azure": Dialect(
        AZURE_PATHS,
        headers.azure_limits,
        headers.openai_retry,
        headers.openai_request,
        ApiError.encode_as_openai,
        overloaded_status=503,
    ),
    "anthropic": Dialect(
        ANTHROPIC_PATHS,
        headers.anthropic_limits,
        headers.plain_retry,
        headers.anthropic_request,
        ApiError.encode_as_anthropic,
        overloaded_status=529,
    ),
    "generic": Dialect(
        OPENAI_PATHS,
        headers.no_limits,
        headers.plain_retry,
        headers.plain_request,
        ApiError.encode_as_openai,
        overloaded_status=503,
    ),
}


def find_dialect(profile: Profile) -> Dialect:
    """Raises InvalidBehaviour for a profile that only counts."""
    if profile not in DIALECTS:
        raise InvalidBehaviour(
            f"the profile {profile} cannot be served over HTTP; those that can are {', '.join(DIALECTS)}"
        )
    return DIALECTS[profile]

"""The errors of OpenAI's API: status, body, and what the log calls them."""

import msgspec

from sluicegate_worker.simulator.headers import format_go_duration
from sluicegate_worker.simulator.limits import Verdict
from sluicegate_worker.simulator.log import Kind


class ApiError(Exception):
    """An answer that is not a success."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: Kind = "bad_request",
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self._error = {"message": message, "type": type, "param": param, "code": code}

    def encode(self) -> bytes:
        return msgspec.json.encode({"error": self._error})


def unknown_path(method: str, path: str) -> ApiError:
    return ApiError(404, f"Invalid URL ({method} {path})", kind="not_found")


def wrong_method(method: str, path: str) -> ApiError:
    return ApiError(405, f"Not allowed to {method} on {path}.")


def body_too_large(max_bytes: int) -> ApiError:
    return ApiError(413, f"The request body is larger than {max_bytes:,} bytes.", code="request_too_large")


def body_not_json() -> ApiError:
    return ApiError(400, "We could not parse the JSON body of your request: it must be a JSON object.")


def wrong_type(detail: str) -> ApiError:
    return ApiError(400, f"Invalid body: {detail}.", code="invalid_type")


def missing_model() -> ApiError:
    return ApiError(400, "you must provide a model parameter")


def missing_parameter(name: str) -> ApiError:
    return ApiError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def unsupported_value(name: str, detail: str) -> ApiError:
    return ApiError(400, f"Unsupported value for '{name}': {detail}.", param=name, code="unsupported_value")


def rate_limited(model: str, verdict: Verdict) -> ApiError:
    return ApiError(
        429,
        f"Rate limit reached for {model} on requests per min (RPM): Limit {verdict.limit}, Requested 1. "
        f"Please try again in {format_go_duration(verdict.wait_us)}.",
        kind="rate_limited",
        type="requests",
        code="rate_limit_exceeded",
    )


def server_failed(status: int) -> ApiError:
    if status == 503:
        message = "The server is currently overloaded with other requests. Please retry after a while."
        return ApiError(503, message, kind="fault_5xx", type="service_unavailable_error", code="server_is_overloaded")
    message = "The server had an error while processing your request."
    return ApiError(status, message, kind="fault_5xx", type="server_error")

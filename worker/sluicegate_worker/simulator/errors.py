"""The errors of the simulated APIs: status, body as OpenAI and as Anthropic write it, and what the log calls them."""

import msgspec

from sluicegate_worker.simulator.behaviour import Dimension
from sluicegate_worker.simulator.headers import format_go_duration
from sluicegate_worker.simulator.log import Kind
from sluicegate_worker.simulator.metering import Verdict

# What OpenAI calls a limit, and the type of error it is to run into it.
LIMITS: dict[Dimension, tuple[str, str]] = {
    "rpm": ("requests per min (RPM)", "requests"),
    "tpm": ("tokens per min (TPM)", "tokens"),
    "itpm": ("input tokens per min (ITPM)", "tokens"),
    "otpm": ("output tokens per min (OTPM)", "tokens"),
    "rpd": ("requests per day (RPD)", "requests"),
    "tpd": ("tokens per day (TPD)", "tokens"),
}
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


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

    def encode_as_openai(self) -> bytes:
        return msgspec.json.encode({"error": self._error})

    def encode_as_anthropic(self) -> bytes:
        word = ANTHROPIC_TYPES.get(self.status, "api_error")
        if self.kind == "quota":
            word = "enforced_spend_limit_reached"
        return msgspec.json.encode({"type": "error", "error": {"type": word, "message": self._error["message"]}})


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


def rate_limited(model: str, dimension: Dimension, verdict: Verdict) -> ApiError:
    name, kind_of_limit = LIMITS[dimension]
    return ApiError(
        429,
        f"Rate limit reached for {model} on {name}: Limit {verdict.standings[dimension].limit}, "
        f"Requested {verdict.requested}. Please try again in {format_go_duration(verdict.wait_us)}.",
        kind="rate_limited",
        type=kind_of_limit,
        code="rate_limit_exceeded",
    )


def slow_down() -> ApiError:
    message = "Your requests grew too fast. Please slow down, and ramp up gradually."
    return ApiError(429, message, kind="slow_down", type="requests", code="slow_down")


def out_of_quota() -> ApiError:
    message = "You exceeded your current quota, please check your plan and billing details."
    return ApiError(429, message, kind="quota", type="insufficient_quota", code="insufficient_quota")


def key_revoked() -> ApiError:
    return ApiError(401, "Incorrect API key provided.", kind="credentials", code="invalid_api_key")


def overloaded(status: int, kind: Kind = "overloaded") -> ApiError:
    message = "The server is currently overloaded with other requests. Please retry after a while."
    return ApiError(status, message, kind=kind, type="service_unavailable_error", code="server_is_overloaded")


def server_failed(status: int) -> ApiError:
    if status == 503:
        return overloaded(503, kind="fault_5xx")
    message = "The server had an error while processing your request."
    return ApiError(status, message, kind="fault_5xx", type="server_error")

"""`/_sim`: what the simulator is told and asked while it runs."""

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.behaviour import InvalidBehaviour
from sluicegate_worker.simulator.intake import read_body

CONTROL_PATH = "/_sim"


async def answer_control(
    request: web.BaseRequest,
    change: Callable[[Mapping[str, object]], None],
    snapshot: Callable[[], dict[str, object]],
) -> web.Response:
    """POST changes, GET and POST show; in no provider's dialect, since it is no provider's."""
    status = 200
    try:
        if request.method == "POST":
            change(_decode_changes(await read_body(request)))
        elif request.method != "GET":
            raise errors.wrong_method(request.method, CONTROL_PATH)
        body = msgspec.json.encode(snapshot())
    except InvalidBehaviour as error:
        status, body = 400, errors.ApiError(400, str(error)).encode_as_openai()
    except errors.ApiError as error:
        status, body = error.status, error.encode_as_openai()
    return web.Response(status=status, body=body, content_type="application/json")


def _decode_changes(body: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise errors.body_not_json() from None

"""Events as log lines: for people, or one JSON object a line for machines."""

import logging
import sys
import time
from typing import Any, Literal

import msgspec
from msgspec.structs import asdict

from sluicegate_worker.observe.events import DEBUG, WARNING, Event, StoreTrouble, UpstreamRefused

Format = Literal["human", "json"]

LOGGER = "sluicegate.dispatcher"
_QUIET_S = 10.0  # between two lines about the same upstream's refusals
_HUMAN = "%(asctime)s %(levelname)s %(message)s"

_log = logging.getLogger(LOGGER)
_encode = msgspec.json.Encoder(enc_hook=str).encode


class LogLines:
    """Subscribes to Events and writes to the logger `sluicegate.dispatcher`; each record carries its `event`.

    What happens again and again is said once: a refusal once in ten seconds or a pause, trouble with Redis when it
    begins.
    """

    def __init__(self) -> None:
        self._quiet_until: dict[tuple[str, str], float] = {}

    def __call__(self, event: Event, error: BaseException | None) -> None:
        level = self._level_of(event)
        if _log.isEnabledFor(level):
            _log.log(level, "%s", event.say(), exc_info=error, extra={"event": event})

    def _level_of(self, event: Event) -> int:
        if isinstance(event, StoreTrouble):
            return WARNING if event.first else DEBUG
        if isinstance(event, UpstreamRefused):
            upstream, now = (event.pool, event.upstream), time.monotonic()
            if now < self._quiet_until.get(upstream, now):
                return DEBUG
            self._quiet_until[upstream] = now + max(event.pause_s, _QUIET_S)
        return event.LEVEL


class JsonFormatter(logging.Formatter):
    """`at` (Unix seconds, this machine's clock), `level`, `message`; `event` and its fields where it is one of ours."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"at": record.created, "level": record.levelname.lower()}
        event = getattr(record, "event", None)
        if isinstance(event, Event):
            line |= {"event": type(event).__name__, **asdict(event)}
        line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def write_logs(form: Format) -> None:
    """Sends this process's log lines to stderr, from INFO up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_HUMAN))
    logging.basicConfig(level=logging.INFO, handlers=[handler])

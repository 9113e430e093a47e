"""The catalogue of events: each has its sentence, and how log lines tell it."""

import json
import logging
from typing import Any

import pytest
from msgspec import inspect

from sluicegate_worker.observe import events as told
from sluicegate_worker.observe.events import Event, Events
from sluicegate_worker.observe.logs import LOGGER, JsonFormatter, LogLines

_SAMPLES: dict[type, Any] = {inspect.IntType: 7, inspect.FloatType: 1.5, inspect.BoolType: True}


def _catalogue(kind: type[Event] = Event) -> list[type[Event]]:
    return [found for sub in kind.__subclasses__() for found in (sub, *_catalogue(sub)) if found.SENTENCE]


def _sample(kind: type[Event]) -> Event:
    values: dict[str, Any] = {}
    about = inspect.type_info(kind)
    assert isinstance(about, inspect.StructType)
    for field in about.fields:
        if field.required:
            choices = getattr(field.type, "values", None)
            options = getattr(field.type, "types", (field.type,))
            plain = next((one for one in options if type(one) in _SAMPLES), None)
            values[field.name] = choices[0] if choices else _SAMPLES.get(type(plain), "word")
    return kind(**values)


def _refusal(pause_s: float = 0.0, upstream: str = "a") -> told.UpstreamRefused:
    about = {"pool": "chat", "request": "r1", "agent": "ann", "upstream": upstream, "trouble": "429 slow down"}
    return told.UpstreamRefused(**about, fault="rate", pause_s=pause_s)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    return caplog


def test_the_catalogue_is_not_empty() -> None:
    assert {told.RequestSent, told.AttemptEnded, told.LeaseLost} <= set(_catalogue())


@pytest.mark.parametrize("kind", _catalogue(), ids=lambda kind: kind.__name__)
def test_every_event_can_be_said(kind: type[Event]) -> None:
    said = _sample(kind).say()
    assert said
    assert "{" not in said


def test_a_line_has_the_level_and_the_sentence(records: pytest.LogCaptureFixture) -> None:
    Events(LogLines()).tell(told.DispatcherDraining(in_flight=3))
    [record] = records.records
    assert (record.levelno, record.getMessage()) == (logging.INFO, "draining: 3 in flight")


def test_trouble_is_news_once(records: pytest.LogCaptureFixture) -> None:
    tell = Events(LogLines()).tell
    for first in (True, False):
        tell(told.StoreTrouble(pool="chat", loop="lease", what="cannot", trouble="gone", first=first))
    assert [record.levelno for record in records.records] == [logging.WARNING, logging.DEBUG]


def test_refusals_of_one_upstream_are_said_once_in_a_while(records: pytest.LogCaptureFixture) -> None:
    tell = Events(LogLines()).tell
    for refusal in (_refusal(), _refusal(), _refusal(upstream="b")):
        tell(refusal)
    assert [record.levelno for record in records.records] == [logging.WARNING, logging.DEBUG, logging.WARNING]


def test_a_line_for_machines_holds_the_event() -> None:
    record = logging.LogRecord(LOGGER, logging.WARNING, "file", 1, "%s", ("upstream a\nrefuses",), None)
    record.event = _refusal(2.5)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("at") == record.created
    assert found == {
        "level": "warning", "event": "UpstreamRefused", "pool": "chat", "request": "r1", "agent": "ann",
        "upstream": "a", "fault": "rate", "trouble": "429 slow down", "pause_s": 2.5, "message": "upstream a\nrefuses",
    }  # fmt: skip


def test_a_line_of_somebody_else_is_json_too() -> None:
    odd = (ValueError, ValueError("odd"), None)
    record = logging.LogRecord("asyncio", logging.ERROR, "file", 1, "broke", None, odd)
    found = json.loads(JsonFormatter().format(record))
    assert (found["level"], found["message"], "event" in found) == ("error", "broke", False)
    assert "ValueError: odd" in found["exception"]


def test_a_subscriber_that_breaks_stops_nobody_and_is_said_once(records: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def break_off(event: Event, error: BaseException | None) -> None:
        raise RuntimeError("bug")

    events = Events(break_off, lambda event, _: heard.append(event))
    for _ in range(2):
        events.tell(told.DispatcherDraining(in_flight=0))
    assert len(heard) == 2
    assert [record.levelno for record in records.records] == [logging.ERROR]

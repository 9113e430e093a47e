"""The herd benchmark from end to end, with little traffic, for the columns that need nothing from elsewhere."""

import pytest

from bench.herd.run import Case, run_case
from bench.herd.scenarios import MODELS, Change, Model, Phase, Scenario
from bench.herd.services import COLUMNS

RPM = 1_200
SMALL = Scenario(
    "small", "little, and a short outage", (Phase(2, 0.5),),
    (Change(0.5, 0.0, {"faults": {"5xx": 1.0}}), Change(0.8, 1.0, {"faults": {}})),
)  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("column", ["leased", "sluicegate", "oracle"])
def test_everything_is_answered(column: str) -> None:
    run = run_case(Case(COLUMNS[column], SMALL, MODELS["free"], seed=1, rpm=RPM))
    assert run.impossible is None
    assert run.measures is not None
    assert (run.measures.answered, run.measures.unanswered) == (1.0, {})
    assert run.measures.calls >= run.measures.wanted > 0


def test_what_the_provider_cannot_do_is_said() -> None:
    impossible = Model("magic", "it reads minds", {"mind_reading": True})
    run = run_case(Case(COLUMNS["oracle"], SMALL, impossible, seed=1, rpm=RPM))
    assert run.measures is None
    assert run.impossible is not None
    assert "there is no field 'mind_reading'" in run.impossible

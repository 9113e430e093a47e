"""The checker of I4 finds slots that are too near, and nothing else."""

import pytest

from support.spacing import Spacing

PRICES_US = {"rpm": 10_000.0, "tpm": 100.0}


@pytest.fixture
def spacing() -> Spacing:
    begun = Spacing(PRICES_US)
    begun.take(0, "1-0", {"rpm": 1, "tpm": 300}, PRICES_US)
    return begun


def take(spacing: Spacing, at_us: int, factor: float = 1.0) -> None:
    spacing.take(at_us, "2-0", {"rpm": 1, "tpm": 0}, {name: price * factor for name, price in PRICES_US.items()})


def test_a_slot_may_come_when_the_last_is_paid(spacing: Spacing) -> None:
    take(spacing, 30_000)
    take(spacing, 40_000)


@pytest.mark.parametrize(("at_us", "factor"), [(29_999, 1.0), (30_000, 2.0), (30_000, 0.9)])
def test_a_slot_that_is_too_near_or_too_cheap_is_found(spacing: Spacing, at_us: int, factor: float) -> None:
    with pytest.raises(AssertionError):
        take(spacing, at_us, factor)


def test_only_the_last_slot_is_corrected(spacing: Spacing) -> None:
    spacing.correct(0, "0-1", {"rpm": 1, "tpm": 0})
    with pytest.raises(AssertionError):
        take(spacing, 10_000)
    spacing.correct(0, "1-0", {"rpm": 1, "tpm": 0})
    take(spacing, 10_000)

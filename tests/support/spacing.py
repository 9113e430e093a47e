"""I4 over the slots of one upstream: in every window and dimension the paced rate × its length, and one request's."""

import math
from collections.abc import Mapping

from msgspec import Struct

Amounts = Mapping[str, int]  # requests and tokens, by dimension


class _Slot(Struct):
    at_us: int
    fence: str
    amounts: Amounts


class Spacing:
    """Follows the slots in the order in which they are handed out.

    A slot is never nearer to the one before it than the price of what that one took, in each dimension: of what was
    reserved, or of what it was corrected to before the next was handed out, at the price at which the next is sold,
    which is never below the policy's. Added up, what the slots of a window take but for the last lasts no longer than
    the window. An exchanged slot took what its request reserves, as did the one that was missed; a correction of a call
    that has exchanged its slot, or behind which slots were handed out, moves none of them nearer together.
    """

    def __init__(self, prices_us: Mapping[str, float]) -> None:
        self._least_us = prices_us
        self._last: _Slot | None = None

    def take(self, at_us: int, fence: str, amounts: Amounts, prices_us: Mapping[str, float]) -> None:
        for dimension, least_us in self._least_us.items():
            price_us = prices_us[dimension]
            assert price_us >= least_us, f"a unit of {dimension} cost {price_us}, and by the policy {least_us}"
            if self._last:
                distance_us = at_us - self._last.at_us
                due_us = math.ceil(self._last.amounts[dimension] * price_us)
                assert distance_us >= due_us, f"{dimension}: {distance_us} us after a slot that took {due_us}"
        self._last = _Slot(at_us, fence, amounts)

    def correct(self, at_us: int, fence: str, amounts: Amounts) -> None:
        """What the call that was leased with this slot has really taken; its request counts once in any case."""
        if self._last and (self._last.at_us, self._last.fence) == (at_us, fence):
            self._last.amounts = {**amounts, "rpm": 1}

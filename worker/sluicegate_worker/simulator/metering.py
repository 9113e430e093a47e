"""All limits of a provider together: what they say to a call, and what it is charged when it arrives and ends.

Pure, and without a clock: whoever asks brings the time, in microseconds of Unix time. A time before one that was
brought already counts as that one. The server brings the real time, tests a virtual one:

    meter = Meter(Behaviour(rpm=600, tpm=90_000, style="second", profile="bedrock"), now_us=0)
    verdict = meter.arrive(0, tokens_in=500, max_out=1_000, tokens_out=200)
    if verdict.receipt:
        meter.finish(4_000_000, verdict.receipt, tokens_out=200)
"""

from collections.abc import Mapping
from typing import NamedTuple

from sluicegate_worker.simulator.accounting import ACCOUNTING, Usage, count
from sluicegate_worker.simulator.behaviour import Behaviour, Dimension, Profile
from sluicegate_worker.simulator.limits import DAYS, Limit, Standing, make_limit
from sluicegate_worker.simulator.sharer import Sharer

REQUESTS: tuple[Dimension, ...] = ("rpm", "rpd")


class Receipt(NamedTuple):
    """What `finish` has to know about a call that was charged."""

    at_us: int
    profile: Profile  # it may change while the call is in flight
    usage: Usage  # as foreseen at arrival


class Verdict(NamedTuple):
    """What the limits say about one call, and what they tell the caller about themselves."""

    at_us: int  # when the call counts as arrived
    wait_us: int  # until it would be admitted if nobody else called; 0 when it is now
    refused_by: Dimension | None  # the limit that lets it wait longest
    requested: int  # of that limit
    standings: Mapping[Dimension, Standing]  # right after this call
    receipt: Receipt | None  # for `finish`, once; None where nothing was charged

    @property
    def admitted(self) -> bool:
        return self.refused_by is None


class Meter:
    """Every configured limit has to admit a call, or none is charged. No limits admit everything."""

    def __init__(self, behaviour: Behaviour, now_us: int) -> None:
        self._behaviour = behaviour
        self._now_us = now_us
        self._limits: dict[Dimension, Limit] = {
            name: make_limit(name, behaviour.style, value, now_us) for name, value in behaviour.limits().items()
        }
        self._sharer = Sharer(behaviour, now_us)

    def arrive(
        self, now_us: int, tokens_in: int, max_out: int | None, tokens_out: int, *, charge: bool = True
    ) -> Verdict:
        """Admits a call or refuses it.

        `max_out` is the most that was asked for, all choices together, or None; `tokens_out` is what the answer will
        have. Without `charge`, a call that is admitted uses nothing up and has nothing to finish.
        """
        now_us = self._advance(now_us)
        usage = Usage(tokens_in, tokens_out if max_out is None else max_out, tokens_out)
        profile = self._behaviour.profile
        amounts = {
            name: 1 if name in REQUESTS else count(ACCOUNTING[profile][name].at_arrival, usage) for name in self._limits
        }
        wait_us, refused_by = self._decide(now_us, amounts, charge=charge)
        charged = charge and refused_by is None
        return Verdict(
            at_us=now_us,
            wait_us=wait_us,
            refused_by=refused_by,
            requested=0 if refused_by is None else amounts[refused_by],
            standings=self._standings(now_us),
            receipt=Receipt(now_us, profile, usage) if charged else None,
        )

    def finish(self, now_us: int, receipt: Receipt, tokens_out: int) -> None:
        """Settles a call that ended: `tokens_out` is what the answer really had, 0 for one that never came."""
        owed = _settle(receipt, tokens_out)
        if not owed:  # then the time of the limits, too, stays where it is
            return
        now_us = self._advance(now_us)
        for name, limit in self._limits.items():
            if owed.get(name, 0) > 0:
                limit.take(now_us, owed[name])
            elif owed.get(name, 0) < 0:
                limit.give_back(now_us, -owed[name], receipt.at_us)

    def count_refusal(self, now_us: int) -> None:
        """For a 429 with another reason than these limits; those of `arrive` are counted already."""
        self._count_refusal(self._advance(now_us))

    def look(self, now_us: int) -> Mapping[Dimension, Standing]:
        """How the limits stand; nothing is charged."""
        return self._standings(self._advance(now_us))

    def change(self, behaviour: Behaviour, now_us: int) -> None:
        """Goes on by another behaviour; what was used stays used, but of a minute only where the style is the same."""
        now_us = self._advance(now_us)
        before, self._behaviour = self._behaviour, behaviour
        kept, self._limits = self._limits, {}
        for name, value in behaviour.limits().items():
            limit = kept.get(name)
            if limit is None or (behaviour.style != before.style and name not in DAYS):
                limit = make_limit(name, behaviour.style, value, now_us)
            limit.change_limit(value, now_us)
            self._limits[name] = limit
        if (behaviour.sharer, behaviour.limits()) != (before.sharer, before.limits()):
            self._sharer = Sharer(behaviour, now_us)

    # Who shares the limits called before whoever calls now.
    def _advance(self, now_us: int) -> int:
        self._now_us = max(self._now_us, now_us)
        for at_us, amounts in self._sharer.calls_until(self._now_us):
            self._decide(at_us, amounts, charge=True)
        return self._now_us

    # A limit that charges nothing at arrival, as for output that is yet to come, must still have room.
    def _decide(self, now_us: int, amounts: Mapping[Dimension, int], *, charge: bool) -> tuple[int, Dimension | None]:
        waits_us = {name: limit.wait_us(now_us, max(1, amounts[name])) for name, limit in self._limits.items()}
        longest = max(waits_us, key=waits_us.__getitem__, default=None)
        if longest is not None and waits_us[longest] > 0:
            self._count_refusal(now_us)
            return waits_us[longest], longest
        if charge:
            for name, limit in self._limits.items():
                limit.take(now_us, amounts[name])
        return 0, None

    def _count_refusal(self, now_us: int) -> None:
        if self._behaviour.refusals_count:
            for name in REQUESTS:
                if name in self._limits:
                    self._limits[name].count_refusal(now_us)

    def _standings(self, now_us: int) -> dict[Dimension, Standing]:
        return {name: limit.standing(now_us) for name, limit in self._limits.items()}


def _settle(receipt: Receipt, tokens_out: int) -> dict[Dimension, int]:
    """What is still to be charged, or where negative, to be given back."""
    usage = receipt.usage._replace(tokens_out=tokens_out)
    owed = {
        name: count(accounting.in_the_end, usage) - count(accounting.at_arrival, receipt.usage)
        for name, accounting in ACCOUNTING[receipt.profile].items()
    }
    return {name: amount for name, amount in owed.items() if amount}

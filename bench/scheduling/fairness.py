"""How evenly agents were served while they waited. Pure arithmetic on steps; service is time of the upstream."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from bench.herd.measures import share_fairly
from bench.scheduling.ledger import Step
from bench.scheduling.loads import SECOND_US, Limits
from sluicegate_worker.demo.measures import index_fairness

WINDOW_US = 60 * SECOND_US
STEP_US = SECOND_US


class Book(NamedTuple):
    """One agent. Places are numbers of steps, since many steps may share a moment."""

    waits: list[tuple[int, int]]  # from the step at which it began to wait until the one after which nothing waited
    places: list[int]  # of its services
    costs: list[int]


class Difference(NamedTuple):
    """The most that one of two agents got more than the other while both waited, and what may not be exceeded."""

    agents: tuple[str, str]
    us: float
    bound_us: float

    @property
    def share(self) -> float:
        return self.us / self.bound_us


def keep_books(steps: Sequence[Step], limits: Limits) -> dict[str, Book]:
    books: defaultdict[str, Book] = defaultdict(lambda: Book([], [], []))
    waiting: Counter[str] = Counter()
    since: dict[str, int] = {}
    for place, step in enumerate(steps):
        book = books[step.agent]
        if step.arrives:
            if not waiting[step.agent]:
                since[step.agent] = place
            waiting[step.agent] += 1
            continue
        book.places.append(place)
        book.costs.append(limits.cost_us(step.tokens))
        waiting[step.agent] -= 1
        if not waiting[step.agent]:
            book.waits.append((since.pop(step.agent), place))
    for agent, place in since.items():
        books[agent].waits.append((place, len(steps)))
    return dict(books)


def measure_windows(steps: Sequence[Step], books: Mapping[str, Book], until_us: int) -> list[float]:
    """Jain's index over the agents that waited through a window, for each window of a minute, second by second.

    A window in which no two agents waited throughout says nothing, and has none.
    """
    times = [step.at_us for step in steps]
    found = []
    for from_us in range(0, until_us - WINDOW_US + 1, STEP_US):
        first, last = bisect_left(times, from_us), bisect_left(times, from_us + WINDOW_US)
        shares = [_service(book, first, last) for book in books.values() if _covers(book.waits, first, last)]
        if len(shares) >= 2:
            found.append(index_fairness(shares))
    return found


def measure_shares(books: Mapping[str, Book], arrivals: Iterable[tuple[str, int]]) -> float | None:
    """Jain's index of service by what max-min would have given of the same total; `arrivals`: agents and costs."""
    demands: Counter[str] = Counter()
    for agent, cost_us in arrivals:
        demands[agent] += cost_us
    served = {agent: sum(books[agent].costs) if agent in books else 0 for agent in demands}
    total = sum(served.values())
    fair = share_fairly(total, demands)
    return index_fairness([served[agent] / share for agent, share in fair.items()]) if total else None


def find_difference(books: Mapping[str, Book], largest_us: Mapping[str, int]) -> Difference | None:
    """The one that comes closest to its bound, or exceeds it by the largest factor, of all pairs and intervals.

    Start-time fair queueing keeps within the largest request of each. `largest_us`: costs of these.
    """
    found = [
        Difference((one, other), _differ(books[one], books[other]), largest_us[one] + largest_us[other])
        for one, other in combinations(books, 2)
    ]
    return max(found, key=lambda difference: difference.share, default=None)


def _service(book: Book, first: int, last: int) -> int:
    return sum(book.costs[bisect_left(book.places, first) : bisect_left(book.places, last)])


def _covers(waits: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    at = bisect_right(waits, first, key=lambda wait: wait[0]) - 1
    return at >= 0 and waits[at][1] >= last - 1


def _differ(one: Book, other: Book) -> float:
    """Largest rise or fall of the difference of their services, over all intervals in which both wait."""
    largest, mine, theirs = 0.0, 0, 0
    while mine < len(one.waits) and theirs < len(other.waits):
        first = max(one.waits[mine][0], other.waits[theirs][0])
        last = min(one.waits[mine][1], other.waits[theirs][1])
        if first < last:
            largest = max(largest, _swing(one, other, first, last))
        if one.waits[mine][1] <= other.waits[theirs][1]:
            mine += 1
        else:
            theirs += 1
    return largest


def _swing(one: Book, other: Book, first: int, last: int) -> float:
    """How far the difference swings: the largest over all intervals that begin and end within these steps."""
    changes = [
        (book.places[at], sign * book.costs[at])
        for book, sign in ((one, 1), (other, -1))
        for at in range(bisect_left(book.places, first), bisect_right(book.places, last))
    ]
    least = most = level = 0.0
    for _, change in sorted(changes):
        level += change
        least, most = min(least, level), max(most, level)
    return most - least

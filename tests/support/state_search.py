"""Breadth-first search of every state that a model can get into, and of those from which it cannot come to an end."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

State = tuple[Hashable, ...]
Moves = Callable[[State], Iterable[tuple[str, bool, State]]]


class Found(NamedTuple):
    """`trouble` is empty where there is none; `path` is one of the shortest that lead to it."""

    states: int
    trouble: str
    path: list[str]


def search(
    start: State,
    moves: Moves,
    find_trouble: Callable[[State, str, State], str],
    is_rest: Callable[[State], bool],
    rename: Callable[[State], State] = lambda state: state,
) -> Found:
    """`find_trouble(before, move, after)` judges each step; every state must lead to rest by moves that help.
    States that `rename` makes equal are one."""
    numbers = {rename(start): 0}
    states, came_by = [start], [(-1, "")]
    back: list[list[int]] = [[]]
    waiting = deque([0])
    while waiting:
        number = waiting.popleft()
        for name, helps, after in moves(states[number]):
            trouble = find_trouble(states[number], name, after)
            if trouble:
                return Found(len(states), trouble, [*_walk(came_by, number), name])
            key = rename(after)
            known = numbers.get(key)
            if known is None:
                known = numbers[key] = len(states)
                states.append(after)
                came_by.append((number, name))
                back.append([])
                waiting.append(known)
            if helps:
                back[known].append(number)
    stuck = _find_stuck(states, back, is_rest)
    if stuck is not None:
        return Found(
            len(states), "I1: from here nothing leads to an outcome of each and an empty store", _walk(came_by, stuck)
        )
    return Found(len(states), "", [])


def _find_stuck(states: list[State], back: list[list[int]], is_rest: Callable[[State], bool]) -> int | None:
    ends = deque(number for number, state in enumerate(states) if is_rest(state))
    reaching = set(ends)
    while ends:
        for number in back[ends.popleft()]:
            if number not in reaching:
                reaching.add(number)
                ends.append(number)
    return next((number for number in range(len(states)) if number not in reaching), None)


def _walk(came_by: list[tuple[int, str]], number: int) -> list[str]:
    path: list[str] = []
    while number > 0:
        number, name = came_by[number]
        path.append(name)
    return path[::-1]

"""Mutants: a file of tests/mutants says how to take one safeguard out of the source, and which tests must notice."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, ValidationError, convert

from support.source_tree import ROOT

FOLDER = Path("tests/mutants")


class Replacement(Struct, frozen=True, forbid_unknown_fields=True):
    """`old` occurs once in the file; it becomes `new`."""

    old: str
    new: str


class Mutant(Struct, frozen=True, forbid_unknown_fields=True):
    """`safeguard` says in a sentence what it protects from; each of `tests` must fail without it."""

    safeguard: str
    file: str
    replace: tuple[Replacement, ...]
    tests: tuple[str, ...]


def read_mutant(text: str) -> Mutant:
    """Raises ValueError in a sentence."""
    try:
        mutant = convert(tomllib.loads(text), Mutant)
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ValueError(f"it is no mutant: {error}") from error
    if not (mutant.safeguard.endswith(".") and mutant.replace and mutant.tests):
        raise ValueError("it needs a safeguard in one sentence, something to replace and a test that notices")
    return mutant


def read_mutants() -> Mapping[str, Mutant]:
    """By the name of the file, in the order of the names."""
    return {path.stem: read_mutant(path.read_text("utf-8")) for path in sorted((ROOT / FOLDER).glob("*.toml"))}


def mutate(mutant: Mutant, source: str) -> str:
    """The source without the safeguard. Raises ValueError where it is not the source that the mutant was made for."""
    for replacement in mutant.replace:
        count = source.count(replacement.old)
        if count != 1 or replacement.old == replacement.new:
            found = f"is there {count} times" if count != 1 else "stays as it is"
            raise ValueError(f"in {mutant.file} this {found}: {replacement.old}")
        source = source.replace(replacement.old, replacement.new)
    return source

"""What the documents of k8s/ tell people to type is what there is."""

import re

import click
import pytest

from support.command_parsing import parse
from support.manifests import K8S
from support.source_tree import ROOT

_QUOTED = re.compile(r"`(sluicegate(?:\s[^`]*)?)`|(?:^|-- )(sluicegate .*)$", re.MULTILINE)
_PLAIN = re.compile(r"^[A-Za-z0-9=._/@ -]+$")


def _commands() -> list[list[str]]:
    found = []
    for file in (*K8S.glob("*.md"), ROOT / "README.md"):
        for quoted, line in _QUOTED.findall(file.read_text()):
            words = " ".join((quoted or line).split("#")[0].split("   ")[0].split())
            if _PLAIN.match(words) and "…" not in words:
                found.append(words.split()[1:])
    return [words for words in found if words]


def test_every_command_is_one() -> None:
    assert len(_commands()) > 30
    wrong = []
    for words in _commands():
        try:
            parse(words)
        except click.MissingParameter:  # it is named in a sentence, without what it needs
            continue
        except click.UsageError as error:
            wrong.append((" ".join(words), error.format_message()))
    assert wrong == []


def test_a_wrong_command_is_found() -> None:
    with pytest.raises(click.UsageError):
        parse(["dead", "replay", "--reasn", "attempts"])


@pytest.mark.parametrize("file", sorted(K8S.glob("*.md")), ids=lambda file: file.name)
def test_every_resource_that_is_named_is_made(file: object) -> None:
    text = (K8S / str(getattr(file, "name", ""))).read_text()
    for name in re.findall(r"(?:deploy/|scaledobject |deployment |job )([a-z-]+)", text):
        assert name in {"dispatcher", "agent", "scaler", "pool-apply", "toolbox"}, name

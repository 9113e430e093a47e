"""The runbook: a paragraph for each alert, each with what to look at, what to do, and when it is harmless."""

import re

from support.alerting import read_alerts
from support.manifests import K8S
from support.source_tree import ROOT

RUNBOOK = K8S / "runbook.md"
_STEPS = re.compile(r"^(.+?)\n\n- \*\*Look:\*\* (.+?)\n- \*\*Do:\*\* (.+?)\n- \*\*Harmless:\*\* (.+?)\s*$", re.DOTALL)
_COMMAND = re.compile(r"`sluicegate\s(?:status|doctor|pool|pending|dead)\b[^`]*`")


def read_paragraphs() -> dict[str, str]:
    found = re.findall(r"^### (\w+)\n\n(.+?)(?=\n### |\n## |\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
    assert len(dict(found)) == len(found)
    return dict(found)


def unfinished(paragraphs: dict[str, str]) -> list[str]:
    """Those that lack one of the four parts, or name no command of ours to look with."""
    wrong = []
    for name, text in paragraphs.items():
        steps = _STEPS.match(text)
        if not steps or not _COMMAND.search(steps[2]) or min(len(part.split()) for part in steps.groups()) < 2:
            wrong.append(name)
    return wrong


def test_every_alert_has_its_paragraph_and_no_other() -> None:
    """In the same order: the first that fires is the one to begin with."""
    assert list(read_paragraphs()) == list(read_alerts())


def test_every_paragraph_has_all_its_parts() -> None:
    assert unfinished(read_paragraphs()) == []


def test_what_is_missing_is_found() -> None:
    whole = "It is bad.\n\n- **Look:** `sluicegate status`, now.\n- **Do:** mend it.\n- **Harmless:** at night.\n"
    wrong = {
        "no end": whole.partition("- **Harmless")[0],
        "no command": whole.replace("`sluicegate status`", "the dashboard"),
        "no meaning": whole.partition("\n\n")[2],
    }
    assert unfinished({"right": whole, **wrong}) == list(wrong)


def test_every_alert_leads_to_its_paragraph() -> None:
    for name, alert in read_alerts().items():
        file, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert (ROOT / file, anchor) == (RUNBOOK, name.lower())
        assert alert["annotations"]["summary"]

"""No text names a machine of ours or an address to download from."""

import re
from pathlib import Path

from support.source_tree import find_violations

# Put together from pieces, so that this file does not find itself.
MACHINE_PATHS = "|".join("/" + folder for folder in (r"work/", r"root/", r"home/\w", r"Users/\w", r"tmp/\w"))
DOWNLOADS = "|".join(("index-" + "url", "find-" + "links", r"pypi\." + "org", "files.python" + "hosted"))
FORBIDDEN = re.compile(rf"(?<![\w.~-])(?:{MACHINE_PATHS})|{DOWNLOADS}")


def find_places(_: Path, text: str) -> list[str]:
    return [
        f"line {number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in FORBIDDEN.finditer(line)
    ]


def test_no_text_names_a_machine_or_an_index() -> None:
    assert find_violations(find_places, suffixes=("",)) == []


def test_a_machine_path_is_found() -> None:
    assert find_places(Path("a.md"), "see\n" + "/ho" + "me/ann/x") == ["line 2: /ho" + "me/a"]
    assert find_places(Path("a.md"), "see " + "/tm" + "p/x")
    assert find_places(Path("a.md"), "worker/README.md, network/wo" + "rk/, ~/wo" + "rk/x") == []


def test_an_index_is_found() -> None:
    assert find_places(Path("requirements.lock"), "--extra-index" + "-url somewhere")
    assert find_places(Path("requirements.lock"), "https://py" + "pi.org/simple")

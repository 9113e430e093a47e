"""What a run of tests says about a safeguard: the words of a real pytest, judged."""

from pathlib import Path

import pytest

from support.mutant_runs import Place, Run, Verdict, judge

TEST = "test_planted.py::test_it"
OTHER = "test_planted.py::test_it_too"


async def run(directory: Path, body: str) -> Run:
    """`body` is that of the test, which has two cases; another always passes."""
    place = Place(directory)
    place.tree.mkdir()
    (place.tree / "test_planted.py").write_text(
        f"import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_it(n):\n    {body}\ndef test_it_too(): pass\n"
    )
    (place.tree / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--full', action='store_true')\n"
    )
    return await place.run([TEST, OTHER])


async def test_a_failure_of_one_case_is_enough(tmp_path: Path) -> None:
    ended = await run(tmp_path, "assert n == 1")
    assert judge([TEST], ended) == Verdict(True, "")
    assert judge([TEST, OTHER], ended) == Verdict(False, f"SURVIVES: green without it: {OTHER}")


async def test_what_stays_green_has_not_noticed(tmp_path: Path) -> None:
    assert judge([TEST], await run(tmp_path, "assert n")) == Verdict(False, f"SURVIVES: green without it: {TEST}")


@pytest.mark.parametrize("body", ["gone()", "import gone"])
async def test_a_broken_source_is_no_safeguard_taken_out(tmp_path: Path, body: str) -> None:
    verdict = judge([TEST], await run(tmp_path, body))
    assert not verdict.found_out
    assert verdict.words.startswith("ERROR: it breaks the source")


async def test_an_end_that_is_not_the_tests_own_is_no_failure(tmp_path: Path) -> None:
    verdict = judge([TEST], await run(tmp_path, "pytest.exit('enough')"))
    assert not verdict.found_out
    assert verdict.words.startswith("ERROR: pytest ended with code 2")


def test_a_time_out_is_a_failure_with_a_name() -> None:
    assert judge([TEST], Run(None, "")) == Verdict(True, "timed out")
    said = f"Failed: Timeout (>30.0s) from pytest-timeout.\nFAILED {TEST}[1] - Failed: Timeout"
    assert judge([TEST], Run(1, said)) == Verdict(True, "timed out")


async def test_a_place_that_would_test_the_installed_packages_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with pytest.raises(RuntimeError, match="would import"):
        await place.check_imports()
    for folder in ("producer/sluicegate", "worker/sluicegate_worker"):
        package = place.tree / folder
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    await place.check_imports()

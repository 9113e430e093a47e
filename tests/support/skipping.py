"""A pytest plugin: skipping a test that this machine could run is a failure."""

import shutil
import sys
from collections.abc import Callable, Generator

import pytest

from sluicegate_worker.demo import embedded
from support import image, namespaces, promtool
from support.environments import NO_NETWORK, is_without_network

# Reason of the skip → whether this machine really cannot run the test.
EXCUSES: dict[str, Callable[[], bool]] = {
    "--server names one": lambda: embedded.find_binary.__module__ != embedded.__name__,
    "needs Linux": lambda: sys.platform != "linux",
    NO_NETWORK: is_without_network,
    namespaces.UNAVAILABLE: namespaces.cannot_unshare,
    "needs openssl": lambda: shutil.which("openssl") is None,
    promtool.UNAVAILABLE: promtool.cannot_be_had,
    image.UNAVAILABLE: image.cannot_be_built,
    "needs Node.js with npm": lambda: shutil.which("npm") is None,
}


def is_excused(reason: str) -> bool:
    return EXCUSES.get(reason.removeprefix("Skipped: "), lambda: False)()


def _fail_unless_excused(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not is_excused(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped, though nothing in support/skipping.py excuses it: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_unless_excused(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_unless_excused(report)
    return report

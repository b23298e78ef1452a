"""What tests share: one Prefect harness per process, small tables, the reference table."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

# Before anything imports Prefect or TensorFlow: the streams carry only our own words.
from deployments.ephemeral import quiet_environment

os.environ |= quiet_environment(os.environ)

from expectations.contract import Contract, load_contract
from tasks.sample import draw_month

MONTH = pd.Period("2026-10", "M")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One Prefect server for all tests that run a flow."""
    from prefect.testing.utilities import prefect_test_harness

    from deployments.ephemeral import without_heartbeats

    # for the end of its heartbeat a flow waits up to a second
    with prefect_test_harness(server_startup_timeout=120), without_heartbeats():
        yield


@pytest.fixture(scope="session")
def ccdata() -> Contract:
    return load_contract("ccdata")


@pytest.fixture(scope="session")
def reference_csv() -> Path:
    """The reference table. A machine without it skips; under CI a skip is a failure."""
    path = os.environ.get("CCDATA_CSV")
    if not path:
        pytest.skip("CCDATA_CSV is not set: the reference table is not here")
    return Path(path)


@pytest.fixture(scope="session")
def month_of_600() -> pd.DataFrame:
    """A small synthetic month; tests that change it must copy it."""
    return draw_month(600, MONTH, seed=0).table


@pytest.fixture
def csv_of(tmp_path: Path) -> Callable[..., Path]:
    """Write a table as CSV; returns its path."""

    def write(table: pd.DataFrame, name: str = "customers.csv", **settings: Any) -> Path:
        path = tmp_path / name
        table.to_csv(path, index=False, **settings)
        return path

    return write


@pytest.fixture
def resegment(prefect_server: None, tmp_path: Path) -> Callable[..., Any]:
    """The command, in this process: `resegment("run", "--source", path)` -> typer's result."""
    from typer.testing import CliRunner

    from deployments.cli import app

    def call(*words: object) -> Any:
        return CliRunner().invoke(
            app, [str(word) for word in words], env={"RESEGMENT_RUNS": str(tmp_path / "runs")}
        )

    return call


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, so that a slip shows early."""
    items.sort(key=lambda item: "resegment" in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Any:
    """Under CI a skipped test is a failure: nothing that was promised may be left out."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {report.longrepr}"
    return report

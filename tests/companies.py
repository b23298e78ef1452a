"""A company's first months as fixtures, each run once and copied.

For `pytest_plugins = ["tests.companies"]`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.ephemeral import without_heartbeats
from tasks import keeping
from tests.company import Company, leave_blank


@contextmanager
def quick() -> Iterator[None]:
    """Pictures are left blank, and no heartbeats: for their end a flow waits up to a second."""
    with pytest.MonkeyPatch.context() as patch, without_heartbeats():
        patch.setattr(keeping, "WRITERS", {**keeping.WRITERS, ".svg": leave_blank})
        yield


@pytest.fixture(scope="module")
def quick_runs(prefect_server: None) -> Iterator[None]:
    """The same for all runs of a module."""
    with quick():
        yield


@pytest.fixture(scope="session")
def after_march(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company with its first month."""
    company = Company.founded(tmp_path_factory.mktemp("march"))
    with quick():
        company.month("2026-03")
    return company


@pytest.fixture(scope="session")
def after_april(after_march: Company, tmp_path_factory: pytest.TempPathFactory) -> Company:
    """The same company a month later, as a month usually is."""
    company = after_march.copied_to(tmp_path_factory.mktemp("april"))
    with quick():
        company.month("2026-04")
    return company


@pytest.fixture
def company(after_april: Company, tmp_path: Path) -> Company:
    """A copy of it."""
    return after_april.copied_to(tmp_path)

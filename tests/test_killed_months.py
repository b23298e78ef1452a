"""A second month that is cut short: killed, or its store is gone; nothing is lost."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from tasks import delivering, published
from tasks.published import loaded_runs
from tasks.run import STAGES
from tasks.store import open_store
from tests.company import NEVER, Company, customers
from tests.databases import postgresql_at, server_folder
from tests.killed_months import IN_PUBLICATION, KILLS, RESTED

pytest_plugins = ["tests.companies"]
pytestmark = pytest.mark.usefixtures("quick_runs")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def killed(after_march: Company, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of each company whose April was killed, by the moment of it."""
    from prefect.settings import PREFECT_API_URL

    folder = tmp_path_factory.mktemp("killed")
    customers("2026-04").to_parquet(after_march.folder / "2026-04.parquet")
    script = Path(__file__).with_name("killed_months.py")
    done = subprocess.run(
        [sys.executable, script, after_march.folder, folder],
        env={**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value(), "PYTHONPATH": "."},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.split("\n")[:-1] == [f"{kill} 9" for kill in KILLS], done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_month_leaves_the_old_one_or_the_new_one_whole_and_is_resumed(
    kill: str, killed: Path, tmp_path: Path
) -> None:
    company = Company(killed / kill).copied_to(tmp_path)
    (march,), (april,) = (
        [p.name for p in company.runs.glob(f"{m}-*")] for m in ("2026-03", "2026-04")
    )
    is_done = kill == "published"
    assert company.current == (april if is_done else march)
    assert set(company.in_view()["month"]) == {"2026-04" if is_done else "2026-03"}
    assert len(company.in_view()) == 400
    assert list(company.run_of(april).manifest["stages"]) == list(kept_after(kill))
    with company.store.database.reading() as connection:
        loaded = april in loaded_runs(connection)
    assert loaded == (kill in IN_PUBLICATION)

    said = company.says("run", "--resume", april)

    assert (said["run_id"], said["status"]) == (april, "published")
    assert company.statuses(april) == {"published"}
    assert company.current == april
    assert set(company.in_view()["month"]) == {"2026-04"}
    assert len(company.in_view()) == 400
    assert [one.run_id for one in published.publications(company.store)] == [march, april]


def test_a_killed_month_that_another_run_has_published_since_is_not_published_over_it(
    killed: Path, tmp_path: Path
) -> None:
    company = Company(killed / "publication").copied_to(tmp_path)
    (late,) = (path.name for path in company.runs.glob("2026-04-*"))
    done = company.month("2026-04", *NEVER)
    said = company.says("run", "--resume", late, code=1)
    assert f"{done['run_id']} was published in the meantime" in said["error"]
    assert "Run 2026-04 again" in said["error"]
    assert company.run_of(late).manifest["status"] == "failed"
    assert company.current == done["run_id"]


def kept_after(kill: str) -> tuple[str, ...]:
    """The stages that were kept before a kill."""
    if kill == RESTED:
        return ()
    return STAGES if kill in IN_PUBLICATION else STAGES[: STAGES.index(kill) + 1]


# ----------------------------------------------------------------------- a store that is gone
class Breakable(NamedTuple):
    """A store that can be taken away and given back."""

    url: str
    stop: Callable[[], None]
    start: Callable[[], object]


@pytest.fixture(params=["sqlite", "postgresql"])
def breakable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Breakable]:
    """A store that is down: a server that is stopped, or a file in the place of its folder."""
    if request.param == "sqlite":
        folder, aside = tmp_path / "stores", tmp_path / "aside"

        def take_away() -> None:
            folder.rename(aside)
            folder.touch()

        def give_back() -> None:
            folder.unlink()
            aside.rename(folder)

        folder.mkdir()
        yield Breakable(f"sqlite:///{folder / 'segments.db'}", take_away, give_back)
        return
    with server_folder() as folder, ExitStack() as running:

        def start() -> str:
            return running.enter_context(postgresql_at(folder))

        url = sa.make_url(start())  # with an empty password, which no store's URL may hold
        bare = sa.URL.create("postgresql", url.username, database=url.database, query=url.query)
        yield Breakable(bare.render_as_string(), running.close, start)


def test_a_store_that_is_down_loses_nothing_at_the_start_or_at_the_end(
    breakable: Breakable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company, store = Company.founded(tmp_path), ("--store", breakable.url)
    breakable.stop()
    at_the_start = company.month("2026-03", *store, code=3)
    assert str(tmp_path) in at_the_start["error"] or "cannot be reached" in at_the_start["error"]
    (march,) = (path.name for path in company.runs.iterdir())
    assert company.run_of(march).manifest["status"] == "failed"
    breakable.start()
    assert company.says("run", "--resume", march, *store)["status"] == "published"

    def stop_then_give(*inputs: Any) -> Any:
        breakable.stop()
        return publication_of(*inputs)

    publication_of = delivering.publication_of
    monkeypatch.setattr(delivering, "publication_of", stop_then_give)
    at_the_end = company.month("2026-04", *NEVER, *store, code=3)
    assert str(tmp_path) in at_the_end["error"] or "Nothing is lost" in at_the_end["error"]
    (april,) = (path.name for path in company.runs.glob("2026-04-*"))
    assert company.run_of(april).manifest["status"] == "failed"
    breakable.start()
    monkeypatch.undo()
    there = open_store(breakable.url)
    assert published.current(there) == march
    kept = (company.run_of(april).folder / "publication.parquet").stat().st_mtime_ns
    assert company.says("run", "--resume", april, *store)["status"] == "published"
    assert (company.run_of(april).folder / "publication.parquet").stat().st_mtime_ns == kept
    assert published.current(there) == april

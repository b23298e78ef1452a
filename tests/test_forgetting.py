"""A forgotten customer is in no file, decoded or not; counts add up, and the months go on."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from expectations.errors import OutsideError
from tasks import forgetting, keeping
from tasks.forgetting import erase_from_run
from tasks.published import assignments_of, erased, migration_of, publications, segments_of
from tasks.publishing import publish
from tasks.run import STAGES, Run
from tasks.runs import find_run
from tasks.sample import draw_month
from tasks.store import Store, open_store
from tasks.without import without
from tests.publications import publication_of
from tests.test_flow import PINNED
from tests.test_resume import spy_on_steps

pytest_plugins = ["tests.engines"]
pytestmark = pytest.mark.usefixtures("prefect_server")
MONTHS = ("2026-07", "2026-08", "2026-09")


class World:
    """A runs folder, the sources of its months, and who is to be forgotten."""

    def __init__(self, runs: Path, sources: Path, gone: list[str]) -> None:
        self.runs, self.sources, self.gone = runs, sources, gone

    def __call__(self, *words: object) -> Any:
        """The command in this process."""
        said = [*map(str, words), "--runs", str(self.runs), "--json"]
        return CliRunner().invoke(_app(), said)

    def month(self, month: str, *words: str) -> dict[str, Any]:
        source = str(self.sources / "{month}.csv")
        asked_for = ("--source", source, "--month", month, *PINNED, *words)
        return json.loads(self("run", *asked_for).stdout)

    def run_of(self, month: str) -> Run:
        (folder,) = self.runs.glob(f"{month}-*")
        return find_run(self.runs, folder.name)

    @property
    def store(self) -> Store:
        return open_store(str(self.runs / "segments.db"))

    def copied_to(self, folder: Path) -> "World":
        shutil.copytree(self.runs, folder / "runs")
        return World(folder / "runs", self.sources, self.gone)


def _app() -> Any:
    from deployments.cli import app

    return app


def places_of(customer: str, folder: Path) -> set[str]:
    """Files that hold an id: in their bytes, or in a column of theirs once decoded."""
    found = set()
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        texts = [path.read_bytes().decode("latin-1")]
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            texts += [
                " ".join(map(str, table[name])) for name in table.select_dtypes(["str", "object"])
            ]
        if any(customer in text for text in texts):
            found.add(path.relative_to(folder).as_posix())
    return found


@pytest.fixture(scope="module")
def months(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two published months and one that awaits a decision.

    The first to be forgotten is in all of them, the second is set aside in August.
    """
    folder = tmp_path_factory.mktemp("world")
    drawn = {
        month: draw_month(600, pd.Period(month, "M"), 0).table for month in (*MONTHS, "2026-10")
    }
    ids = sorted(set.intersection(*(set(table["CUST_ID"]) for table in drawn.values())))
    gone = [ids[7], ids[300]]
    for month, table in drawn.items():
        texts = table.astype({"BALANCE": object})
        if month == "2026-08":
            texts.loc[texts["CUST_ID"] == gone[1], "BALANCE"] = "unreadable"
        texts.to_csv(folder / f"{month}.csv", index=False)
    world = World(folder / "runs", folder, gone)
    said = [
        world.month(month, "--publish", "ask" if month == MONTHS[-1] else "auto")
        for month in MONTHS
    ]
    assert [one["status"] for one in said] == ["published", "published", "awaiting"]
    return world


@pytest.fixture
def world(months: World, tmp_path: Path) -> World:
    return months.copied_to(tmp_path)


@pytest.fixture(scope="module")
def forgotten(months: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Any]:
    """The same after both were forgotten, and what the command said."""
    world = months.copied_to(tmp_path_factory.mktemp("forgotten"))
    run = world.run_of("2026-07")
    clean = pd.read_parquet(run.path("clean"))
    keeping.keep(run.folder / "refused-scaled.parquet", clean)
    keeping.keep(run.folder / "truth.parquet", clean[["CUST_ID"]].assign(segment=1))
    keeping.keep(run.folder / "errors/clean.txt", f"KeyError: '{world.gone[0]}' has 12 in BALANCE")
    keeping.keep(world.runs / "scored.parquet", clean)
    clean.to_csv(world.runs / "scored.csv", index=False)
    shutil.copy(run.path("raw"), run.folder / ".raw.parquet.unfinished")
    for customer in world.gone:
        assert len(places_of(customer, world.runs)) > 20
    return world, world("forget", *world.gone)


def test_a_forgotten_customer_is_in_no_file_below_the_runs(forgotten: tuple[World, Any]) -> None:
    world, said = forgotten
    assert said.exit_code == 0, said.output
    for customer in world.gone:
        assert places_of(customer, world.runs) == set()
    scored = (world.runs / "scored.csv").read_text().splitlines()
    assert len(scored) == 1 + 600 - 2
    assert len(pd.read_parquet(world.runs / "scored.parquet")) == 600 - 2


def test_the_command_counts_and_names_nobody(forgotten: tuple[World, Any]) -> None:
    world, said = forgotten
    told = json.loads(said.stdout)
    assert not any(customer in said.output for customer in world.gone)
    assert told.pop("says").startswith("2 customers are forgotten: 2 were in the segment store")
    assert told == {
        "customers": 2, "in_stores": 2, "assignments": 4, "in_runs": 2, "runs": 3,
        "files_beside": 2, "elsewhere": [], "untold": [],
    }  # fmt: skip
    assert [world.run_of(month).manifest["erased"] for month in MONTHS] == [2, 2, 2]


def test_every_stage_is_still_whole(forgotten: tuple[World, Any]) -> None:
    world, _ = forgotten
    for month in MONTHS:
        assert all(world.run_of(month).has(stage) for stage in STAGES)


def test_sizes_are_who_is_left_and_who_was_erased(forgotten: tuple[World, Any]) -> None:
    world, _ = forgotten
    for run in (world.run_of(month) for month in MONTHS[:2]):
        assert (
            sizes_of(world, run.id)
            == segments_of(world.store, run.id).set_index("segment_id")["size"].to_dict()
        )


def sizes_of(world: World, run_id: str) -> dict[str, int]:
    """Customers of each segment of a publication, with those who were erased."""
    left = assignments_of(world.store, run_id)
    lost = erased(world.store, run_id).set_index("segment_id")["customers"]
    counts = left.loc[left["status"] != "not_assessed", "segment_id"].value_counts()
    return _added(counts, lost[lost.index.notna()])


def test_a_resumed_run_makes_nothing_again_but_what_is_to_be_published(
    forgotten: tuple[World, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = forgotten[0].copied_to(tmp_path)
    called = spy_on_steps(monkeypatch)
    run = world.run_of("2026-09")
    before = {stage: run.path(stage).read_bytes() for stage in STAGES[:-1]}
    said = world("run", "--resume", run.id)
    assert json.loads(said.stdout)["status"] == "awaiting", said.output
    assert called == ["raw", "publication"]  # the source is read anew: who objects may have changed
    assert before == {stage: run.path(stage).read_bytes() for stage in STAGES[:-1]}
    assert run.manifest["rows"] == {"source": 600, "kept": 598, "quarantined": 0, "objected": 2}


def test_a_decision_publishes_who_is_left_and_the_months_go_on(
    forgotten: tuple[World, Any], tmp_path: Path
) -> None:
    world = forgotten[0].copied_to(tmp_path)
    july, august, september = (world.run_of(month) for month in MONTHS)
    said = world("publish", september.id, "--decision", "champion")
    assert said.exit_code == 0, said.output
    assert sum(sizes_of(world, september.id).values()) == 598
    assert (
        sizes_of(world, september.id)
        == segments_of(world.store, september.id).set_index("segment_id")["size"].to_dict()
    )
    assert before_of(world, september) == sizes_of(world, august.id)

    pruned = json.loads(world("prune", "--keep", "1").stdout)
    assert (pruned["folders"], pruned["publications"]) == ([july.id], [july.id])
    assert list(pruned["stayed"]) == [august.id]

    another = assignments_of(world.store, september.id)["customer_id"][50]
    assert world("forget", another).exit_code == 0
    october = world.month("2026-10")  # the run that fitted its champion is gone
    assert october["status"] == "published"
    assert october["rows"]["objected"] >= 2
    assert sum(world.run_of("2026-10").log("publication")["changes"]["erased"].values()) == 1
    assert before_of(world, world.run_of("2026-10")) == sizes_of(world, september.id)
    fit = world.run_of("2026-10").manifest["base"]["as_fitted"]
    assert fit["survival"] == september.manifest["base"]["as_fitted"]["survival"]
    assert all(places_of(customer, world.runs) == set() for customer in world.gone)


def before_of(world: World, run: Run) -> dict[str, int]:
    """Last month's sizes, as the migration matrix and the erased of its log give them."""
    matrix = migration_of(world.store, run.id)
    matrix = matrix[matrix["was_assessed"].fillna(False).astype(bool)]
    lost = pd.Series(run.log("publication")["changes"]["erased"], dtype="int64")
    counts = matrix.groupby("previous")["customers"].sum()
    return _added(counts, lost.drop("", errors="ignore"))


def _added(counts: pd.Series, lost: pd.Series) -> dict[str, int]:
    total = counts.add(lost, fill_value=0)
    return {str(segment): int(n) for segment, n in total.items()}


def test_found_again_in_a_source_to_be_scored_they_count_as_objecting(
    forgotten: tuple[World, Any], tmp_path: Path
) -> None:
    world, _ = forgotten
    output = tmp_path / "scored.csv"
    said = world("score", "--source", world.sources / "2026-10.csv", "--output", output)
    assert json.loads(said.stdout)["rows"]["objected"] == 2
    assert not any(customer in output.read_text() for customer in world.gone)


def test_a_run_that_is_worked_on_is_named_and_the_same_command_ends_it(world: World) -> None:
    run = world.run_of("2026-08")
    with run.lock():
        said = world("forget", *world.gone)
        assert said.exit_code == 3
        assert run.id in said.output
        assert not any(customer in said.output for customer in world.gone)
    for customer in world.gone:
        assert {place.split("/")[0] for place in places_of(customer, world.runs)} == {run.id}
    assert world("forget", *world.gone).exit_code == 0
    assert not any(places_of(customer, world.runs) for customer in world.gone)


def test_an_id_that_is_nowhere_gets_its_tombstone(world: World) -> None:
    said = world(
        "forget", "C99999", "--file", _written(world.sources / "ids", "C99998\r\n\nC99999\n")
    )
    told = json.loads(said.stdout)
    assert (said.exit_code, told["customers"], told["in_runs"]) == (0, 2, 0)
    assert "from now on they count as objecting" in told["says"]


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_without_anything_to_forget_from_or_anybody_the_call_is_wrong(tmp_path: Path) -> None:
    nowhere = World(tmp_path / "runs", tmp_path, [])
    assert nowhere("forget", "C10001").exit_code == 2
    assert nowhere("forget").exit_code == 2
    assert nowhere("prune", "--keep", "3").exit_code == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("when", ["while files are staged", "before they are put in place"])
def test_a_killed_erasure_is_ended_by_the_next(
    when: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kept, finish = world.run_of("2026-08"), keeping.keep, forgetting._finish
    calls: list[Any] = []

    def killed(function: Callable[..., Any], after: int) -> Callable[..., Any]:
        def call(*words: Any) -> Any:
            calls.append(words)
            if len(calls) > after:
                raise KeyboardInterrupt
            return function(*words)

        return call

    if when == "while files are staged":
        monkeypatch.setattr(keeping, "keep", killed(kept, 3))
    else:
        monkeypatch.setattr(forgetting, "_finish", killed(finish, 1))
    with pytest.raises(KeyboardInterrupt):
        erase_from_run(run, world.gone)
    monkeypatch.undo()
    assert places_of(world.gone[0], run.folder)
    erase_from_run(run, world.gone)
    assert not any(places_of(customer, run.folder) for customer in world.gone)
    assert all(run.has(stage) for stage in STAGES)
    assert run.manifest["erased"] == 2
    assert not (run.folder / forgetting.STAGED).exists()


def test_an_id_among_shifted_cells_is_theirs_and_a_segment_of_that_name_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "quarantine.parquet"
    notes = ['{"BALANCE": "C1"}', '{"BALANCE": "C11"}', None, None]
    ids = [None, None, "C1", "S01"]
    table = pd.DataFrame({"CUST_ID": ids, "_unreadable": notes, "segment": ["C1"] * 4})
    keeping.keep(path, table)
    left = without(path, ["C1"], {"CUST_ID"})
    assert left is not None
    assert left.content.index.tolist() == [1, 3]
    assert without(path, ["C12"], {"CUST_ID"}) is None


def test_lines_of_text_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes('name;CUST_ID\r\n"a\r\nb";C1\r\n"ü; C2";C2\r\nC2;"C3"\r\n'.encode())
    left = without(path, ["C2"], {"CUST_ID"})
    assert left is not None
    assert left.content == b'name;CUST_ID\r\n"a\r\nb";C1\r\nC2;"C3"\r\n'


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(OutsideError, match=r"broken\.parquet"):
        without(path, ["C1"], {"CUST_ID"})


@pytest.fixture
def on_postgresql(postgresql: str, made_database: str) -> Iterator[tuple[str, Path]]:
    """A store, and the server's files, if it is on this machine."""
    from tests.databases import database_on

    with database_on(postgresql, made_database) as url:
        store = open_store(url)
        with store.database.reading() as connection:
            folder = Path(connection.execute(sa.text("SHOW data_directory")).scalar_one())
        if not folder.is_dir():
            pytest.skip("the server is on another machine: its files cannot be read")
        yield url, folder


def test_a_forgotten_customer_is_in_no_table_file_of_a_server(
    on_postgresql: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = on_postgresql
    store = open_store(url)
    publish(store, publication_of(store, "2026-01", n_customers=3000))

    def is_there() -> bool:
        with store.database.alone() as connection:
            connection.exec_driver_sql("CHECKPOINT")
        files = (path for path in (folder / "base").rglob("*") if path.is_file())
        return any(b"C0001003" in path.read_bytes() for path in files)

    assert is_there()
    said = World(tmp_path, tmp_path, [])("forget", "C0001003", "--store", url)
    assert said.exit_code == 0, said.output
    assert not is_there()
    assert len(publications(store)) == 1

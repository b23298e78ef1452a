"""A replay is identical on the same machine, and says where it is not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from tasks import keeping
from tasks.replaying import compare_figures, compare_segments
from tasks.run import Run
from tasks.runs import find_run
from tasks.sample import draw_month
from tests.test_flow import PINNED

pytestmark = pytest.mark.usefixtures("prefect_server")
MONTHS = ("2026-07", "2026-08")


class World:
    """A runs folder and the sources of its months."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"

    def __call__(self, *words: object) -> Any:
        """The command in this process."""
        from deployments.cli import app

        said = [*map(str, words), "--runs", str(self.runs), "--json"]
        return CliRunner().invoke(app, said)

    def run_of(self, month: str) -> Run:
        (folder,) = self.runs.glob(f"{month}-*")
        return find_run(self.runs, folder.name)

    def files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.runs.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def months(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two published months: the first, and one that its model assigned."""
    world = World(tmp_path_factory.mktemp("world"))
    for month in MONTHS:
        source = world.folder / f"{month}.csv"
        draw_month(600, pd.Period(month, "M"), 0).table.to_csv(source, index=False)
        said = world("run", "--source", source, "--month", month, *PINNED)
        assert json.loads(said.stdout)["status"] == "published", said.output
    return world


@pytest.fixture
def world(months: World, tmp_path: Path) -> World:
    """The same, to be changed."""
    shutil.copytree(months.runs, tmp_path / "runs")
    return World(tmp_path)


@pytest.mark.parametrize("month", MONTHS)
def test_a_replay_is_identical_and_leaves_no_trace(month: str, months: World) -> None:
    run, before = months.run_of(month), months.files()
    said = months("replay", run.id)
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["says"] == f"{run.id}: identical: 600 customers from the source."
    assert (told["metrics"], told["moved"], told["unsure"], told["erased"]) == ([], [], 0, 0)
    assert months.files() == before
    assert {path.name for path in months.runs.iterdir()} == {
        "segments.db", *(months.run_of(one).id for one in MONTHS),
    }  # fmt: skip


def test_where_the_source_holds_something_else_the_kept_customers_are_taken(
    world: World, months: World
) -> None:
    run = world.run_of("2026-08")
    manifest = run.manifest
    other = str(months.folder / "2026-07.csv")
    run.note(source={**manifest["source"], "uri": other})
    told = json.loads(world("replay", run.id).stdout)
    assert (told["identical"], told["replayed_from"]) == (True, "the kept customers")


def test_differences_are_listed(world: World) -> None:
    run = world.run_of("2026-07")
    kept = run.read(run.path("segments"))
    first = kept.index[kept["segment"] == "S01"][:3]
    kept.loc[first, "segment"] = "S02"
    kept.loc[kept.index[-1], "confidence"] = 0.123
    sha256 = keeping.keep(run.path("segments"), kept)
    manifest = run.manifest
    entry = manifest["stages"]["segments"]
    metrics = {**entry["log"]["metrics"], "silhouette": 0.5}
    log = {**entry["log"], "metrics": metrics}
    run.note(
        stages={**manifest["stages"], "segments": {**entry, "sha256": sha256, "log": log}},
        versions={**manifest["versions"], "numpy": "1.0"},
    )
    said = world("replay", run.id)
    told = json.loads(said.stdout)
    assert (said.exit_code, told["identical"], told["unsure"]) == (1, False, 1)
    assert told["moved"] == [{"whose": "proposed", "was": "S02", "now": "S01", "customers": 3}]
    assert [(one["name"], one["was"]) for one in told["metrics"]] == [("silhouette", 0.5)]
    assert [(one["name"], one["was"]) for one in told["versions"]] == [("numpy", "1.0")]
    assert "3 customers S02 -> S01 (proposed)\n" in told["says"]
    assert "package numpy: 1.0 -> " in told["says"]


def test_after_an_erasure_the_kept_models_assign_the_rest(world: World) -> None:
    gone = world.run_of("2026-08").read(world.run_of("2026-08").path("segments"))["CUST_ID"][:3]
    assert world("forget", *gone).exit_code == 0
    for month in MONTHS:
        run = world.run_of(month)
        erased = 600 - len(run.read(run.path("segments")))
        assert erased > 0
        said = world("replay", run.id)
        assert said.exit_code == 0, said.output
        assert json.loads(said.stdout)["says"] == (
            f"{run.id}: {erased} erased, the rest identical: {600 - erased} customers from the "
            "kept models."
        )


def test_after_an_erasure_another_assignment_is_told(world: World) -> None:
    run = world.run_of("2026-08")
    assert world("forget", run.read(run.path("segments"))["CUST_ID"][0]).exit_code == 0
    kept = run.read(run.path("segments"))
    kept.loc[0, "challenger_segment"] = "S09"
    sha256, manifest = keeping.keep(run.path("segments"), kept), run.manifest
    entry = {**manifest["stages"]["segments"], "sha256": sha256}
    run.note(stages={**manifest["stages"], "segments": entry})
    said = world("replay", run.id)
    (moved,) = json.loads(said.stdout)["moved"]
    assert (said.exit_code, moved["whose"], moved["was"]) == (1, "challenger", "S09")


def test_what_cannot_be_replayed_says_why(world: World) -> None:
    gone = world("replay", "2026-01-aaaaaaaa")
    assert gone.exit_code == 2
    assert "it was pruned, or it is on another machine" in gone.output
    run = world.run_of("2026-07")
    run.path("clean").write_bytes(b"cut off")
    damaged = world("replay", run.id)
    assert damaged.exit_code == 3
    assert "the kept files of clean are not those" in damaged.output
    run.note(stages={}, status="refused")
    refused = world("replay", run.id)
    assert refused.exit_code == 2
    assert "came to no segments" in refused.output


def segments_stage(**columns: list[Any]) -> pd.DataFrame:
    n = len(columns["id"])
    table = {"id": columns["id"], "typical": [True] * n}
    for whose in ("", "champion_", "challenger_"):
        table |= {f"{whose}segment": ["S01"] * n, f"{whose}runner_up": ["S02"] * n}
        table |= {f"{whose}confidence": [0.5] * n}
    return pd.DataFrame({**table, **columns})


def test_the_order_of_customers_does_not_matter() -> None:
    was = segments_stage(id=["a", "b", "c"], segment=["S01", "S02", None])
    assert compare_segments(was, was[::-1], "id").is_identical
    assert compare_segments(was, was[::-1], "id").customers == 3


def test_customers_in_one_of_both_are_counted() -> None:
    was, now = segments_stage(id=["a", "b", "c"]), segments_stage(id=["c", "d"])
    found = compare_segments(was, now, "id")
    assert (found.missing, found.added, found.is_identical) == (2, 1, False)


@pytest.mark.parametrize(
    "changed",
    [{"confidence": [0.50001, 0.5]}, {"runner_up": ["S03", "S02"]}, {"typical": [False, True]},
     {"champion_confidence": [None, 0.5]}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_the_same_segment_with_another_certainty_is_told(changed: dict[str, list[Any]]) -> None:
    was = segments_stage(id=["a", "b"])
    found = compare_segments(was, was.assign(**changed), "id")
    assert (found.unsure, found.moved, found.is_identical) == (1, [], False)


def test_last_digits_are_no_difference_and_what_is_gone_is() -> None:
    was = {"a": 1.0, "b": None, "c": 2, "d": 0.1}
    now = {"a": 1.0 + 1e-12, "b": None, "c": 2, "e": 0.1}
    assert [one["name"] for one in compare_figures(was, now)] == ["d", "e"]
    assert compare_figures({"a": 1.0}, {"a": 1.0 + 1e-6}) != []

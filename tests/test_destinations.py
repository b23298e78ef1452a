"""Whatever comes in between, a destination's exports follow on each other without a gap."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from expectations.errors import OutsideError
from tasks import destinations
from tasks.amending import rollback
from tasks.audiences import load_audience
from tasks.destinations import Overtaken
from tasks.erasing import drop_publications, forget, untold
from tasks.exporting import Wanted, export
from tasks.objections import remember
from tasks.publishing import publish
from tasks.store import Store, open_store
from tasks.tables import audiences, exports, removals
from tests.handed import (
    FEBRUARY,
    Destination,
    erased_in,
    export_killed,
    hashes_of,
    lose_unfinished,
    month_with,
    pairs_in,
    publish_with,
    rows_in,
    told_in,
    with_months,
)
from tests.killed_exports import STEPS
from tests.publications import AT, month_of

pytest_plugins = ["tests.engines"]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def store(empty_store: Store) -> Store:
    """January and February, in two segments."""
    return with_months(empty_store)


@pytest.fixture
def in_file(empty_file: Path) -> Store:
    """The same in SQLite alone, where the engine makes no difference."""
    return with_months(open_store(str(empty_file)))


@pytest.mark.parametrize("step", ["begun", "loaded", "staged"])
@pytest.mark.parametrize("what", ["forgotten", "objected", "rolled back", "exported", "taken out"])
def test_what_happens_while_lists_are_made_takes_the_export_back(
    in_file: Store, tmp_path: Path, step: str, what: str
) -> None:
    def meanwhile(reached: str) -> None:
        if reached == step:
            doing[what]()

    def take_out() -> None:
        with in_file.database.writing() as connection:
            connection.execute(sa.delete(audiences))
            connection.execute(sa.delete(exports)) if step != "staged" else None

    doing: dict[str, Callable[[], Any]] = {
        "forgotten": lambda: forget(in_file, ["K4"], AT),
        "objected": lambda: remember(in_file, month_of("2026-02"), hashes_of(in_file, "K4"), []),
        "rolled back": lambda: rollback(in_file, "january", {"decided_at": AT}),
        "exported": lambda: export(in_file, "january", Wanted("mail", tmp_path / "other"), AT),
        "taken out": take_out,
    }
    with pytest.raises((Overtaken, OutsideError)):
        export(in_file, "february", Wanted("mail", tmp_path / "out"), AT, meanwhile)
    assert list((tmp_path / "out").rglob("*.csv")) == []
    entered = sa.select(exports.c.run_id)
    with in_file.database.reading() as connection:
        left = list(connection.execute(entered).scalars())
    assert left == (["january"] if what == "exported" else [])
    mail, where = Destination("mail"), tmp_path / ("other" if what == "exported" else "out")
    export(in_file, "january", Wanted("mail", where), AT)
    mail.take(where)
    assert mail.has


def test_an_error_leaves_nothing_behind_and_the_rerun_works(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutsideError, match="a file stands where a folder belongs"):
        export(store, "january", Wanted("mail", tmp_path / "out"), AT)
    assert rows_in(store, exports) == rows_in(store, audiences) == 0
    (tmp_path / "out").unlink()
    assert export(store, "january", Wanted("mail", tmp_path / "out"), AT)["number"] == 1


def test_killed_at_any_step_nothing_is_lost_or_doubled(in_file: Store, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.killed_exports", str(in_file.database.path)]
    ended = subprocess.run(
        [*command, str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    lines = {line["step"]: line for line in json.loads(ended.stdout)}
    assert list(lines) == list(STEPS)
    everybody = sorted([one, segment] for one, segment in FEBRUARY.items() if segment)
    for step, line in lines.items():
        is_entered = step in ("entered", "in place")
        assert line["signal"] == 9
        assert line["unfinished"] == (1 if step in ("staged", "entered") else 0)
        assert line["left"] == 0
        assert line["finished"] == is_entered
        assert line["numbers"] == ([2, 3] if is_entered else [2])
        assert set(line["kinds"]) == {"changes"}
        assert line["has"] == everybody
    assert rows_in(in_file, audiences) == len(STEPS) * len(everybody)


def test_where_nobody_knows_whether_an_export_came_the_next_is_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail, wanted = Destination("mail"), Wanted("mail", tmp_path)
    export(store, "january", wanted, AT)
    mail.take(tmp_path)
    export_killed(store, "february", wanted, "entered", monkeypatch)
    lose_unfinished(tmp_path)
    publish_with(store, "2026-03", "march", {"K1": "S01", "K8": "S02"})
    told = export(store, "march", wanted, AT)
    assert (told["number"], told["kind"], told["follows"]) == (3, "whole", 1)
    (folder,) = mail.take(tmp_path)
    gone = {("K2", "S01"), ("K3", "S02"), ("K4", "S02"), ("K6", "S01")}
    assert gone <= pairs_in(folder, "left")  # all that it had, whichever it has
    assert ("K7", "S02") in pairs_in(folder, "left")
    assert export(store, "march", wanted, AT)["kind"] == "changes"
    mail.take(tmp_path)


def test_a_folder_that_turns_up_late_changes_nothing(
    in_file: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail, wanted = Destination("mail"), Wanted("mail", tmp_path)
    export(in_file, "january", wanted, AT)
    export_killed(in_file, "february", wanted, "in place", monkeypatch)
    elsewhere = (tmp_path / "mail-0002-2026-02").rename(tmp_path / "elsewhere")
    export_killed(in_file, "january", wanted, "entered", monkeypatch)
    elsewhere.rename(tmp_path / "mail-0002-2026-02")
    told = export(in_file, "february", wanted, AT)
    assert [Path(one).name for one in told["finished"]] == ["mail-0003-2026-01"]
    assert told["follows"] == 3
    assert len(mail.take(tmp_path)) == 4


def test_what_another_process_has_only_begun_is_not_what_the_destination_has(
    in_file: Store, tmp_path: Path
) -> None:
    def begin_another(reached: str) -> None:
        if reached == "begun":
            begun = destinations.begin(in_file, "january", "mail", "", tmp_path / "other", AT)
            rows = pd.DataFrame({"customer_id": ["K9"], "segment_id": ["S01"]})
            load_audience(in_file, begun.id, rows)

    told = export(in_file, "february", Wanted("mail", tmp_path), AT, begin_another)
    assert pairs_in(Path(told["folder"]), "left") == set()


def test_who_is_forgotten_while_lists_are_made_is_no_matter_of_the_destination(
    in_file: Store, tmp_path: Path
) -> None:
    def forget_one(reached: str) -> None:
        if reached == "loaded":
            forget(in_file, ["K4"], AT)

    with pytest.raises(Overtaken):
        export(in_file, "february", Wanted("mail", tmp_path), AT, forget_one)
    assert untold(in_file) == []


def test_nobody_who_objects_meanwhile_is_handed_over_by_an_export_finished_late(
    in_file: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted("mail", tmp_path)
    export(in_file, "january", wanted, AT)
    export_killed(in_file, "february", wanted, "entered", monkeypatch)
    forget(in_file, ["K4"], AT)
    told = export(in_file, "february", wanted, AT)
    folder = Path(told["folder"])
    assert (told["number"], told["kind"], told["finished"]) == (3, "whole", [])
    assert erased_in(folder) == {"K4"}
    assert list(tmp_path.glob(".*")) == []
    assert rows_in(in_file, removals) == 0


def test_an_erasure_that_nobody_knows_to_have_come_is_told_again(
    in_file: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted("mail", tmp_path)
    export(in_file, "january", wanted, AT)
    forget(in_file, ["K4"], AT)
    remember(in_file, month_of("2026-02"), hashes_of(in_file, "K1"), [])
    export_killed(in_file, "february", wanted, "entered", monkeypatch)
    assert untold(in_file) == ["mail"]
    lose_unfinished(tmp_path)
    told = export(in_file, "february", wanted, AT)
    assert erased_in(Path(told["folder"])) == {"K1", "K4"}
    assert untold(in_file) == []


def test_an_export_that_another_process_finished_is_done(in_file: Store, tmp_path: Path) -> None:
    def settle(reached: str) -> None:
        if reached == "entered":
            destinations.settle(in_file, "mail")

    told = export(in_file, "january", Wanted("mail", tmp_path), AT, settle)
    assert told_in(Path(told["folder"]))["number"] == 1
    assert export(in_file, "january", Wanted("mail", tmp_path), AT)["kind"] == "changes"


def test_pruning_takes_nothing_from_what_a_destination_has(in_file: Store, tmp_path: Path) -> None:
    mail = Destination("mail")
    export(in_file, "january", Wanted("mail", tmp_path), AT)
    for month in ("2026-03", "2026-04"):
        publish_with(in_file, month, month, FEBRUARY)
    assert "january" in drop_publications(in_file, month_of("2026-03"))
    export(in_file, "2026-04", Wanted("mail", tmp_path), AT)
    mail.take(tmp_path)
    assert mail.has == {(one, segment) for one, segment in FEBRUARY.items() if segment}


def test_hostile_ids_and_names_come_out_as_they_are(in_file: Store, tmp_path: Path) -> None:
    ids = ["'; DROP TABLE audiences; --", "=1+1", 'a,b"c\n', "\u202eK", "顧客", "x" * 200]
    where = dict.fromkeys(ids, "S01")
    odd = {"S01": {"code": "=1"}}
    publish(in_file, month_with(in_file, "2026-03", "march", dict(sorted(where.items())), odd))
    mail = Destination("mail")
    export(in_file, "march", Wanted("mail", tmp_path), AT)
    forget(in_file, ids[:2], AT)
    export(in_file, "march", Wanted("mail", tmp_path), AT)
    _, second = mail.take(tmp_path)
    assert erased_in(second) == set(ids[:2])
    assert {one for one, _ in mail.has} == set(ids[2:])
    cells = pd.read_csv(second / "erased.csv", encoding="utf-8-sig")["customer_id"]
    assert "'=1+1" in set(cells)

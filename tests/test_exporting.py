"""A destination gets whole lists and changes that never lie, whatever happened in between."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from expectations.errors import InputError
from tasks import forgetting
from tasks.amending import name_segment, rollback
from tasks.erasing import drop_publications, forget, untold
from tasks.exporting import Wanted, export
from tasks.objections import remember
from tasks.publishing import publish, record
from tasks.store import Store, open_store
from tasks.tables import audiences, exports, removals
from tests.handed import (
    FEBRUARY,
    JANUARY,
    Destination,
    erased_in,
    export_killed,
    hashes_of,
    month_with,
    pairs_in,
    publish_with,
    rows_in,
    told_in,
    whole_of,
    with_months,
)
from tests.publications import AT, month_of, publication_of

pytest_plugins = ["tests.engines"]


@pytest.fixture
def store(empty_store: Store) -> Store:
    """January and February, in two segments."""
    return with_months(empty_store)


@pytest.fixture
def in_file(empty_file: Path) -> Store:
    """The same in SQLite alone, where the engine makes no difference."""
    return with_months(open_store(str(empty_file)))


# What a destination gets


def test_a_destination_that_never_got_anything_gets_the_whole(store: Store, tmp_path: Path) -> None:
    told = export(store, "january", Wanted("mail", tmp_path), AT)
    folder = tmp_path / "mail-0001-2026-01"
    assert told["folder"] == str(folder)
    assert (told["is_new"], told["kind"], told["follows"]) == (True, "whole", None)
    names = [f"{one}.{kind}" for one in ("S01", "S02", "entered", "left", "erased")
             for kind in ("csv", "parquet")]  # fmt: skip
    assert {path.name for path in folder.iterdir()} == {*names, "export.json", "README.txt"}
    everybody = {(one, segment) for one, segment in JANUARY.items() if segment}
    assert whole_of(folder) == pairs_in(folder, "entered") == everybody
    assert pairs_in(folder, "S02") == {("K3", "S02"), ("K4", "S02")}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_next_export_says_what_has_changed(store: Store, tmp_path: Path) -> None:
    mail = Destination("mail")
    export(store, "january", Wanted("mail", tmp_path), AT)
    mail.take(tmp_path)
    told = export(store, "february", Wanted("mail", tmp_path), AT)
    (folder,) = mail.take(tmp_path)
    assert (told["kind"], told["follows"], told["is_new"]) == ("changes", 1, False)
    assert pairs_in(folder, "left") == {("K2", "S01"), ("K3", "S02"), ("K6", "S01")}
    assert pairs_in(folder, "entered") == {("K2", "S02"), ("K5", "S01"), ("K7", "S02")}
    assert erased_in(folder) == set()
    listed = pd.read_parquet(folder / "S02.parquet").set_index("customer_id")
    assert listed["status"].to_dict() == {"K2": "entered", "K4": "stayed", "K7": "entered"}
    assert mail.has == {(one, segment) for one, segment in FEBRUARY.items() if segment}
    assert rows_in(store, audiences) == len(mail.has)  # what it had before is gone


def test_each_destination_has_changes_and_numbers_of_its_own(
    in_file: Store, tmp_path: Path
) -> None:
    export(in_file, "january", Wanted("mail", tmp_path), AT)
    export(in_file, "february", Wanted("mail", tmp_path), AT)
    told = export(in_file, "february", Wanted("phone", tmp_path), AT)
    assert (told["number"], told["kind"]) == (1, "whole")
    again = export(in_file, "february", Wanted("mail", tmp_path), AT)
    folder = Path(again["folder"])
    assert folder.name == "mail-0003-2026-02"
    assert pairs_in(folder, "entered", "left") == set()
    assert again["follows"] == 2


def test_an_older_month_and_a_rollback_are_changes_like_any_other(
    in_file: Store, tmp_path: Path
) -> None:
    mail = Destination("mail")
    for run_id in ("february", "january"):
        export(in_file, run_id, Wanted("mail", tmp_path), AT)
    rollback(in_file, "january", {"decided_at": AT})
    export(in_file, "january", Wanted("mail", tmp_path), AT)
    assert len(mail.take(tmp_path)) == 3
    assert mail.has == {(one, segment) for one, segment in JANUARY.items() if segment}


def test_the_same_export_of_two_stores_differs_in_nothing_but_the_control_group(
    in_file: Store, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folders = []
    for name in ("one", "two"):
        told = export(in_file, "january", Wanted(name, tmp_path, campaign="spring"), AT)
        folders.append(Path(told["folder"]))
    for path in folders[0].iterdir():
        if path.suffix in (".csv", ".parquet"):
            assert path.read_bytes() == (folders[1] / path.name).read_bytes()


# Who may be in no list


def test_a_forgotten_customer_is_erased_by_the_next_export_to_each_that_has_them(
    store: Store, tmp_path: Path
) -> None:
    for name in ("mail", "phone"):
        export(store, "january", Wanted(name, tmp_path), AT)
    export(store, "february", Wanted("phone", tmp_path), AT)  # which has K3 no more
    forget(store, ["K3", "K1", "nobody"], AT)
    assert untold(store) == ["mail", "phone"]
    assert rows_in(store, removals) == 3
    told = export(store, "february", Wanted("mail", tmp_path), AT)
    folder = Path(told["folder"])
    assert erased_in(folder) == {"K1", "K3"}
    assert not {"K1", "K3"} & {one for one, _ in pairs_in(folder, "left", "S01", "S02")}
    assert untold(store) == ["phone"]
    assert (
        erased_in(Path(export(store, "february", Wanted("mail", tmp_path), AT)["folder"])) == set()
    )
    assert erased_in(Path(export(store, "january", Wanted("phone", tmp_path), AT)["folder"])) == {
        "K1"
    }
    assert rows_in(store, removals) == 0


def test_forgetting_twice_waits_once(store: Store, tmp_path: Path) -> None:
    export(store, "january", Wanted("mail", tmp_path), AT)
    forget(store, ["K1"], AT)
    forget(store, ["K1", "K2"], AT)
    assert rows_in(store, removals) == 2


def test_forgetting_takes_customers_out_of_lists_that_lie_there_but_for_whom_to_erase(
    in_file: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {"=K1": "S01", "K2": "S02", "K3": "S01"}
    publish(in_file, month_with(in_file, "2026-03", "march", odd))
    runs = tmp_path / "runs"
    export(in_file, "march", Wanted("mail", runs / "lists"), AT)
    export_killed(in_file, "march", Wanted("phone", tmp_path / "lists"), "entered", monkeypatch)
    at = datetime.fromisoformat(AT)
    told = forgetting.forget([in_file], runs, ["=K1"], at)
    assert told.untold == ["mail", "phone"]
    assert "2 destinations have yet to be told: mail, phone." in forgetting.in_words(told)
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".csv", ".parquet")]
    assert len(files) == 20
    assert not [path for path in files if b"K1" in path.read_bytes()]
    assert any(path.stem == "S02" and b"K2" in path.read_bytes() for path in files)
    second = Path(export(in_file, "march", Wanted("mail", runs / "lists"), AT)["folder"])
    again = forgetting.forget([in_file], runs, ["=K1"], at)
    assert again.untold == ["phone"]
    assert erased_in(second) == {"=K1"}
    assert "'=K1" in (second / "erased.csv").read_text()


def test_who_objects_leaves_every_list_also_after_a_rollback(store: Store, tmp_path: Path) -> None:
    mail = Destination("mail")
    export(store, "january", Wanted("mail", tmp_path), AT)
    remember(store, month_of("2026-02"), hashes_of(store, "K1", "K9"), list(FEBRUARY))
    rollback(store, "january", {"decided_at": AT})
    export(store, "january", Wanted("mail", tmp_path), AT)
    _, second = mail.take(tmp_path)
    assert erased_in(second) == {"K1"}
    assert pairs_in(second, "left") == set()
    assert "K1" not in {one for one, _ in mail.has}


@pytest.mark.parametrize(
    ("month", "back"), [("2026-01", False), ("2026-02", True), ("2026-03", True)]
)
def test_an_objection_ends_with_a_table_as_new_that_has_the_customer_without(
    in_file: Store, tmp_path: Path, month: str, back: bool
) -> None:
    remember(in_file, month_of("2026-02"), hashes_of(in_file, "K1", "K2"), [])
    remember(in_file, month_of(month), [], ["K1", "K3"])
    told = export(in_file, "january", Wanted("mail", tmp_path), AT)
    there = {one for one, _ in whole_of(Path(told["folder"]))}
    assert ("K1" in there) is back
    assert "K2" not in there
    assert {"K3", "K4", "K6"} <= there


def test_the_last_month_has_the_last_word_on_an_objection(in_file: Store, tmp_path: Path) -> None:
    k1 = hashes_of(in_file, "K1")
    remember(in_file, month_of("2026-02"), k1, [])
    remember(in_file, month_of("2026-03"), [], ["K1"])
    remember(in_file, month_of("2026-02"), k1, [])  # that month once more
    told = export(in_file, "january", Wanted("mail", tmp_path), AT)
    assert ("K1", "S01") in whole_of(Path(told["folder"]))
    remember(in_file, month_of("2026-03"), k1, ["K1"])  # in doubt the customer objects
    told = export(in_file, "january", Wanted("mail", tmp_path), AT)
    assert erased_in(Path(told["folder"])) == {"K1"}


# Control group, names and codes


def test_the_control_group_is_that_of_the_campaign_and_its_lift_is_told(
    in_file: Store, tmp_path: Path
) -> None:
    publish(in_file, publication_of(in_file, "2026-03", "march", n_customers=3000))
    asked = [
        Wanted("mail", tmp_path, campaign="spring", base_rate=0.1),
        Wanted("mail", tmp_path, campaign="spring"),
        Wanted("mail", tmp_path, campaign="autumn", control=0.5),
        Wanted("mail", tmp_path, control=0),
    ]
    told = [export(in_file, "march", one, AT) for one in asked]
    groups = [
        pd.read_parquet(Path(one["folder"]) / "S01.parquet")["control"].to_numpy() for one in told
    ]
    assert (groups[0] == groups[1]).all()
    assert [round(one.mean(), 1) for one in groups] == [0.1, 0.1, 0.5, 0.0]
    (line, _), kept = told[0]["segments"], told_in(Path(told[0]["folder"]))["segments"][0]
    assert line["lift"] == kept["lift"] == pytest.approx(0.087, abs=0.025)
    assert (line["too_small"], line["control"]) == (False, groups[0].sum())
    assert "lift" not in told[1]["segments"][0]
    assert told[3]["campaign"] == "mail 2026-03"


def test_codes_stand_wherever_a_name_would(in_file: Store, tmp_path: Path) -> None:
    profiles = {
        "S01": {"code": "N1", "campaign": "offer", "care": False}, "S02": {"code": None},
    }  # fmt: skip
    march = month_with(
        in_file, "2026-03", "march", {"K1": "S01", "K2": "S02"}, profiles,
        previous={"K1": "S02", "K2": "S01"}, runner_up={"K2": "S01"},
        next_product={"K1": "Loan"}, status={"K2": "not_assessed"},
    )  # fmt: skip
    publish(in_file, march)
    export(in_file, "january", Wanted("mail", tmp_path, codes=True), AT)
    told = export(in_file, "march", Wanted("mail", tmp_path, codes=True), AT)
    folder = Path(told["folder"])
    rows = pd.read_parquet(folder / "entered.parquet").set_index("customer_id")
    assert rows.loc["K2", ["segment", "runner_up", "previous_segment"]].tolist() == [
        "S02",
        "N1",
        "N1",
    ]
    assert rows.loc["K2", "status"] == "not assessed"
    listed = pd.read_parquet(folder / "S01.parquet").iloc[0]
    assert (listed["segment"], listed["next_product"]) == ("N1", "Loan")
    assert not [one for one in folder.iterdir() if b"Group" in one.read_bytes()]
    named = export(in_file, "march", Wanted("phone", tmp_path), AT)
    kept = told_in(Path(named["folder"]))["segments"][0]
    assert (kept["segment"], kept["campaign"], kept["care"]) == ("Group S01", "offer", False)
    assert "campaign" not in told_in(folder)["segments"][0]


def test_a_segment_is_called_as_the_month_itself_called_it(in_file: Store, tmp_path: Path) -> None:
    march = month_with(in_file, "2026-03", "march", FEBRUARY)
    publish(in_file, replace(march, segments=march.segments.assign(name="Later")))
    told = export(in_file, "february", Wanted("mail", tmp_path), AT)
    assert [line["segment"] for line in told["segments"]] == ["Group S01", "Group S02"]


def test_a_persons_name_wins_and_a_retired_segment_keeps_the_name_it_had(
    in_file: Store, tmp_path: Path
) -> None:
    publish(in_file, publication_of(in_file, "2026-03", "march", born=1))
    name_segment(in_file, "S01", "Our best", None, AT)
    for destination in ("mail", "phone"):
        export(in_file, "march", Wanted(destination, tmp_path), AT)
    april = month_with(in_file, "2026-04", "april", {"K1": "S01"}, {"S01": {}})
    publish(in_file, april)
    publish_with(in_file, "2026-05", "may", {"K1": "S01"})
    drop_publications(in_file, month_of("2026-04"))
    told = export(in_file, "april", Wanted("mail", tmp_path), AT)
    folder = Path(told["folder"])
    assert set(pd.read_parquet(folder / "S01.parquet")["segment"]) == {"Our best"}
    left = pd.read_parquet(folder / "left.parquet")
    assert set(left.loc[left["segment_id"] == "S03", "segment"]) == {"Group S03"}
    told = export(in_file, "april", Wanted("phone", tmp_path, codes=True), AT)
    left = pd.read_parquet(Path(told["folder"]) / "left.parquet")
    assert set(left.loc[left["segment_id"] == "S03", "segment"]) == {"S03"}


def test_counts_of_a_few_are_in_the_folder_alone(in_file: Store, tmp_path: Path) -> None:
    told = export(in_file, "january", Wanted("mail", tmp_path), AT)
    assert [line["customers"] for line in told["segments"]] == [None, None]
    assert told["counts"] == {"entered": 5, "left": 0, "erased": 0, "not_assessed": 0}
    kept = told_in(Path(told["folder"]))
    assert [line["customers"] for line in kept["segments"]] == [3, 2]
    assert kept["counts"]["customers"] == 5


# What cannot be exported


def test_only_a_standing_publication_is_exported(in_file: Store, tmp_path: Path) -> None:
    publish_with(in_file, "2026-02", "corrected", FEBRUARY)
    record(in_file, {"run_id": "asks", "month": "2026-03", "origin": "real", "status": "awaiting"})
    publish_with(in_file, "2026-03", "march", FEBRUARY)
    rollback(in_file, "corrected", {"decided_at": AT})
    said = {
        "february": "replaced by corrected, so it counts no more. Export corrected",
        "march": "rolled back, so it counts no more. Export corrected",
        "asks": "asks is awaiting and not published",
        "nobody": "nobody is not in the store",
    }
    for run_id, why in said.items():
        with pytest.raises(InputError, match=why):
            export(in_file, run_id, Wanted("mail", tmp_path), AT)
    assert list(tmp_path.glob("mail*")) == []
    assert rows_in(in_file, exports) == 0


@pytest.mark.parametrize(
    "wanted",
    [
        {"destination": "a/b"}, {"destination": ""}, {"destination": "x" * 41},
        {"destination": "mäil"}, {"destination": "mail\n"}, {"control": 1.0}, {"control": -0.1},
        {"base_rate": 0.0}, {"base_rate": 1.0}, {"campaign": "a\nb"}, {"campaign": "x" * 201},
        {"control": float("nan")}, {"destination": ".."},
    ],
)  # fmt: skip
def test_a_wrong_call_writes_nothing(
    in_file: Store, tmp_path: Path, wanted: dict[str, Any]
) -> None:
    asked = Wanted(**{"destination": "mail", "output": tmp_path / "out", **wanted})
    with pytest.raises(InputError):
        export(in_file, "january", asked, AT)
    assert not (tmp_path / "out").exists()
    assert rows_in(in_file, exports) == 0


def test_a_mistyped_destination_is_told_of_the_one_that_is_known(
    in_file: Store, tmp_path: Path
) -> None:
    export(in_file, "january", Wanted("newsletter", tmp_path), AT)
    assert export(in_file, "january", Wanted("newslettr", tmp_path), AT)["like"] == "newsletter"
    assert export(in_file, "january", Wanted("phone", tmp_path), AT)["like"] is None
    with pytest.raises(InputError, match="knows it as newsletter"):
        export(in_file, "january", Wanted("Newsletter", tmp_path), AT)


def test_a_folder_of_another_store_is_left_alone(in_file: Store, tmp_path: Path) -> None:
    (tmp_path / "mail-0001-2026-01").mkdir()
    with pytest.raises(InputError, match="is there already"):
        export(in_file, "january", Wanted("mail", tmp_path), AT)
    assert list((tmp_path / "mail-0001-2026-01").iterdir()) == []

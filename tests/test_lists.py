"""The command writes lists, says what it did, and names nobody; objections come from sources."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import keeping
from tasks.delivering import note_in_store
from tasks.objections import left_out_in
from tasks.publishing import publish
from tasks.run import Run
from tasks.store import Store, open_store
from tests.company import CONTRACT, NEVER, Company, customers
from tests.handed import erased_in, told_in
from tests.publications import publication_of
from tests.told import error_told, invoke, one_object

pytest_plugins = ["tests.engines"]
pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def store(made_file: Path, tmp_path: Path) -> Store:
    """A published month of 300 customers among the runs."""
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / "segments.db"
    path.write_bytes(made_file.read_bytes())
    opened = open_store(str(path))
    publish(opened, publication_of(opened, "2026-01", "january", n_customers=300))
    return opened


def call(folder: Path, *words: object) -> Any:
    where = ("--runs", folder / "runs", "--output", folder / "lists")
    return invoke("export", "january", "--destination", "mail", *where, *words)


def test_the_command_writes_lists_and_says_so_in_json_and_in_words(
    store: Store, tmp_path: Path
) -> None:
    first = call(tmp_path, "--base-rate", ".3", "--control", ".2", "--codes", "--campaign", "May")
    assert first.exit_code == 0, first.output
    said = " ".join(first.output.split())
    assert "mail is a new destination, and gets the whole" in said
    assert "lift to see" in said
    assert "number 1 for mail: 299 entered, 0 left, 0 erased" in said
    told = one_object(call(tmp_path, "--base-rate", ".01", "--json"))
    assert (told["number"], told["kind"], told["segments_as"]) == (2, "changes", "names")
    assert told["counts"] == {"entered": 0, "left": 0, "erased": 0, "not_assessed": 0}
    assert all(line["too_small"] for line in told["segments"])
    kept = [told_in(path) for path in sorted((tmp_path / "lists").iterdir())]
    assert kept[0]["control_share"] == 0.2
    assert (kept[0]["campaign"], kept[1]["campaign"]) == ("May", "mail 2026-01")
    assert kept[0]["segments"][0]["segment"] == "S01"
    assert kept[1]["segments"][0]["segment"] == "Group S01"
    assert "C00000" not in first.output + json.dumps(told)
    too_small = call(tmp_path, "--base-rate", ".01")
    assert "too small to see any" in " ".join(too_small.output.split())


def test_a_wrong_call_is_told_in_one_line(store: Store, resegment: Any, tmp_path: Path) -> None:
    where = ("--runs", tmp_path / "runs", "--output", tmp_path / "lists")
    said = error_told(resegment, "export", "nobody", "--destination", "mail", *where, code=2)
    assert "nobody is not in the store" in said
    assert not (tmp_path / "lists").exists()


def test_who_objects_in_a_source_is_in_no_list_of_an_older_month(tmp_path: Path) -> None:
    company = Company.founded(tmp_path)
    flag = "  no_mail: {kind: flag, use: objection}\npersonas:"
    company.contract.write_text(CONTRACT.replace("personas:", flag))
    first, second, third = customers("2026-01")["customer"].tolist()[50:53]

    def month(month: str, *words: str, objecting: str, code: int = 0) -> Run:
        rows = customers(month)
        rows = rows.assign(no_mail=rows["customer"] == objecting)
        return company.run_of(company.month(month, *words, table=rows, code=code)["run_id"])

    def erased_by_export() -> set[str]:
        where = ("--destination", "mail", "--output", tmp_path / "lists")
        return erased_in(Path(company.says("export", january.id, *where)["folder"]))

    january = month("2026-01", objecting=first)
    with company.store.database.reading() as connection:
        hash_of = left_out_in(connection).hash_of
        assert left_out_in(connection).hashes == {hash_of(first)}
    assert erased_by_export() == set()
    february = month("2026-02", *NEVER, "--publish", "ask", objecting=second, code=1)
    assert february.manifest["status"] == "awaiting"
    assert erased_by_export() == {second}  # and the first is back
    with company.store.database.reading() as connection:
        assert left_out_in(connection).hashes == {hash_of(second)}
    kept = pd.read_parquet(february.folder / "objections.parquet")
    assert kept.to_dict("list") == {"hash": [hash_of(second)]}

    keeping.keep(february.folder / "objections.parquet", pd.DataFrame({"hash": [hash_of(third)]}))
    february.note(status="refused")
    note_in_store(company.store.database.shown, february)
    assert erased_by_export() == set()  # a refused source says nothing
    february.note(status="kept")
    note_in_store(company.store.database.shown, february)
    assert erased_by_export() == {third}

"""A list opens in a spreadsheet without running anything, and says exactly what it holds."""

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.campaigns import ERASED, LEFT, LISTED
from tasks.listfiles import explained, write_list

FORMULAS = [
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\rx", "\nx", "  =1", "\u00a0=1",
    "\ufeff=1", "\u200b@x", "\u202e=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", " \uff1d1",
    "-5", "=",
]  # fmt: skip
HARMLESS = [
    "Müller", "a=b", "x-y", "'quoted'", '"quoted"', "two\nlines", "\u202eright to left",
    "顧客", "عميل", "😀", "<script>alert(1)</script>", "A" * 10_000, "a,b;c", "", "1e5", "007",
]  # fmt: skip


def written(folder: Path, ids: list[str], **columns: Any) -> tuple[pd.DataFrame, list[list[str]]]:
    """The Parquet file, and the cells of the CSV file."""
    table = pd.DataFrame({name: [None] * len(ids) for name in LISTED.names})
    table = table.assign(customer_id=ids, control=False, **{"confidence": 0.5, **columns})
    write_list(folder, "S01", table, LISTED)
    with (folder / "S01.csv").open(encoding="utf-8-sig", newline="") as file:
        return pd.read_parquet(folder / "S01.parquet"), list(csv.reader(file))[1:]


def test_what_a_spreadsheet_would_run_is_made_harmless_and_parquet_stays_exact(
    tmp_path: Path,
) -> None:
    exact, cells = written(tmp_path, FORMULAS, segment=FORMULAS[::-1])
    assert exact["customer_id"].tolist() == FORMULAS
    assert [row[0] for row in cells] == [f"'{one}" for one in FORMULAS]
    assert [row[1] for row in cells] == [f"'{one}" for one in FORMULAS[::-1]]


def test_everything_else_is_as_it_was_in_any_script(tmp_path: Path) -> None:
    exact, cells = written(tmp_path, HARMLESS)
    assert [row[0] for row in cells] == exact["customer_id"].tolist() == HARMLESS


def test_numbers_are_numbers_and_gaps_are_empty(tmp_path: Path) -> None:
    exact, cells = written(tmp_path, ["K1", "K2"], confidence=[-0.25, None])
    assert [row[3] for row in cells] == ["-0.25", ""]
    assert [row[4] for row in cells] == ["", ""]
    assert [row[9] for row in cells] == ["false", "false"]
    assert exact["control"].dtype == bool


def test_the_same_rows_give_the_same_bytes_and_excel_knows_the_letters(tmp_path: Path) -> None:
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        written(folder, HARMLESS)
        contents.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("schema", [LISTED, LEFT, ERASED])
def test_an_empty_list_has_its_columns(tmp_path: Path, schema: Any) -> None:
    write_list(tmp_path, "left", pd.DataFrame({name: [] for name in schema.names}), schema)
    assert pd.read_csv(tmp_path / "left.csv").columns.tolist() == schema.names
    assert pd.read_parquet(tmp_path / "left.parquet").columns.tolist() == schema.names


def test_changes_are_explained_only_where_there_is_something_to_change() -> None:
    told = {
        "destination": "mail", "number": 4, "month": "2026-03", "campaign": "spring",
        "kind": "changes", "follows": 2,
        "segments": [{"segment_id": "S01", "segment": "Savers", "customers": 1200}],
    }  # fmt: skip
    assert "if number 2 is what you applied last" in explained(told)
    assert "Savers: 1,200 customers" in explained(told)
    assert "applied last" not in explained({**told, "kind": "whole", "follows": None})

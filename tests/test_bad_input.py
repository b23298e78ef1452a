"""What a source or contract gets that gives no table: one message with the remedy, exit code 2.

Everything through the real command. `check` reads and asks as a `run` does, in a tenth of the
time; what only a run folder can show is shown by a run.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from expectations.contract import CONTRACTS
from tests.told import csv_bytes, error_told, files_of, invoke, one_object, parquet_bytes

RUBBISH = hashlib.shake_128(b"rubbish").digest(5000)


# --- no table can be formed: exit 2 ------------------------------------------------------------

NO_TABLE: Mapping[str, tuple[Callable[[pd.DataFrame], bytes], str]] = {
    "empty": (
        lambda table: b"",
        "the file is empty (0 bytes). Export it again.",
    ),
    "header only": (
        lambda table: csv_bytes(table.head(0)),
        "the file has a header and no customers. Export it again, with its rows.",
    ),
    "missing column": (
        lambda table: csv_bytes(table.drop(columns="PAYMENTS").rename(columns={"TENURE": "SIZE"})),
        "2 of 18 columns missing: PAYMENTS (no header like it), TENURE (no header like it). "
        "Correct the headers of the file, or the columns and aliases of contract ccdata.",
    ),
    "misspelt column": (
        lambda table: csv_bytes(table.rename(columns={"CREDIT_LIMIT": "CREDITLIMT"})),
        "1 of 18 columns missing: CREDIT_LIMIT (closest header: 'CREDITLIMT'). Correct the headers",
    ),
    "doubled column": (
        lambda table: csv_bytes(table.assign(balance=table["BALANCE"])),
        "Doubled: BALANCE (as 'BALANCE' and 'balance'). Correct the headers of the file",
    ),
    "doubled column in Parquet": (
        lambda table: parquet_bytes(table.assign(balance=table["BALANCE"])),
        "Doubled: BALANCE (as 'BALANCE' and 'balance'). Correct the headers of the file",
    ),
    "truncated gzip": (
        lambda table: gzip.compress(csv_bytes(table))[:-500],
        "the gzip file is cut off. Copy it again, or export it anew.",
    ),
    "truncated Parquet": (
        lambda table: parquet_bytes(table)[:-500],
        "the Parquet file is cut off or damaged. Copy it again, or export it anew.",
    ),
    "binary rubbish": (
        lambda table: RUBBISH,
        "the file is binary and no format that is read here. Export the customers as CSV, CSV.gz "
        "or Parquet.",
    ),
    "another table": (
        lambda table: b"day,city\n1,Rome\n",
        "not the table of contract ccdata. None of its 18 columns (CUST_ID, BALANCE, "
        "BALANCE_FREQUENCY, PURCHASES, ...) is among the headers. Give another file",
    ),
    "Latin-1": (
        lambda table: csv_bytes(table.assign(NAME="Zoë")).decode().encode("latin-1"),
        "line 2 is not UTF-8. Name the file's encoding with --encoding, for example --encoding "
        "latin-1 or --encoding cp1252.",
    ),
    "UTF-16 without a mark": (
        lambda table: csv_bytes(table).decode().encode("utf-16-le"),
        "this looks like UTF-16 without a byte order mark. Say so with --encoding utf-16-le.",
    ),
    "an odd delimiter": (
        lambda table: csv_bytes(table, sep="^"),
        "the first line is one cell, and no column of contract ccdata. Name the character between "
        "cells with --delimiter, for example --delimiter '^', or give another file.",
    ),
    "commas and points": (
        lambda table: csv_bytes(
            pd.concat([table.head(300).map(lambda cell: str(cell).replace(".", ",")), table[300:]]),
            sep=";",
        ),
        "some numbers have a decimal comma and others a decimal point. Name the decimal mark: "
        "--decimal , or --decimal .",
    ),
    "a quote that never ends": (
        lambda table: csv_bytes(table).replace(b"C00", b'"C00', 1),
        "a quoted cell that begins on line 2, or shortly after, never ends, and takes the rest of "
        "the file with it. Close or remove that quote, or copy the file again",
    ),
}


@pytest.mark.parametrize("case", NO_TABLE)
def test_a_file_that_gives_no_table_is_refused_with_exit_code_2(
    case: str, resegment: Callable[..., Any], month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    write, says = NO_TABLE[case]
    path = tmp_path / "customers"
    path.write_bytes(write(month_of_600))
    message = error_told(resegment, "check", path, code=2)
    assert message.startswith(f"{path}: {says}")
    assert not re.search("C00[0-9]{3}", message)


def test_no_such_file_and_a_folder(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    path = csv_of(month_of_600)
    missing, folder = path.with_name("custmers.csv"), path.parent
    assert error_told(resegment, "check", missing, code=2).startswith(
        f"source {missing}: no such file. Closest there: customers.csv. Correct "
    )
    assert error_told(resegment, "check", folder, code=2) == (
        f"source {folder}: this is a folder. Give one file in it."
    )


def test_a_run_without_a_table_ends_with_exit_code_2_and_leaves_its_manifest_only(
    resegment: Callable[..., Any],
    csv_of: Callable[..., Path],
    month_of_600: pd.DataFrame,
    tmp_path: Path,
) -> None:
    path = csv_of(month_of_600.head(0))
    message = f"{path}: the file has a header and no customers. Export it again, with its rows."
    result = resegment("run", "--source", path, "--json")
    assert (result.exit_code, result.stderr) == (2, f"error {message}\n")
    assert one_object(result) == {"error": message, "exit_code": 2}
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/manifest.json"))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["error"]) == ("failed", message)
    assert files_of(folder) == {"manifest.json"}


# --- dialects: told for sure, or asked for by name ---------------------------------------------

DIALECTS: Mapping[str, tuple[Callable[[pd.DataFrame], bytes], list[str], dict[str, str]]] = {
    "semicolon": (lambda t: csv_bytes(t, sep=";"), [], {"delimiter": ";"}),
    "tab": (lambda t: csv_bytes(t, sep="\t"), [], {"delimiter": "\t"}),
    "UTF-8 with BOM": (lambda t: b"\xef\xbb\xbf" + csv_bytes(t), [], {"encoding": "utf-8"}),
    "UTF-16": (lambda t: csv_bytes(t).decode().encode("utf-16"), [], {"encoding": "utf-16"}),
    "CRLF": (lambda t: csv_bytes(t, lineterminator="\r\n"), [], {}),
    "decimal commas": (
        lambda t: csv_bytes(t, sep=";", decimal=","),
        [],
        {"delimiter": ";", "decimal": ","},
    ),
    "Latin-1 by name": (
        lambda t: csv_bytes(t).replace(b"CUST_ID", b"cust.id\xa0"),
        ["--encoding", "latin-1"],
        {"encoding": "iso8859-1"},
    ),
    "UTF-16 by name": (
        lambda t: csv_bytes(t).decode().encode("utf-16-le"),
        ["--encoding", "utf-16-le"],
        {"encoding": "utf-16-le"},
    ),
    "delimiter by name": (
        lambda t: csv_bytes(t, sep="^"),
        ["--delimiter", "^"],
        {"delimiter": "^"},
    ),
}


@pytest.fixture(scope="module")
def plain(month_of_600: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `check` says of the month as it is."""
    path = tmp_path_factory.mktemp("plain") / "customers.csv"
    path.write_bytes(csv_bytes(month_of_600))
    return one_object(invoke("check", path, "--json"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_that_can_be_told_or_is_named_is_read_as_the_same_table(
    dialect: str, plain: dict[str, Any], month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    write, options, differs = DIALECTS[dialect]
    path = tmp_path / "customers"
    path.write_bytes(write(month_of_600))
    result = invoke("check", path, *options, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    said = one_object(result)
    read = ("delimiter", "decimal", "encoding")
    assert {name: said["source"][name] for name in read} == {
        **{name: plain["source"][name] for name in read},
        **differs,
    }
    assert (said["failed"], said["refused_rows"]) == (plain["failed"], 0)


def test_an_extra_column_is_a_warning(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    path = csv_of(month_of_600.assign(**{"SHOE_SIZE": 41, "[/b] odd": 1}))
    result = resegment("check", path)
    assert result.exit_code == 0
    assert "the contract does not know, and leaves out: SHOE_SIZE, [/b] odd" in result.stdout
    said = one_object(resegment("check", path, "--json"))
    assert said["source"]["left_out"] == ["SHOE_SIZE", "[/b] odd"]


# --- the contract is wrong: exit 2 -------------------------------------------------------------

WRONG_CONTRACTS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown kind": (
        "{kind: months, low",
        "{kind: moons, low",
        ("TENURE", "'moons'", "'money', 'count', 'share', 'months', 'score'"),
    ),
    "impossible bound": (
        "low: 6, high: 12",
        "low: 12, high: 6",
        ("TENURE", "impossible bound: low 12 must be below high 6"),
    ),
    "rule on no column": (
        "total: PURCHASES,",
        "total: PURCHASE,",
        ("rule purchases_add_up is about PURCHASE, which is not among the columns",),
    ),
    "persona on no column": (
        "{TENURE: {below: 10}}",
        "{TENOR: {below: 10}}",
        ("persona New is about TENOR, which is not among the columns",),
    ),
    "doubled key": (
        "  PAYMENTS: {kind: money",
        "  BALANCE: {kind: money",
        ('duplicate key "BALANCE", line 22', "Keep one of the two"),
    ),
    "no YAML": ("name: ccdata", "name: [ccdata", ("is not readable YAML", "line")),
}


@pytest.fixture
def wrong_contract(tmp_path: Path) -> Callable[[str], Path]:
    """Write the shipped contract with one thing wrong; returns its path."""

    def write(case: str) -> Path:
        right, wrong, _ = WRONG_CONTRACTS[case]
        shipped = (CONTRACTS / "ccdata.yaml").read_text()
        assert shipped.count(right) == 1
        path = tmp_path / "wrong.yaml"
        path.write_text(shipped.replace(right, wrong))
        return path

    return write


@pytest.mark.parametrize("case", WRONG_CONTRACTS)
def test_a_wrong_contract_is_refused_before_the_source_is_read(
    case: str, resegment: Callable[..., Any], wrong_contract: Callable[[str], Path]
) -> None:
    path = wrong_contract(case)
    message = error_told(resegment, "check", "no-such-file", "--contract", path, code=2)
    assert message.startswith(f"contract {path}")
    for says in WRONG_CONTRACTS[case][2]:
        assert says in message


def test_an_unknown_contract_names_the_shipped_ones(resegment: Callable[..., Any]) -> None:
    assert error_told(resegment, "check", "x", "--contract", "ccdta", code=2) == (
        "contract ccdta: no such contract or file. Give the path of a YAML file, or the name of a "
        "shipped contract (ccdata)."
    )


def test_a_run_under_a_wrong_contract_leaves_no_folder(
    resegment: Callable[..., Any], wrong_contract: Callable[[str], Path], tmp_path: Path
) -> None:
    result = resegment("run", "--contract", wrong_contract("unknown kind"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "TENURE" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()

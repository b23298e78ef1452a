"""From a source to `raw`: what is read, what is refused with which message, who is left out."""

import csv
import gzip
import hashlib
import io
import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.contract import Contract, load_contract, parse_contract
from expectations.errors import InputError, OutsideError
from tasks import delimited, ingestion
from tasks.ingestion import Fetched, SourceOptions, fetch, public_uri, read_customers, resolve_uri
from tasks.outcome import Outcome

MONTH = pd.Period("2026-03", "M")
SHOP = parse_contract(
    b"""
name: shop
id: {column: CLIENT_NO}
columns:
  SPEND: {kind: money, aliases: [Turnover]}
  VISITS: {kind: count}
  TIER: {kind: category}
  MEMBER: {kind: flag}
  NOTE: {kind: text}
  STAFF: {kind: text, use: ignore}
""",
    "shop",
)
OPEN = parse_contract(
    b"""
name: open
id: {column: CLIENT_NO}
columns:
  SPEND: {kind: money}
  TIER: {kind: category}
  OPT_OUT: {kind: flag, use: objection}
  NO_MAIL: {kind: flag, use: objection}
""",
    "open",
)
HEADER = "CLIENT_NO,SPEND,VISITS,TIER,MEMBER,NOTE"
PLAIN = f"""{HEADER}
007,12.5,3,gold,yes,first
008,0.25,,silver,no,"two, words"
009,1000,5,,,
"""


def read(
    content: str | bytes, contract: Contract = SHOP, name: str = "shop.csv", **options: str
) -> Outcome:
    """Read a file's content."""
    content = content.encode() if isinstance(content, str) else content
    fetched = Fetched(content, hashlib.sha256(content).hexdigest(), name)
    return read_customers(fetched, contract, SourceOptions(**options))


def notes(outcome: Outcome) -> list[dict[str, str] | None]:
    """Give `_unreadable` per row."""
    return [json.loads(note) if isinstance(note, str) else None for note in _unreadable(outcome)]


def _unreadable(outcome: Outcome) -> list[Any]:
    return outcome.table["_unreadable"].tolist()


def spend(*cells: str) -> str:
    """Write a file of these numbers."""
    return HEADER + "\n" + "".join(f"{i},{cell},1,,,\n" for i, cell in enumerate(cells))


def parquet(**columns: object) -> bytes:
    """Write a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def shop_parquet(**columns: object) -> bytes:
    """Write a Parquet file of the shop's columns, two rows."""
    plain = {"CLIENT_NO": ["007", "008"], "SPEND": [1.5, 2], "VISITS": [1, 2]}
    rest = {"TIER": ["gold", None], "MEMBER": [True, None], "NOTE": ["", "x"]}
    return parquet(**{**plain, **rest, **columns})


def damaged(content: bytes) -> bytes:
    """Overwrite the middle of a file."""
    middle = len(content) // 2
    return content[: middle - 20] + b"\xff" * 40 + content[middle + 20 :]


# --- the table ---------------------------------------------------------------------------------


def test_the_table_has_the_contracts_columns_in_its_order_and_types() -> None:
    table = read("NOTE,member,Tier,visits,SPEND,client no\nx,y,gold,3,1.5,007\n").table
    assert {column: str(kind) for column, kind in table.dtypes.items()} == {
        "CLIENT_NO": "str",
        "SPEND": "float64",
        "VISITS": "float64",
        "TIER": "str",
        "MEMBER": "boolean",
        "NOTE": "str",
        "_row": "int64",
        "_unreadable": "str",
    }
    assert list(table.columns) == [*HEADER.split(","), "_row", "_unreadable"]
    assert table.iloc[0, :7].tolist() == ["007", 1.5, 3, "gold", True, "x", 2]


def test_gaps_are_null_and_the_log_tells_how_the_file_is_written() -> None:
    outcome = read(PLAIN)
    table = outcome.table
    assert table["CLIENT_NO"].tolist() == ["007", "008", "009"]  # leading zeros stay
    assert table["VISITS"].isna().tolist() == [False, True, False]
    assert table["NOTE"].tolist()[:2] == ["first", "two, words"]
    assert table.loc[2, ["TIER", "MEMBER", "NOTE"]].isna().all()
    assert table["_unreadable"].isna().all()
    assert outcome.log == {
        "rows": 3,
        "objected": 0,
        "left_out": [],
        "renamed": {},
        "format": "csv",
        "delimiter": ",",
        "decimal": ".",
        "encoding": "utf-8",
        "compression": "",
        "sha256": hashlib.sha256(PLAIN.encode()).hexdigest(),
    }
    json.dumps(outcome.log)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(f"{HEADER}\na,1,1,,,\nb,1,1,,,", [2, 3], id="plain"),
        pytest.param(f"{HEADER}\n\na,1,1,,,\n\n\nb,1,1,,,\n", [3, 6], id="blank lines"),
        pytest.param(f"\n\n{HEADER}\na,1,1,,,\n", [4], id="blank lines first"),
        pytest.param(f'{HEADER}\na,1,1,,,"x\ny"\nb,1,1,,,\n', [2, 4], id="quoted line break"),
        pytest.param(f"{HEADER}\ra,1,1,,,\rb,1,1,,,\r", [2, 3], id="CR"),
        pytest.param(f"{HEADER}\r\n\r\na,1,1,,,\r\nb,1,1,,,\r\n", [3, 4], id="CRLF and blank"),
        pytest.param(f"{HEADER}\na,1,1,,,\n  \nb,1,1,,,\n\x1a", [2, 4], id="blanks and Ctrl-Z"),
        pytest.param(f"{HEADER}\na,1,1\nb,1,1,,,\n", [2, 3], id="ragged first"),
        pytest.param(f'"CLIENT_\nNO"{HEADER[9:]}\na,1,1,,,\n', [3], id="line break in the header"),
    ],
)
def test_row_is_the_line_in_the_source(content: str, lines: list[int]) -> None:
    assert read(content).table["_row"].tolist() == lines


def test_unknown_columns_are_left_out_and_told_ignored_ones_are_not_read() -> None:
    content = PLAIN.replace("NOTE", "NOTE,Favourite,STAFF,").replace("first", "first,red,me,")
    outcome = read(content.replace('words"', 'words",,,').replace("1000,5,,,", "1000,5,,,,,,"))
    assert outcome.log["left_out"] == ["Favourite", "(no name, column 9)"]
    pd.testing.assert_frame_equal(outcome.table, read(PLAIN).table)


@pytest.mark.parametrize("header", ["client-no", " Client.No ", "CLIENTNO", "_client no_"])
def test_headers_match_without_case_and_punctuation_and_by_alias(header: str) -> None:
    outcome = read(PLAIN.replace("CLIENT_NO", header).replace("SPEND", "turn-over"))
    pd.testing.assert_frame_equal(outcome.table, read(PLAIN).table)
    assert outcome.log["renamed"] == {header: "CLIENT_NO", "turn-over": "SPEND"}


# --- dialects ----------------------------------------------------------------------------------


def respelt(delimiter: str, decimal: str = ".") -> str:
    """Write the plain file with another delimiter and decimal mark."""
    rows = list(csv.reader(io.StringIO(PLAIN)))
    rows[1:] = [
        [cell if i != 1 else cell.replace(".", decimal) for i, cell in enumerate(row)]
        for row in rows[1:]
    ]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


DIALECTS: Mapping[str, tuple[bytes, dict[str, str]]] = {
    "semicolon": (respelt(";").encode(), {"delimiter": ";"}),
    "tab": (respelt("\t").encode(), {"delimiter": "\t"}),
    "pipe": (respelt("|").encode(), {"delimiter": "|"}),
    "UTF-8 with BOM": (PLAIN.encode("utf-8-sig"), {}),
    "UTF-16": (PLAIN.encode("utf-16"), {"encoding": "utf-16"}),
    "UTF-16 LE": (b"\xff\xfe" + PLAIN.encode("utf-16-le"), {"encoding": "utf-16"}),
    "UTF-16 BE": (b"\xfe\xff" + PLAIN.encode("utf-16-be"), {"encoding": "utf-16"}),
    "CRLF": (PLAIN.replace("\n", "\r\n").encode(), {}),
    "CR": (PLAIN.replace("\n", "\r").encode(), {}),
    "all quoted": (
        pd.read_csv(io.StringIO(PLAIN), dtype=str)
        .to_csv(index=False, quoting=csv.QUOTE_ALL)
        .encode(),
        {},
    ),
    "decimal commas": (respelt(";", ",").encode(), {"delimiter": ";", "decimal": ","}),
    "decimal commas, tab": (respelt("\t", ",").encode(), {"delimiter": "\t", "decimal": ","}),
    "gzip": (gzip.compress(PLAIN.encode()), {"compression": "gzip"}),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_very_same_table(dialect: str) -> None:
    content, differs = DIALECTS[dialect]
    plain, outcome = read(PLAIN), read(content, name="misleading.txt")
    pd.testing.assert_frame_equal(outcome.table, plain.table)
    expected = {**plain.log, **differs, "sha256": hashlib.sha256(content).hexdigest()}
    assert outcome.log == expected


@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param(respelt("^"), {"delimiter": "^"}, id="delimiter"),
        pytest.param(respelt("\t"), {"delimiter": r"\t"}, id="tab by name"),
        pytest.param(respelt(",", ","), {"decimal": ","}, id="decimal"),
        pytest.param(PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}, id="UTF-16, no mark"),
        pytest.param(PLAIN.encode("cp037"), {"encoding": "cp037"}, id="EBCDIC"),
        pytest.param(PLAIN.encode("utf-8-sig"), {"encoding": "UTF8"}, id="said UTF-8"),
    ],
)
def test_options_are_used_as_they_are(content: str | bytes, options: dict[str, str]) -> None:
    pd.testing.assert_frame_equal(read(content, **options).table, read(PLAIN).table)


def test_latin_1_is_read_when_it_is_named() -> None:
    content = PLAIN.replace("first", "Zoë").encode("latin-1")
    assert read(content, encoding="latin-1").table.loc[0, "NOTE"] == "Zoë"


@pytest.mark.parametrize(
    ("cells", "decimal"),
    [
        (["12,5", "1.234,50", "3"], ","),
        (["1,234.5", "12"], "."),
        (["12,5", "1.234"], ","),
        (["1234,567"], ","),
        (["0,125"], ","),
        (["1", "2"], "."),
    ],
)
def test_the_numbers_tell_the_decimal_mark(cells: list[str], decimal: str) -> None:
    content = spend(*(f'"{cell}"' for cell in cells)).replace(",", ";")
    for cell in cells:
        content = content.replace(cell.replace(",", ";"), cell)
    assert read(content).log["decimal"] == decimal


# --- numbers, ids, flags -----------------------------------------------------------------------

READABLE = {
    "12": 12,
    " 12\t": 12,
    "+1": 1,
    "-1.5": -1.5,
    ".5": 0.5,
    "5.": 5,
    "1e3": 1000,
    "1E-2": 0.01,
    "1e-400": 0,
    "1e400": math.inf,
    "-inf": -math.inf,
    "Infinity": math.inf,
    "9" * 400: math.inf,
}
GAPS = ["", "  ", "\t", '""']
UNREADABLE = [
    "NULL", "NA", "nan", "-NaN", "nan(1)", "0x10", "1_000", "twelve", "True", "٣", "1 2", "1e",
    "1e 5", ".", "-", "--1", "1d5", "1f", "\u00a01", "12€", "#N/A", "infin", "1.2.3",
]  # fmt: skip


@pytest.mark.parametrize("cell", READABLE)
@pytest.mark.parametrize("other", ["1", "bad"], ids=["typed", "as text"])
def test_what_is_a_number(cell: str, other: str) -> None:
    outcome = read(spend(cell, other))
    assert outcome.table.loc[0, "SPEND"] == READABLE[cell]
    assert notes(outcome)[0] is None


@pytest.mark.parametrize("cell", GAPS)
def test_an_empty_cell_is_a_gap(cell: str) -> None:
    outcome = read(spend("1", cell))
    assert outcome.table["SPEND"].isna().tolist() == [False, True]
    assert notes(outcome) == [None, None]


@pytest.mark.parametrize("cell", [*UNREADABLE, "1,2,3", "1,234.5", "12,5"])
def test_what_is_no_number_is_a_gap_with_its_text_kept(cell: str) -> None:
    outcome = read(spend("1", f'"{cell}"', "2.5"))
    assert outcome.table["SPEND"].dtype == "float64"
    assert outcome.table["SPEND"].fillna(-1).tolist() == [1, -1, 2.5]
    assert notes(outcome) == [None, {"SPEND": cell}, None]


@pytest.mark.parametrize(("cell", "value"), [("1,5", 1.5), ("1.5", None), ("1.234,5", None)])
def test_a_decimal_comma_leaves_points_unreadable(cell: str, value: float | None) -> None:
    outcome = read(spend(f'"{cell}"', "3"), decimal=",")
    assert outcome.table["SPEND"].tolist()[1] == 3
    assert notes(outcome)[0] == (None if value else {"SPEND": cell})
    assert value is None or outcome.table.loc[0, "SPEND"] == value


CELL = st.one_of(
    st.sampled_from([*READABLE, *UNREADABLE, "", " ", "1,5", "1.5", "1,2,3"]),
    st.floats().map(repr),
    st.integers().map(str),
    st.text("0123456789.,eE+-_ \tinfatyNx\0", max_size=8),
    st.text(max_size=6),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=4), st.sampled_from(".,"))
def test_both_ways_of_reading_agree_on_every_cell(cells: list[str], decimal: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(
        [HEADER.split(","), *([i, cell, 1, cell, "", cell] for i, cell in enumerate(cells))]
    )
    content = text.getvalue().encode()
    options = {"decimal": decimal, "encoding": "utf-8"}
    whole = read(content, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_read_typed", lambda *_: None)
        pd.testing.assert_frame_equal(read(content, **options).table, whole.table)

    number = rf"[+-]?(([0-9]+([{decimal}][0-9]*)?|[{decimal}][0-9]+)([eE][+-]?[0-9]+)?"
    number += r"|(?i:inf|infinity))"
    for at, cell in enumerate(cells):
        value, plain = whole.table.loc[at, "SPEND"], cell.strip(" \t")
        if re.fullmatch(number, plain):
            assert value == float(plain.replace(",", "."))
        else:
            assert math.isnan(value)
            assert ("SPEND" in (notes(whole)[at] or {})) == bool(plain)
        assert (whole.table["NOTE"].isna()[at] and not cell) or whole.table.loc[at, "NOTE"] == cell


@pytest.mark.parametrize(
    ("cell", "value", "note"),
    [
        ("007", "007", None),
        (" 007 ", "007", None),
        ("", None, None),
        ("NA", None, "NA"),
        ("null", None, "null"),
        ("N/A", None, "N/A"),
        ("NATO", "NATO", None),
    ],
)
def test_ids_are_text(cell: str, value: str | None, note: str | None) -> None:
    outcome = read(f"{HEADER}\n{cell},1,1,,,\n")
    assert outcome.table["CLIENT_NO"].fillna("-").tolist() == [value or "-"]
    assert notes(outcome) == [{"CLIENT_NO": note} if note else None]


@pytest.mark.parametrize(
    ("cell", "value"),
    [(cell, True) for cell in ("yes", "TRUE", "1", "Y", " t ")]
    + [(cell, False) for cell in ("no", "False", "0", "N", "f")]
    + [(cell, None) for cell in ("", " ", "maybe", "2", "yess", "NULL")],
)
def test_a_flag_is_yes_no_or_unreadable(cell: str, value: bool | None) -> None:
    outcome = read(f"{HEADER}\na,1,1,,{cell},\n")
    assert outcome.table["MEMBER"].tolist() == [pd.NA if value is None else value]
    unreadable = value is None and cell.strip()
    assert notes(outcome) == [{"MEMBER": cell} if unreadable else None]


def test_category_and_text_are_as_they_stand() -> None:
    table = read(f'{HEADER}\na,1,1,NULL,," x "\n').table
    assert table.loc[0, ["TIER", "NOTE"]].tolist() == ["NULL", " x "]


@pytest.mark.parametrize("source", ["TIER", "MEMBER"])
def test_a_category_or_flag_where_a_number_belongs_is_unreadable_throughout(source: str) -> None:
    table = pd.DataFrame({"TIER": ["gold", "silver"], "MEMBER": [True, False]})
    filled = {"CLIENT_NO": ["a", "b"], "VISITS": [1, 2], "NOTE": None, "SPEND": table[source]}
    text = table.assign(**filled).to_csv(index=False)
    binary = io.BytesIO()
    table.assign(**filled).astype({"TIER": "category"}).to_parquet(binary)
    for content in (text, binary.getvalue()):
        outcome = read(content)
        assert outcome.table["SPEND"].dtype == "float64"
        assert outcome.table["SPEND"].isna().all()
        assert notes(outcome) == [{"SPEND": str(cell)} for cell in table[source]]


def test_a_cell_of_a_million_characters_is_read() -> None:
    long = "x" * 5_000_000
    outcome = read(f"{HEADER}\na,{long},1,,,{long}\nb,2,1,,,\n")
    assert outcome.table["NOTE"].str.len().tolist()[0] == len(long)
    assert notes(outcome) == [{"SPEND": "x" * 60 + "…"}, None]
    assert outcome.table["SPEND"].tolist()[1] == 2


def test_ragged_rows_keep_their_place_and_say_what_is_wrong() -> None:
    outcome = read(f"{HEADER}\na,1,1,,,\nb,1,1,,,,9\n\nc\nd,x,1,,,\n")
    assert outcome.table["_row"].tolist() == [2, 3, 5, 6]
    assert notes(outcome) == [
        None,
        {"*": "7 cells where 6 belong"},
        {"*": "1 cell where 6 belong"},
        {"SPEND": "x"},
    ]
    assert outcome.table.loc[1:2].drop(columns=["_row", "_unreadable"]).isna().all(axis=None)
    assert outcome.log["rows"] == 4


# --- objections --------------------------------------------------------------------------------


def test_who_objects_leaves_and_so_does_every_row_with_that_id() -> None:
    outcome = read(
        "CLIENT_NO,SPEND,TIER,OPT_OUT,NO_MAIL\n"
        "a,1,gold,no,0\nSECRET1,2,x,YES,no\nSECRET2,oops,x,,no\nSECRET3,4,x,perhaps,no\n"
        "b,5,gold,OFF,f\n SECRET1,6,x,no,no\nSECRET4,7,x,no,true\nc,bad,gold,false,n\n",
        OPEN,
    )
    assert outcome.table["CLIENT_NO"].tolist() == ["a", "b", "c"]
    assert outcome.table["_row"].tolist() == [2, 6, 9]
    assert notes(outcome) == [None, None, {"SPEND": "bad"}]
    assert (outcome.log["rows"], outcome.log["objected"]) == (8, 5)
    assert list(outcome.table.columns) == ["CLIENT_NO", "SPEND", "TIER", "_row", "_unreadable"]
    assert not re.search("SECRET|oops|perhaps", outcome.table.to_csv() + json.dumps(outcome.log))


def test_of_who_objects_a_hash_is_learned_and_nothing_else() -> None:
    content = (
        "CLIENT_NO,SPEND,TIER,OPT_OUT,NO_MAIL\n"
        "a,1,gold,no,0\nSECRET1,2,x,YES,no\nGONE,2,x,no,no\n,3,x,yes,no\nSECRET2,4,x,no,1\n"
        "SECRET1,5,x,no,no\n"
    )
    fetched = Fetched(content.encode(), "", "shop.csv")

    def learned(contract: Contract, hash_of: Callable[[str], str] | None) -> Mapping[str, Any]:
        def is_gone(ids: np.ndarray) -> np.ndarray:
            return np.asarray(ids == "GONE")

        return read_customers(fetched, contract, SourceOptions(), is_gone, hash_of).learned

    found = learned(OPEN, lambda one: f"#{one[-1]}")
    assert list(found) == ["objections.parquet"]
    assert found["objections.parquet"].to_dict("list") == {"hash": ["#1", "#2"]}
    assert learned(OPEN, None) == {}
    nobody = content.replace("YES", "no").replace(",yes,", ",no,").replace(",1\n", ",0\n")
    fetched = Fetched(nobody.encode(), "", "shop.csv")
    assert learned(OPEN, str)["objections.parquet"].to_dict("list") == {"hash": []}
    closed = OPEN.model_copy(
        update={"columns": {n: c for n, c in OPEN.columns.items() if n not in OPEN.objections}}
    )
    assert learned(closed, str) == {}


def test_an_objecting_row_without_an_id_takes_no_other_along() -> None:
    header = "CLIENT_NO,SPEND,TIER,OPT_OUT,NO_MAIL\n"
    outcome = read(f"{header},1,,yes,no\n,2,,no,no\nNA,3,,yes,no\nNA,4,,no,no\n", OPEN)
    assert outcome.table["SPEND"].tolist() == [2, 4]


def test_objecting_rows_do_not_decide_the_decimal_mark_nor_appear_in_messages() -> None:
    header = "CLIENT_NO;SPEND;TIER;OPT_OUT;NO_MAIL\n"
    outcome = read(f"{header}a;1,5;;no;no\nSECRET;66.6;;yes;no\n", OPEN)
    assert outcome.log["decimal"] == ","
    assert outcome.table["SPEND"].tolist() == [1.5]
    with pytest.raises(InputError) as caught:
        read(f"{header}a;1,5;;no;no\nb;1.5;;no;no\nSECRET;66.6;;yes;no\n", OPEN)
    assert not re.search("SECRET|66", str(caught.value))


@pytest.mark.parametrize("flag", [[True, False, None], [1, 0, None], [1.0, 0.0, None]])
def test_objections_in_parquet(flag: list[Any]) -> None:
    columns = {"CLIENT_NO": [1, 2, 3], "SPEND": [1, 2, 3], "TIER": ["x"] * 3}
    outcome = read(parquet(**columns, OPT_OUT=flag, NO_MAIL=[False] * 3), OPEN)
    assert outcome.table["CLIENT_NO"].tolist() == ["2"]
    assert outcome.log["objected"] == 2


def test_ragged_rows_are_broken_and_not_objecting() -> None:
    outcome = read("CLIENT_NO,SPEND,TIER,OPT_OUT,NO_MAIL\na,1,,no,no\nb,1,,no\n", OPEN)
    assert notes(outcome) == [None, {"*": "4 cells where 5 belong"}]
    assert outcome.log["objected"] == 0


# --- Parquet -----------------------------------------------------------------------------------


def test_parquet_gives_the_types_of_the_contract() -> None:
    content = shop_parquet(
        CLIENT_NO=[7, 8],
        SPEND=pa.array([Decimal("1.50"), None]),
        VISITS=pa.array([1, 2], pa.uint8()),
        TIER=pa.array(["gold", None]).dictionary_encode(),
        OTHER=[[1], [2]],
        __index_level_0__=[4, 5],
    )
    outcome = read(content)
    table = outcome.table
    assert table["CLIENT_NO"].tolist() == ["7", "8"]
    assert table["SPEND"].fillna(-1).tolist() == [1.5, -1]
    assert table["VISITS"].tolist() == [1, 2]
    assert table["TIER"].fillna("-").tolist() == ["gold", "-"]
    assert table["MEMBER"].tolist() == [True, pd.NA]
    assert table["NOTE"].fillna("-").tolist() == ["-", "x"]
    assert table["_row"].tolist() == [1, 2]
    assert table.dtypes.equals(read(PLAIN).table.dtypes)
    assert outcome.log["left_out"] == ["OTHER"]
    assert outcome.log["format"] == "parquet"
    assert outcome.log["delimiter"] == outcome.log["decimal"] == outcome.log["encoding"] == ""


@pytest.mark.parametrize(
    ("column", "values", "unreadable"),
    [
        pytest.param([math.nan, 1.0], [-1, 1], [None, None], id="NaN is a gap"),
        pytest.param(["1.5", " "], [1.5, -1], [None, None], id="text"),
        pytest.param(["1.5", "NULL"], [1.5, -1], [None, "NULL"], id="text that is no number"),
        pytest.param([b"1.5", b"x"], [1.5, -1], [None, "x"], id="bytes"),
        pytest.param([b"1.5", b"\xff"], [1.5, -1], [None, r"\xff"], id="bytes, not UTF-8"),
        pytest.param([True, None], [-1, -1], ["True", None], id="booleans"),
        pytest.param(
            [pd.Timestamp("2026-03-01"), None],
            [-1, -1],
            ["2026-03-01 00:00:00", None],
            id="timestamps",
        ),
        pytest.param([[1, 2], None], [-1, -1], ["[1, 2]", None], id="lists"),
        pytest.param([None, None], [-1, -1], [None, None], id="nothing"),
        pytest.param([2**60, 1], [2**60, 1], [None, None], id="large integers"),
        pytest.param([math.inf, 1.0], [math.inf, 1], [None, None], id="infinite"),
    ],
)
def test_a_number_column_of_parquet(
    column: list[Any], values: list[float], unreadable: list[str | None]
) -> None:
    outcome = read(shop_parquet(SPEND=column))
    assert outcome.table["SPEND"].fillna(-1).tolist() == values
    assert notes(outcome) == [{"SPEND": text} if text else None for text in unreadable]


def test_ids_that_pandas_made_floats_become_whole_numbers_again() -> None:
    table = read(shop_parquet(CLIENT_NO=[10001.0, math.nan])).table
    assert table["CLIENT_NO"].fillna("-").tolist() == ["10001", "-"]


# --- what is refused ---------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)
RUBBISH = hashlib.shake_128(b"seed").digest(5000)


def zipped() -> bytes:
    """Write what begins as an Excel file does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


HEADERS_NEXT = " Correct the headers of the file, or the columns and aliases of contract shop."
REFUSED: Mapping[str, tuple[str | bytes, dict[str, str], str]] = {
    "empty": ("", {}, "the file is empty (0 bytes). Export it again."),
    "blank": ("\n \n", {}, "the file holds blank lines only. Export it again."),
    "header only": (HEADER, {}, "a header and no customers. Export it again, with its rows."),
    "header, blank": (HEADER + "\n\n \n", {}, "a header and no customers. Export it again"),
    "Parquet without rows": (
        shop_parquet(**{c: pa.array([], pa.string()) for c in HEADER.split(",")}),
        {},
        "a header and no customers. Export it again",
    ),
    "cut gzip": (
        gzip.compress(PLAIN.encode())[:-12],
        {},
        "the gzip file is cut off. Copy it again, or export it anew.",
    ),
    "damaged gzip": (
        damaged(gzip.compress(PLAIN.encode())),
        {},
        "the gzip file is damaged. Copy it again, or export it anew.",
    ),
    "cut Parquet": (
        shop_parquet()[:-30],
        {},
        "the Parquet file is cut off or damaged. Copy it again, or export it anew.",
    ),
    "damaged Parquet": (
        b"PAR1" + b"\xff" * 40 + shop_parquet()[44:],
        {},
        "the Parquet file is cut off or damaged. Copy it again",
    ),
    "binary": (
        RUBBISH,
        {},
        "the file is binary and no format that is read here. Export the customers as CSV, CSV.gz",
    ),
    "picture": (PNG, {}, "this is a PNG picture, not a table. Export the customers as CSV or"),
    "Excel": (zipped(), {}, "this is an Excel or zip file, not a table. Export the customers as"),
    "web page": ("<!DOCTYPE html><html>", {}, "this is a web page, not a table. Export the"),
    "missing": (
        PLAIN.replace("SPEND", "COLOUR").replace("VISITS", "SIZE"),
        {},
        "2 of 6 columns missing: SPEND (no header like it), VISITS (no header like it)."
        + HEADERS_NEXT,
    ),
    "misspelt": (
        PLAIN.replace("SPEND", "Spemd").replace("VISITS", "VISIT"),
        {},
        "2 of 6 columns missing: SPEND (closest header: 'Spemd'), "
        "VISITS (closest header: 'VISIT')." + HEADERS_NEXT,
    ),
    "doubled": (
        PLAIN.replace("NOTE", "NOTE,Turn over").replace("TIER", "tier").replace("VISITS", "Tier"),
        {},
        "Doubled: SPEND (as 'SPEND' and 'Turn over'), TIER (as 'Tier' and 'tier'). "
        "1 of 6 columns missing: VISITS (no header like it)." + HEADERS_NEXT,
    ),
    "doubled in Parquet": (
        shop_parquet(spend=[1, 2]),
        {},
        "Doubled: SPEND (as 'SPEND' and 'spend')." + HEADERS_NEXT,
    ),
    "another table": (
        "day,city\n1,Rome\n",
        {},
        "not the table of contract shop. None of its 6 columns (CLIENT_NO, SPEND, VISITS, TIER, "
        "...) is among the headers. Give another file, add the missing header line, or name the "
        "character between cells with --delimiter.",
    ),
    "no delimiter": (
        respelt("^"),
        {},
        "the first line is one cell, and no column of contract shop. Name the character between "
        "cells with --delimiter, for example --delimiter '^', or give another file.",
    ),
    "wrong delimiter": (PLAIN, {"delimiter": ";"}, "not the table of contract shop. None of its 6"),
    "long delimiter": (PLAIN, {"delimiter": ";;"}, "--delimiter ';;': give one character, for"),
    "odd decimal": (PLAIN, {"decimal": "x"}, "--decimal 'x': give . or , or leave it out."),
    "mixed decimals": (
        respelt(";", ",") + "010;7.5;1;;;\n",
        {},
        "some numbers have a decimal comma and others a decimal point. Name the decimal mark: "
        "--decimal , or --decimal .",
    ),
    "thousands or decimals": (
        spend("1.234", "5").replace(",", ";"),
        {},
        "numbers such as 1,234 or 1.234 may be thousands or have a fraction. Name the decimal",
    ),
    "Latin-1": (
        PLAIN.replace("words", "wörds").encode("latin-1"),
        {},
        "line 3 is not UTF-8. Name the file's encoding with --encoding, for example "
        "--encoding latin-1 or --encoding cp1252.",
    ),
    "UTF-16 LE without mark": (
        PLAIN.encode("utf-16-le"),
        {},
        "this looks like UTF-16 without a byte order mark. Say so with --encoding utf-16-le.",
    ),
    "UTF-16 BE without mark": (PLAIN.encode("utf-16-be"), {}, "Say so with --encoding utf-16-be."),
    "cut UTF-16": (
        PLAIN.encode("utf-16")[:-1],
        {},
        "the file is damaged, or not written in utf-16. Copy it again, or name its encoding with",
    ),
    "unknown encoding": (
        PLAIN,
        {"encoding": "latin-99"},
        "--encoding latin-99: no such encoding. Give one such as utf-8, latin-1, cp1252 or",
    ),
    "no text encoding": (PLAIN, {"encoding": "hex"}, "--encoding hex: no such encoding."),
    "unclosed quote": (
        PLAIN.replace("first", '"first').replace('"two, words"', "two"),
        {},
        "a quoted cell that begins on line 2, or shortly after, never ends, and takes the rest of "
        "the file with it. Close or remove that quote, or copy the file again",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_gives_no_table_is_refused_with_a_remedy(case: str) -> None:
    content, options, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        read(content, **options)
    assert message in str(caught.value)
    assert str(caught.value).startswith("--" if message.startswith("--") else "shop.csv: ")


def test_a_first_line_that_is_a_customer_is_not_quoted() -> None:
    with pytest.raises(InputError) as caught:
        read("\n".join(PLAIN.splitlines()[1:]))
    assert "add the missing header line" in str(caught.value)
    assert not re.search("007|gold|first", str(caught.value))


def test_all_objecting_is_refused_with_the_words_that_mean_no() -> None:
    message = (
        "shop.csv: all 2 rows count as objecting by OPT_OUT and NO_MAIL, so nobody is left. A "
        "customer who does not object has one of no, false, 0, n, f, off, 0.0 there."
    )
    with pytest.raises(InputError, match=re.escape(message)):
        read("CLIENT_NO,SPEND,TIER,OPT_OUT,NO_MAIL\na,1,,nein,no\nb,1,,nein,no\n", OPEN)


# --- fetching ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a customer file and others."""
    for name in ("customers 03.csv", "customers 04.csv", "notes.txt"):
        (tmp_path / name).write_text(PLAIN)
    return tmp_path


def test_month_is_filled_in_and_other_braces_are_refused() -> None:
    assert resolve_uri("s3://b/{month}/c-{month}.csv", MONTH) == "s3://b/2026-03/c-2026-03.csv"
    for uri in ("s3://u:secret@b/{moth}.csv?k=secret", "b/{month.csv", "b/{}.csv", "b/}.csv"):
        with pytest.raises(InputError, match=r"only {month} can be filled in\. Remove") as caught:
            resolve_uri(uri, MONTH)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("data/a@b?c#d.csv", "data/a@b?c#d.csv"),
        ("https://host/a.csv?token=secret#secret", "https://host/a.csv"),
        ("https://user:secret@host:80/a@b.csv", "https://b.csv"),
        ("https://user:secret@host:80/a.csv", "https://host:80/a.csv"),
        ("https://secret@host/a.csv", "https://host/a.csv"),
        ("https://host:443/a@b.csv", "https://host:443/a@b.csv"),
        ("https://user:se/cret?s#c@host/a.csv", "https://host/a.csv"),
        ("s3://bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("simplecache::ftp://user:secret@host/a.csv", "simplecache::ftp://host/a.csv"),
    ],
)
def test_public_uri_has_no_secrets(uri: str, public: str) -> None:
    assert public_uri(uri) == public


def test_local_files_and_urls_give_the_same_bytes(folder: Path) -> None:
    path = folder / "customers 03.csv"
    with fsspec.open("memory://here/a.csv?x=secret", "wb") as file:
        file.write(PLAIN.encode())
    uris = (str(path), f"file://{path}", path.as_uri(), "memory://here/a.csv?x=secret")
    for uri in uris:
        fetched = fetch(uri)
        assert fetched.content[:] == PLAIN.encode()
        assert fetched.sha256 == hashlib.sha256(PLAIN.encode()).hexdigest()
        assert "secret" not in fetched.name
        table = read_customers(fetched, SHOP, SourceOptions()).table
        pd.testing.assert_frame_equal(table, read(PLAIN).table)


def test_a_made_table_is_handed_on_as_if_fetched() -> None:
    made = pd.DataFrame({column: ["1", "0"] for column in HEADER.split(",")})
    fetched = ingestion.fetched_table(made, "sample")
    outcome = read_customers(fetched, SHOP, SourceOptions())
    assert outcome.table["SPEND"].tolist() == [1, 0]
    assert (fetched.name, outcome.log["rows"]) == ("sample", 2)


def test_an_empty_local_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(InputError, match=r"a\.csv: the file is empty"):
        read_customers(fetch(str(tmp_path / "a.csv")), SHOP, SourceOptions())


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "{folder}/customer 03.csv",
            "no such file. Closest there: customers 03.csv, customers 04.csv. Correct --source.",
        ),
        ("{folder}/zzz", "no such file. Correct --source."),
        ("{folder}/none/a.csv", "no such file. Correct --source."),
        ("{folder}", "this is a folder. Give one file in it."),
        ("{folder}/notes.txt/a.csv", "no such file, and part of its path is no folder. Correct"),
        ("{folder}/pipe", "this is a device or a pipe. Give a file."),
        ("{folder}/" + "x" * 300, "not a usable path. Correct --source."),
        ("a\0b", "not a usable path. Correct --source."),
        (
            "memory://box/custmers.csv?k=secret",
            "memory://box/custmers.csv: no such file. Closest there: customers.csv. Correct",
        ),
        ("memory://box", "this is a folder. Give one file in it."),
        ("nope://u:secret@h/a.csv", "nope://h/a.csv: unknown protocol nope://. Give a path, or a"),
        ("zip://a.csv::nope://u:secret@h/b.zip", "unknown protocol nope://. Give a path, or a URL"),
    ],
)
def test_a_source_that_cannot_be_fetched_is_refused(folder: Path, uri: str, message: str) -> None:
    os.mkfifo(folder / "pipe")
    with fsspec.open("memory://box/customers.csv", "wb") as file:
        file.write(b"x")
    with pytest.raises(InputError) as caught:
        fetch(uri.format(folder=folder))
    assert message in str(caught.value)
    assert str(caught.value).startswith("source ")
    assert "secret" not in str(caught.value)


class Refused(Exception):
    """What an HTTP client raises."""

    status = 403


@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [
        (PermissionError("secret"), InputError, "reading is not allowed. Grant access to the"),
        (Refused("secret"), InputError, "reading is not allowed. Grant access to the account"),
        (
            TimeoutError("https://u:secret@host"),
            OutsideError,
            "loading failed (TimeoutError). See to the network, the server and the credentials",
        ),
        (ConnectionError("secret"), OutsideError, "loading failed (ConnectionError)."),
        (RuntimeError("secret"), OutsideError, "loading failed (RuntimeError)."),
    ],
)
def test_trouble_on_the_way_never_quotes_a_secret(
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    error: type[Exception],
    message: str,
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", fail)
    with pytest.raises(error) as caught:
        fetch("memory://u:secret@host/a.csv?k=secret")
    assert f"source memory://host/a.csv: {message}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.get_filesystem_class", missing)
    message = (
        r"source s3://b/a.csv: s3:// needs a driver that is not installed \(Install s3fs to access "
        r"S3\). Install it, or copy the file to this machine."
    )
    with pytest.raises(InputError, match=message):
        fetch("s3://u:secret@b/a.csv")


@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [
        (PermissionError(13, "no"), InputError, "reading is not allowed. Grant access to the"),
        (OSError(5, "no"), OutsideError, r"reading failed \(Input/output error\). See to the disk"),
    ],
)
def test_a_local_file_that_cannot_be_read(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    error: type[Exception],
    message: str,
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(error, match=message):
        fetch(str(folder / "notes.txt"))


# --- the reference table -----------------------------------------------------------------------


@pytest.mark.skipif("CCDATA_CSV" not in os.environ, reason="CCDATA_CSV is not set")
def test_the_reference_table_is_read_by_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the fast path refused a clean table")

    monkeypatch.setattr(delimited, "_read_text", never)
    outcome = read_customers(
        fetch(os.environ["CCDATA_CSV"]), load_contract("ccdata"), SourceOptions()
    )
    nulls = outcome.table.drop(columns="_unreadable").isna().sum()
    assert len(outcome.table) == outcome.log["rows"] == 8950
    assert nulls[nulls > 0].to_dict() == {"CREDIT_LIMIT": 1, "MINIMUM_PAYMENTS": 313}
    assert outcome.table["_row"].tolist() == list(range(2, 8952))
    assert outcome.table["_unreadable"].isna().all()


@pytest.mark.skipif("CCDATA_CSV" not in os.environ, reason="CCDATA_CSV is not set")
@pytest.mark.parametrize("write", ["parquet", "semicolon", "utf-16", "gzip"])
def test_the_reference_table_is_the_same_in_every_form(tmp_path: Path, write: str) -> None:
    table = pd.read_csv(os.environ["CCDATA_CSV"])
    path = tmp_path / "table"
    writers: Mapping[str, Callable[[], Any]] = {
        "parquet": lambda: table.to_parquet(path),
        "semicolon": lambda: table.to_csv(path, sep=";", decimal=",", index=False),
        "utf-16": lambda: table.to_csv(path, encoding="utf-16", index=False),
        "gzip": lambda: table.to_csv(path, compression="gzip", index=False),
    }
    writers[write]()
    contract, options = load_contract("ccdata"), SourceOptions()
    plain = read_customers(fetch(os.environ["CCDATA_CSV"]), contract, options).table
    other = read_customers(fetch(str(path)), contract, options).table
    columns = plain.columns.drop("_row")
    pd.testing.assert_frame_equal(other[columns], plain[columns])

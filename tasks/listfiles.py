"""Campaign lists as files: CSV for people and their programs, Parquet for what must be exact."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks import keeping

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # without it Excel reads every letter beyond ASCII wrongly
TOLD, READ_ME = "export.json", "README.txt"
ENTERED_LIST, LEFT_LIST, ERASED_LIST = "entered", "left", "erased"
# What a spreadsheet runs as a formula, also after blanks and marks that nobody sees, and in the
# full-width forms (OWASP, CSV Injection).
FORMULA = r"\A(?:[\t\r\n]|[\s\p{Z}\p{C}]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}])"


def write_list(folder: Path, name: str, rows: pd.DataFrame, schema: pa.Schema) -> None:
    """Write `name.parquet` and `name.csv`, and flush both to the disk."""
    from pyarrow import csv, parquet

    table = pa.Table.from_pandas(rows, preserve_index=False).select(schema.names).cast(schema)
    _write(folder / f"{name}.parquet", lambda file: parquet.write_table(table, file))

    def write_text(file: BinaryIO) -> None:
        file.write(BYTE_ORDER_MARK)
        csv.write_csv(harmless(table), file)

    _write(folder / f"{name}.csv", write_text)


def staged_at(folder: Path, export_id: int) -> Path:
    """The folder beside, of this export alone: another under way has its own."""
    return folder.with_name(f".{folder.name}.{export_id}.unfinished")


def put_in_place(staged: Path, folder: Path) -> None:
    """Rename the folder, for good; another process may have done so."""
    with keeping.outside(f"{folder}", "and run the command again"):
        if staged.exists() or not folder.exists():
            staged.rename(folder)
        flush(folder.parent)


def flush(folder: Path) -> None:
    """Write a folder's entries to the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove(staged: Path) -> None:
    """Delete what a killed export has staged."""
    with keeping.outside(f"{staged}", "and run the command again"):
        if staged.exists():
            shutil.rmtree(staged)


def holds(folder: Path, told: Mapping[str, Any]) -> bool:
    """Whether a folder is that of the export that was told like this."""
    try:
        return bool(json.loads((folder / TOLD).read_text()) == told)
    except (OSError, ValueError):
        return False


def harmless(table: pa.Table) -> pa.Table:
    """The same with an apostrophe before each text that a spreadsheet would run as a formula."""
    return pa.table(
        {
            name: _harmless(table[name]) if pa.types.is_string(table[name].type) else table[name]
            for name in table.column_names
        }
    )


def _harmless(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    is_formula = pc.match_substring_regex(texts, FORMULA)
    if not pc.any(is_formula, min_count=0).as_py():
        return texts
    return pc.if_else(is_formula, pc.binary_join_element_wise("'", texts, ""), texts)


def _write(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def explained(told: Mapping[str, Any]) -> str:
    """What whoever gets the lists needs to know, in words."""
    files = "\n".join(
        f"{one['segment_id']}  everybody in {one['segment']}: {one['customers']:,} customers"
        for one in told["segments"]
    )
    return f"""Campaign lists for {told["destination"]}, number {told["number"]}
Month {told["month"]}, campaign {told["campaign"]}

FILES (each as .csv and as .parquet)
{files}
entered  customers who are new in a segment
left  customers who are in a segment no more
erased  customers to be deleted, from every segment and from whatever else you keep of them

HOW TO APPLY
{_how_to_apply(told)}
A customer who moved is in `left` with the old segment and in `entered` with the new one. Tell
segments by segment_id: what they are called may change.

COLUMNS
confidence  how surely a fit on other customers would say the same (0 to 1)
runner_up  the segment that comes next
previous_segment  the segment of the month before
status  entered: new to you in this segment; stayed: you had it so; not assessed: this month's data
  of the customer could not be used, and the segment is the last that is known
cause  of a move: behaviour, boundary, refit or correction
next_product  what customers like this one use
control  true: do not contact, and compare with afterwards. Drawn anew for each campaign, so take
  it from the whole lists.

CSV is UTF-8 with a byte order mark, with commas and a point for decimals. A text that a spreadsheet
would run as a formula has an apostrophe before it; Parquet has it as it is.
These are customers' data: delete this folder once it is applied.
"""


def _how_to_apply(told: Mapping[str, Any]) -> str:
    whole = (
        "put the lists of all segments in place of everything you have of earlier exports, and "
        "delete who is in `erased`."
    )
    if told["kind"] == "whole":
        return f"This export is whole: {whole}"
    return f"""Either the whole: {whole}
Or the changes, if number {told["follows"]} is what you applied last:
  1. delete every customer of `erased`;
  2. take each customer of `left` out of the segment that stands there;
  3. put each customer of `entered` into the segment that stands there."""

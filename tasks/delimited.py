"""Delimited text as a table of cells, each row with its line number.

A file is read twice at most: as typed columns where every cell is what it should be, else as
text, so that each unreadable cell is kept with what stood there. Both give the same table.
"""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow

from expectations.errors import InputError
from tasks.cells import BLANKS, decimal_marks
from tasks.dialects import CHUNK, HEAD, Content, Header

RAGGED = "*"
BLOCK = 1 << 22
LARGEST_BLOCK = (1 << 31) - 1
END = "\0end\0"


class Delimited(NamedTuple):
    """The data part of a delimited file, and where the wanted columns stand in it."""

    content: Content
    header: Header
    positions: Mapping[str, int]
    numeric: tuple[str, ...]
    name: str


def read_delimited(source: Delimited, decimal: str) -> tuple[pa.Table, bool]:
    """Read the wanted columns, `_row` (line number) and `*` (what is wrong with a ragged row).

    The numeric columns are float64 where `decimal` is known and every cell is a number, and all
    columns are text otherwise; whether they are typed is told.
    """
    table = _read_typed(source, decimal) if decimal else None
    if table is not None:
        lines = _lines(source, table.num_rows)
        nothing = pa.nulls(table.num_rows, pa.string())
        return table.append_column("_row", pa.array(lines)).append_column(RAGGED, nothing), True
    return _read_text(source), False


def guess_decimal(source: Delimited) -> str:
    """Tell the decimal mark from the first rows, or give "" where they do not tell."""
    start = source.header.start
    head = source.content[start : start + HEAD]
    if start + HEAD < len(source.content):
        head = head[: head.rfind(b"\n") + 1]
    header = source.header._replace(start=0)
    try:
        table = _read_text(source._replace(content=head, header=header), numbered=False)
    except InputError:
        return ""
    marks, _ = decimal_marks(table.select(source.numeric))
    return marks.pop() if len(marks) == 1 else ""


def _read_typed(source: Delimited, decimal: str) -> pa.Table | None:
    try:
        table = _parse(source, BLOCK, decimal)
    except pa.ArrowInvalid:
        return None
    # pyarrow takes "nan" for a number.
    lax = any(pc.any(pc.is_nan(table[column])).as_py() for column in source.numeric)
    return None if lax else table


def _read_text(source: Delimited, numbered: bool = True) -> pa.Table:
    table, ragged = _split(source)
    records = table.num_rows + len(ragged)
    lines = _lines(source, records) if numbered else np.arange(records)
    table = table.append_column("_row", pa.array(np.delete(lines, list(ragged))))
    broken = pa.table(
        {
            "_row": [lines[at] for at, problem in ragged.items() if problem],
            RAGGED: [problem for problem in ragged.values() if problem],
        },
        pa.schema({"_row": pa.int64(), RAGGED: pa.string()}),
    )
    whole = pa.concat_tables([table, broken], promote_options="default")
    return whole.sort_by("_row") if broken.num_rows else whole


def _split(source: Delimited) -> tuple[pa.Table, dict[int, str]]:
    """Split into text cells; a row of another length is told by its place, "" if it is blank."""
    for block in (BLOCK, LARGEST_BLOCK):  # the second for a row longer than the first
        ragged: dict[int, str] = {}

        def note(row: arrow.InvalidRow, ragged: dict[int, str] = ragged) -> str:
            cells = f"{row.actual_columns} cell{'' if row.actual_columns == 1 else 's'}"
            blank = not row.text.strip(BLANKS + "\x1a")  # the latter ends a file of DOS
            ragged[row.number - 1] = "" if blank else f"{cells} where {row.expected_columns} belong"
            return "skip"

        with suppress(pa.ArrowInvalid):
            return _parse(source, block, note=note), ragged
    raise InputError(
        f"{source.name}: the rows cannot be told apart. Export the table again as CSV with "
        "one customer per line, or as Parquet."
    )


def _parse(
    source: Delimited,
    block: int,
    decimal: str = "",
    note: Callable[[arrow.InvalidRow], str] | None = None,
) -> pa.Table:
    """Split into cells: numbers as float64 if a decimal mark is given, else all as text."""
    numeric = source.numeric if decimal else ()
    types = {
        str(place): pa.float64() if column in numeric else pa.string()
        for column, place in source.positions.items()
    }
    data = pa.py_buffer(source.content).slice(source.header.start)
    table = arrow.read_csv(
        data,
        arrow.ReadOptions(
            column_names=[str(place) for place in range(len(source.header.cells))],
            block_size=block,
            use_threads=note is None,  # rows are numbered for `note` by one thread only
        ),
        arrow.ParseOptions(
            delimiter=source.header.delimiter,
            newlines_in_values=source.content.find(b'"', source.header.start) >= 0,
            invalid_row_handler=note,
        ),
        arrow.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[""],
            strings_can_be_null=True,
            decimal_point=decimal or ".",
            check_utf8=False,  # the whole file was checked
        ),
    )
    return table.rename_columns(list(source.positions))


def _lines(source: Delimited, records: int) -> np.ndarray:
    """Give the line on which each record begins; blank lines and quoted line breaks count."""
    content, start = source.content, source.header.start
    data = np.frombuffer(content, np.uint8)[start:]
    feeds = sum(
        np.count_nonzero(data[at : at + CHUNK] == ord("\n")) for at in range(0, len(data), CHUNK)
    )
    feeds += data[-1] != ord("\n")
    returns = content.find(b"\r", start) >= 0 and re.compile(rb"\r(?!\n)").search(content, start)
    if feeds == records and not returns:  # as many lines as records: one line each
        return np.arange(source.header.line, source.header.line + records)
    lines = _scan_lines(source)
    # Where quotes stand in odd places the two readers may differ, and the numbers be near.
    return lines if len(lines) == records else np.arange(records) + source.header.line


def _scan_lines(source: Delimited) -> np.ndarray:
    text = io.TextIOWrapper(io.BytesIO(source.content[source.header.start :]), "utf-8", newline="")
    lines, at, cells = [], source.header.line, []
    with _cells_of_any_length():
        reader = csv.reader(chain(text, ["\n", END]), delimiter=source.header.delimiter)
        for cells in reader:
            if cells:
                lines.append(at)
            at = source.header.line + reader.line_num
    if cells != [END]:
        raise InputError(
            f"{source.name}: a quoted cell that begins on line {lines[-1]}, or shortly after, "
            "never ends, and takes the rest of the file with it. Close or remove that quote, or "
            "copy the file again if it was cut off."
        )
    return np.array(lines[:-1], np.int64)


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)

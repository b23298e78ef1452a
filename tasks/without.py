"""A file without the rows of some customers."""

import csv
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from expectations.errors import OutsideError
from expectations.rules import UNREADABLE
from tasks import keeping

TRACES = "errors"  # the folder of tracebacks
ERASED_TRACE = "The traceback named a customer who was forgotten, and was erased.\n"
DELIMITERS = ",;\t|"


class Left(NamedTuple):
    """What is left of a file, as `keeping.keep` takes it, and the rows that are gone."""

    content: Any
    gone: pd.DataFrame
    found: frozenset[str]


def without(path: Path, customers: Collection[str], columns: Collection[str]) -> Left | None:
    """A file without some customers; None where none of them is in it.

    Parameters
    ----------
    path : Path
        Parquet or CSV, or the traceback of an error; nothing else holds customers.
    customers : collection of str
        Their ids, compared letter by letter.
    columns : collection of str
        Names that the id's column may have.
    """
    wanted = frozenset(customers)
    if path.suffix == ".parquet":
        return _table_without(path, wanted, columns)
    if path.suffix == ".csv":
        return _text_without(path.read_bytes(), wanted, columns)
    if path.parent.name == TRACES and any(one.encode() in path.read_bytes() for one in wanted):
        # it may quote more of a customer than the id
        return Left(ERASED_TRACE.encode(), pd.DataFrame(), frozenset())
    return None


def _table_without(path: Path, customers: frozenset[str], columns: Collection[str]) -> Left | None:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        telling = {*columns, UNREADABLE}.intersection(parquet.read_schema(path).names)
        ids = pd.read_parquet(path, columns=sorted(telling))  # the others only where it has to be
        theirs, found = _rows_of(ids, customers)
        table = keeping.load(path) if found else ids
    except pa.ArrowException:
        raise OutsideError(
            f"{path} is no Parquet file that can be read. Remove it, and run the command again."
        ) from None
    return Left(table[~theirs], table[theirs], frozenset(found)) if found else None


def _rows_of(ids: pd.DataFrame, customers: frozenset[str]) -> tuple[pd.Series, set[str]]:
    """Which rows are theirs, and who was found."""
    theirs, found = pd.Series(False, index=ids.index), set[str]()
    for name in ids.columns.drop(UNREADABLE, errors="ignore"):
        is_one = ids[name].isin(customers)
        found.update(ids.loc[is_one, name])
        theirs |= is_one
    notes = ids[UNREADABLE].dropna() if UNREADABLE in ids else pd.Series(dtype="str")
    # where cells were shifted, the id lies in another column
    quoted = [customers.intersection(map(str, json.loads(note).values())) for note in notes]
    is_one = pd.Series(list(map(bool, quoted)), index=notes.index, dtype=bool)
    return theirs | is_one.reindex(ids.index, fill_value=False), found.union(*quoted)


def _text_without(
    content: bytes, customers: frozenset[str], columns: Collection[str]
) -> Left | None:
    """CSV without its lines: all others stay as they are, to the byte."""
    encoding = _encoding_of(content)
    lines = content.decode(encoding).splitlines(keepends=True)
    header = lines[0].lstrip("\ufeff") if lines else ""
    delimiter = max(DELIMITERS, key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    at = next((i for i, name in enumerate(names) if name.strip() in columns), None)
    if at is None:
        return None
    kept, found, start = [], set(), 0
    rows = csv.reader(lines, delimiter=delimiter)
    for row in rows:
        ours, start = lines[start : rows.line_num], rows.line_num
        customer = row[at].strip() if len(row) > at else ""
        if customer in customers:
            found.add(customer)
        else:
            kept += ours
    if not found:
        return None
    return Left("".join(kept).encode(encoding), pd.DataFrame(), frozenset(found))


def _encoding_of(content: bytes) -> str:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"  # every byte is a letter, so nothing is lost
    return "utf-8"

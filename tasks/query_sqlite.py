"""The rows of a query to an SQLite file, as Arrow blocks.

SQLite keeps a type with each cell, not with the column: whole numbers, fractions and text may
stand in one. So the query runs twice in one snapshot, and the first pass tells the types. Python's
own library reads, and not the Arrow driver's copy of it: two copies in one process lose each
other's locks on a file (https://www.sqlite.org/howtocorrupt.html, 2.2.1).
"""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from tasks.query_errors import in_words, refuse_doubled

ROWS = 1 << 16  # in a block
PATIENCE = 30  # seconds to wait for somebody's lock


def sqlite_batches(
    path: Path, sql: str, shown: str, timeout: float
) -> Generator[pa.RecordBatch, None, None]:
    """Read the file without writing. Raises `InputError`, `OutsideError`."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, min(timeout, PATIENCE), uri=True)) as connection:
            connection.text_factory = _text
            connection.execute("BEGIN")
            schema = _schema(connection, sql, shown)
            cursor = connection.execute(sql)
            while rows := cursor.fetchmany(ROWS):
                columns = [
                    _column(cells, field.type)
                    for cells, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
    except sqlite3.Error as error:
        raise in_words(error, shown) from None


def _schema(connection: sqlite3.Connection, sql: str, shown: str) -> pa.Schema:
    """One type per column that holds all its cells."""
    within = f"FROM ({sql}\n)"
    description = connection.execute(f"SELECT * {within} LIMIT 0").description
    names = [one[0] for one in connection.execute(sql).description]
    refuse_doubled(names, shown)
    quoted = ['"' + one[0].replace('"', '""') + '"' for one in description]
    asked = ", ".join(
        f"max(typeof({name}) IN ('text', 'blob')), max(typeof({name}) = 'real')" for name in quoted
    )
    found = connection.execute(f"SELECT {asked} {within}").fetchone()
    kinds = [
        pa.string() if has_text else pa.float64() if has_fraction else pa.int64()
        for has_text, has_fraction in zip(found[::2], found[1::2], strict=True)
    ]
    return pa.schema(list(zip(names, kinds, strict=True)))


def _column(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        cells = [_text(c) if isinstance(c, bytes) else None if c is None else str(c) for c in cells]
    elif pa.types.is_floating(kind):
        cells = [None if c is None else float(c) for c in cells]
    return pa.array(cells, kind)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")

"""A source opened: what it is, how it is written, and where the contract's columns stand in it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from expectations.contract import Contract
from expectations.errors import InputError
from expectations.rule import ROW
from tasks.cells import NO_OBJECTION
from tasks.delimited import RAGGED, Delimited
from tasks.dialects import (
    Content,
    Headers,
    find_header,
    inflate,
    match_headers,
    refuse_foreign,
    to_utf8,
)
from tasks.fetching import Fetched
from tasks.source import SourceOptions

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

SOMETHING = re.compile(rb"\S")


def unpacked(fetched: Fetched, options: SourceOptions) -> tuple[Content, str]:
    """Unpack a source that may hold a table; give its content and the compression's name."""
    if options.decimal not in ("", ".", ","):
        raise InputError(f"--decimal {options.decimal!r}: give . or , or leave it out.")
    content, compression = inflate(fetched.content, fetched.name)
    refuse_foreign(content, fetched.name)
    return content, compression


class TextTable(NamedTuple):
    """A text file's rows, and how it is written; `decimal` is "" where it is not known yet."""

    rows: Delimited
    headers: Headers
    decimal: str
    log: dict[str, Any]


def find_text_table(
    content: Content, contract: Contract, options: SourceOptions, name: str
) -> TextTable:
    """Settle how a text file is written, from what was asked for and its header."""
    text = to_utf8(content, options.encoding, name)
    header = find_header(text, contract, options.delimiter, name)
    headers = match_headers(header.cells, contract, name)
    if not SOMETHING.search(text.content, header.start):
        raise InputError(f"{name}: {nobody(0, contract)}")
    rows = Delimited(text.content, header, headers.positions, contract.numeric, name)
    decimal = options.decimal or ("." if header.delimiter == "," else "")
    log = {"format": "csv", "delimiter": header.delimiter, "encoding": text.encoding}
    return TextTable(rows, headers, decimal, log)


class ParquetTable(NamedTuple):
    """A Parquet file, and where the contract's columns stand in it."""

    file: "ParquetFile"
    headers: Headers
    log: dict[str, Any]

    def spelled(self, columns: Iterable[str]) -> list[str]:
        """Their headers in the file."""
        names = self.file.schema_arrow.names
        return [names[self.headers.positions[column]] for column in columns]

    def cells(self, table: pa.Table, columns: Sequence[str], first_row: int) -> pa.Table:
        """Rows that were read, under the contract's names, numbered from `first_row` on."""
        table.validate(full=True)
        rows = pa.array(np.arange(first_row, first_row + table.num_rows))
        cells = table.rename_columns(list(columns)).append_column(ROW, rows)
        return cells.append_column(RAGGED, pa.nulls(len(rows), pa.string()))


@contextmanager
def undamaged(name: str) -> Iterator[None]:
    """Tell a Parquet file that cannot be read."""
    try:
        yield
    except (pa.ArrowException, OSError):
        raise InputError(
            f"{name}: the Parquet file is cut off or damaged. Copy it again, or export it anew."
        ) from None


def find_parquet_table(content: Content, contract: Contract, name: str) -> ParquetTable:
    """Open a Parquet file and find the contract's columns in it."""
    from pyarrow.parquet import ParquetFile

    with undamaged(name):
        file = ParquetFile(pa.py_buffer(content))
        headers = match_headers(file.schema_arrow.names, contract, name)
    log = {"format": "parquet", "delimiter": "", "encoding": ""}
    return ParquetTable(file, headers, log)


def nobody(rows: int, contract: Contract) -> str:
    """Why a source without customers, or of customers who all object, cannot be used."""
    if not rows:
        return "the file has a header and no customers. Export it again, with its rows."
    columns = " and ".join(contract.objections)
    return (
        f"all {rows} rows count as objecting by {columns}, so nobody is left. A customer who does "
        f"not object has one of {', '.join(NO_OBJECTION)} there. Correct the export."
    )

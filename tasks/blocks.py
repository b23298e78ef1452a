"""A source block by block, as often as it is asked for: memory does not grow with its rows.

What `tasks.ingestion` tells of a whole source is told of each block here, with the same cells,
line numbers and gaps. Delimiter, encoding and decimal mark are settled once.
"""

import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa

from expectations.contract import Contract
from tasks.cells import decimal_marks, decimal_of
from tasks.delimited import Delimited, guess_decimal, read_delimited
from tasks.dialects import Content
from tasks.fetching import Fetched
from tasks.mapped import let_go
from tasks.opening import find_parquet_table, find_text_table, undamaged, unpacked
from tasks.source import SourceOptions

BLOCK_ROWS = 1 << 16  # of a Parquet file
BLOCK_BYTES = 1 << 23  # of a text file: as many rows of a hundred characters
BLANK = b" \t\r\n\x1a"


class Block(NamedTuple):
    """Cells by column, with `_row` and `*`; `upto` is how far the source was read with it."""

    cells: pa.Table
    upto: int


class Blocks(NamedTuple):
    """A source to be read by `read(columns)`; `size` is the last `upto`."""

    name: str
    decimal: str
    size: int
    log: dict[str, Any]
    read: Callable[[Collection[str]], Iterator[Block]]


def in_blocks(fetched: Fetched, contract: Contract, options: SourceOptions) -> Blocks:
    """Open a source to be read in blocks.

    Raises `InputError`, here or while it is read, where no table with the contract's columns can
    be formed.
    """
    content, _ = unpacked(fetched, options)
    opened = _parquet_blocks if content[:4] == b"PAR1" else _text_blocks
    return opened(content, contract, options, fetched.name)


def _parquet_blocks(
    content: Content, contract: Contract, options: SourceOptions, name: str
) -> Blocks:
    found = find_parquet_table(content, contract, name)

    def read(columns: Collection[str]) -> Iterator[Block]:
        rows = 0
        batches = found.file.iter_batches(BLOCK_ROWS, columns=found.spelled(columns))
        while True:
            with undamaged(name):
                batch = next(batches, None)
                if batch is None:
                    return
                table = pa.Table.from_batches([batch]).select(found.spelled(columns))
                cells = found.cells(table, list(columns), rows + 1)
            let_go(content)
            rows += batch.num_rows
            yield Block(cells, rows)

    size = found.file.metadata.num_rows
    log = {**found.log, "left_out": found.headers.left_out}
    return Blocks(name, options.decimal or ".", size, log, read)


def _text_blocks(content: Content, contract: Contract, options: SourceOptions, name: str) -> Blocks:
    found = find_text_table(content, contract, options, name)
    decimal = found.decimal or guess_decimal(found.rows) or _settled(found.rows)
    log = {**found.log, "left_out": found.headers.left_out}
    read = partial(_read_text, found.rows, decimal)
    return Blocks(name, decimal, len(found.rows.content), log, read)


def _settled(rows: Delimited) -> str:
    """Tell the decimal mark from every number, where the first rows do not tell it."""
    marks: set[str] = set()
    either = False
    for block in _read_text(rows, "", rows.numeric):
        found, ambiguous = decimal_marks(block.cells.select(rows.numeric))
        marks, either = marks | found, either or ambiguous
    return decimal_of(marks, either, rows.name)


def _read_text(rows: Delimited, decimal: str, columns: Collection[str]) -> Iterator[Block]:
    wanted = rows._replace(
        positions={column: rows.positions[column] for column in columns},
        numeric=tuple(column for column in rows.numeric if column in columns),
    )
    for piece, line, upto in pieces(rows, BLOCK_BYTES):
        header = rows.header._replace(start=0, line=line)
        cells, _ = read_delimited(wanted._replace(content=piece, header=header), decimal)
        let_go(rows.content)
        yield Block(cells, upto)


def pieces(rows: Delimited, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Cut the rows into pieces of about `size` bytes, each of whole records.

    Gives the piece, the number of its first line, and the byte after it. A record longer than
    `size` makes its piece longer.
    """
    content, at, line = rows.content, rows.header.start, rows.header.line
    ends = _ends_of(rows.header.delimiter)
    while at < len(content):
        length = size
        piece = content[at : at + length]
        end = len(piece)
        while at + length < len(content) and not (end := ends(piece)):
            length *= 2
            piece = content[at : at + length]
            end = len(piece)
        piece = piece[:end]
        at += end
        if piece.strip(BLANK):
            yield piece, line, at
        line += piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")


def _ends_of(delimiter: str) -> Callable[[bytes], int]:
    """Make the function that tells where the last whole record of a piece ends, 0 if nowhere."""
    mark = re.escape(delimiter.encode())
    quoted = re.compile(rb"(?:\A|(?<=[\r\n]|" + mark + rb'))"[^"]*+(?:""[^"]*+)*+(?:"|\Z)')

    def ends(piece: bytes) -> int:
        before = len(piece)
        spans = [found.span() for found in quoted.finditer(piece)] if b'"' in piece else []
        for start, end in reversed(spans):
            if line := _last_line(piece, end, before):
                return line
            before = start
        return _last_line(piece, 0, before)

    return ends


def _last_line(piece: bytes, start: int, end: int) -> int:
    """Where the last line between two places ends, 0 if none does."""
    feed = piece.rfind(b"\n", start, end)
    # A carriage return at the very end may be half of a line end.
    return max(feed, piece.rfind(b"\r", start, min(end, len(piece) - 1))) + 1

"""From a source to the stage `raw`: read its customers, leave out those who object."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from expectations.contract import Contract
from expectations.errors import InputError
from expectations.rule import ROW, UNREADABLE
from tasks.cells import Cells, objects, read_cells, read_id, settle_decimal
from tasks.delimited import RAGGED, guess_decimal, read_delimited
from tasks.dialects import Content, Headers
from tasks.fetching import Fetched, fetch, fetched_table, public_uri
from tasks.opening import find_parquet_table, find_text_table, nobody, undamaged, unpacked
from tasks.outcome import Outcome
from tasks.source import SourceOptions

__all__ = [
    "Fetched",
    "SourceOptions",
    "fetch",
    "fetched_table",
    "public_uri",
    "read_customers",
    "resolve_uri",
]

Forgotten = Callable[[np.ndarray], np.ndarray]

OBJECTIONS = "objections.parquet"
SHOWN = 60  # characters of an unreadable cell


class _Source(NamedTuple):
    """What stands in a source: cells by column, `_row` and `*`, and how it is written."""

    cells: pa.Table
    headers: Headers
    decimal: str  # "" where the numbers have to tell
    log: dict[str, Any]


def resolve_uri(uri: str, month: pd.Period) -> str:
    """Fill `{month}` in; raises `InputError` for any other brace."""
    filled = uri.replace("{month}", month.strftime("%Y-%m"))
    if "{" in filled or "}" in filled:
        raise InputError(
            f"source {public_uri(uri)}: only {{month}} can be filled in. Remove the other braces."
        )
    return filled


def nobody_forgotten(ids: np.ndarray) -> np.ndarray:
    """No id was forgotten, (n_customers,) of bool."""
    return np.zeros(len(ids), bool)


def read_customers(
    fetched: Fetched,
    contract: Contract,
    options: SourceOptions,
    is_forgotten: Forgotten = nobody_forgotten,
    hash_of: Callable[[str], str] | None = None,
) -> Outcome:
    """Read the customers who do not object, as the stage `raw`.

    The table holds the id, the kept columns in the contract's order, `_row` (line of a text file,
    row of a Parquet file, from 1) and `_unreadable` (JSON of column -> what stood there, with `*`
    for a row that has too many or too few cells; null where all could be read). Customers whose
    ids `is_forgotten` counts as objecting. Of those who object themselves `hash_of` their ids is
    learned, and no more. Raises `InputError` where no table with the contract's columns can be
    formed.
    """
    source = _open(fetched, contract, options)
    ids = read_id(source.cells[contract.id.column]).values
    own = _with_same_id(own_objections(source.cells, contract), ids)
    objecting = own | forgotten_among(ids, is_forgotten)
    cells = source.cells.filter(pa.array(~objecting))
    if not cells.num_rows:
        raise InputError(f"{fetched.name}: {nobody(len(objecting), contract)}")
    decimal = source.decimal or settle_decimal(cells.select(contract.numeric), fetched.name)
    log = {
        "rows": len(objecting),
        "objected": int(objecting.sum()),
        "left_out": source.headers.left_out,
        "renamed": source.headers.renamed,
        **source.log,
        "decimal": decimal if source.log["format"] == "csv" else "",
        "sha256": fetched.sha256,
    }
    learned = {}
    if hash_of and contract.objections:
        theirs = ids.filter(pa.array(own)).drop_null().unique().to_pylist()
        hashes = pd.Series(sorted(map(hash_of, theirs)), dtype="str")
        learned = {OBJECTIONS: pd.DataFrame({"hash": hashes})}
    return Outcome(to_frame(cells, contract, decimal), learned, log)


def _open(fetched: Fetched, contract: Contract, options: SourceOptions) -> _Source:
    content, compression = unpacked(fetched, options)
    read = _open_parquet if content[:4] == b"PAR1" else _open_text
    source = read(content, contract, options, fetched.name)
    return source._replace(log={**source.log, "compression": compression})


def _open_text(content: Content, contract: Contract, options: SourceOptions, name: str) -> _Source:
    found = find_text_table(content, contract, options, name)
    likely = found.decimal or guess_decimal(found.rows)
    cells, is_typed = read_delimited(found.rows, likely)
    return _Source(cells, found.headers, likely if is_typed else found.decimal, found.log)


def _open_parquet(
    content: Content, contract: Contract, options: SourceOptions, name: str
) -> _Source:
    found = find_parquet_table(content, contract, name)
    columns = found.headers.positions
    with undamaged(name):
        table = found.file.read(found.spelled(columns))
        cells = found.cells(table, list(columns), 1)
    return _Source(cells, found.headers, options.decimal or ".", found.log)


def own_objections(cells: pa.Table, contract: Contract) -> np.ndarray:
    """Tell the rows that have an objection's flag themselves."""
    objecting = np.zeros(cells.num_rows, bool)
    for column in contract.objections:
        objecting |= objects(cells[column])
    # A ragged row has no cell that could be read or kept: it stays, to be counted as broken.
    return objecting & cells[RAGGED].is_null().to_numpy()


def forgotten_among(ids: pa.ChunkedArray, is_forgotten: Forgotten) -> np.ndarray:
    """Tell the rows of forgotten customers; a row without an id is nobody's."""
    forgotten = ids.is_valid().to_numpy()
    forgotten[forgotten] = is_forgotten(ids.drop_null().to_pandas().to_numpy(object))
    return forgotten


def _with_same_id(objecting: np.ndarray, ids: pa.ChunkedArray) -> np.ndarray:
    """Tell the rows of those who object: with such a flag, or with the id of one who has it."""
    if not objecting.any():
        return objecting
    theirs = ids.filter(pa.array(objecting)).drop_null().unique()
    return objecting | pc.is_in(ids, theirs).to_numpy()


def to_frame(cells: pa.Table, contract: Contract, decimal: str) -> pd.DataFrame:
    """Read cells as the rows of `raw`, each column by its kind."""
    read = {contract.id.column: read_id(cells[contract.id.column])}
    for name, column in contract.kept.items():
        read[name] = read_cells(cells[name], column, decimal)
    columns = {name: column.values for name, column in read.items()}
    columns[ROW] = cells[ROW]
    columns[UNREADABLE] = _notes({**read, RAGGED: Cells(cells[RAGGED], cells[RAGGED])})
    return pa.table(columns).to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)


def _notes(read: dict[str, Cells]) -> pa.Array:
    """Write per row, as JSON, what could not be read; null where everything could."""
    notes: dict[int, dict[str, str]] = {}
    for name, cells in read.items():
        rows = np.flatnonzero(cells.unreadable.is_valid())
        texts = pc.utf8_slice_codeunits(cells.unreadable.drop_null(), 0, SHOWN + 1).to_pylist()
        for row, text in zip(rows.tolist(), texts, strict=True):
            shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
            notes.setdefault(row, {})[name] = shown
    written = np.full(len(cells.values), None, object)
    written[list(notes)] = [json.dumps(note, ensure_ascii=False) for note in notes.values()]
    return pa.array(written, pa.string())

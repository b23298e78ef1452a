"""From a source to the stage `raw`: read its customers, leave out those who object."""

import json
import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from expectations.contract import Contract
from expectations.errors import InputError
from tasks.cells import NO_OBJECTION, Cells, objects, read_cells, read_id, settle_decimal
from tasks.delimited import RAGGED, Delimited, guess_decimal, read_delimited
from tasks.dialects import (
    Content,
    Headers,
    find_header,
    inflate,
    match_headers,
    refuse_foreign,
    to_utf8,
)
from tasks.fetching import Fetched, fetch, fetched_table, public_uri
from tasks.outcome import Outcome

__all__ = [
    "Fetched",
    "SourceOptions",
    "fetch",
    "fetched_table",
    "public_uri",
    "read_customers",
    "resolve_uri",
]

SHOWN = 60  # characters of an unreadable cell


class SourceOptions(BaseModel):
    """Where the month's customers come from, and how the file is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(
        default="sample",
        title="Source",
        description="`sample`, or the path or URL of a CSV, CSV.gz or Parquet file. `{month}` "
        "stands for the month as YYYY-MM. No passwords: they belong in the environment.",
    )
    delimiter: str = Field(
        default="",
        title="Delimiter",
        description="The character between cells of a text file, such as `;`. Empty: found out.",
    )
    decimal: str = Field(
        default="",
        title="Decimal mark",
        description="`.` or `,` in the numbers of a text file. Empty: found out.",
    )
    encoding: str = Field(
        default="",
        title="Encoding",
        description="Of a text file, such as `latin-1`. Empty: UTF-8, or as its mark says.",
    )
    rows: int = Field(
        default=8950,
        ge=100,
        le=10_000_000,
        title="Rows of the sample",
        description="How many synthetic customers `sample` has.",
    )

    @field_validator("uri")
    @classmethod
    def _holds_no_password(cls, uri: str) -> str:
        if re.match(r"\w[\w+.-]*://[^/@]*:[^/@]*@", uri):
            raise ValueError(
                "a password in a URL would be recorded with the run: leave it out, "
                "and give it through the environment as the storage's driver asks"
            )
        return uri


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


def read_customers(fetched: Fetched, contract: Contract, options: SourceOptions) -> Outcome:
    """Read the customers who do not object, as the stage `raw`.

    The table holds the id, the kept columns in the contract's order, `_row` (line of a text file,
    row of a Parquet file, from 1) and `_unreadable` (JSON of column -> what stood there, with `*`
    for a row that has too many or too few cells; null where all could be read). Raises
    `InputError` where no table with the contract's columns can be formed.
    """
    source = _open(fetched, contract, options)
    objecting = _objecting(source.cells, contract)
    cells = source.cells.filter(pa.array(~objecting))
    if not cells.num_rows:
        raise InputError(f"{fetched.name}: {_nobody(len(objecting), contract)}")
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
    return Outcome(_to_frame(cells, contract, decimal), log=log)


def _open(fetched: Fetched, contract: Contract, options: SourceOptions) -> _Source:
    if options.decimal not in ("", ".", ","):
        raise InputError(f"--decimal {options.decimal!r}: give . or , or leave it out.")
    content, compression = inflate(fetched.content, fetched.name)
    refuse_foreign(content, fetched.name)
    read = _open_parquet if content[:4] == b"PAR1" else _open_text
    source = read(content, contract, options, fetched.name)
    return source._replace(log={**source.log, "compression": compression})


def _open_text(content: Content, contract: Contract, options: SourceOptions, name: str) -> _Source:
    text = to_utf8(content, options.encoding, name)
    header = find_header(text, contract, options.delimiter, name)
    headers = match_headers(header.cells, contract, name)
    if not re.compile(rb"\S").search(text.content, header.start):
        raise InputError(f"{name}: {_nobody(0, contract)}")
    source = Delimited(text.content, header, headers.positions, contract.numeric, name)
    known = options.decimal or ("." if header.delimiter == "," else "")
    likely = known or guess_decimal(source)
    cells, is_typed = read_delimited(source, likely)
    log = {"format": "csv", "delimiter": header.delimiter, "encoding": text.encoding}
    return _Source(cells, headers, likely if is_typed else known, log)


def _open_parquet(
    content: Content, contract: Contract, options: SourceOptions, name: str
) -> _Source:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.py_buffer(content))
        found = file.schema_arrow.names
        headers = match_headers(found, contract, name)
        table = file.read([found[place] for place in headers.positions.values()])
        table.validate(full=True)
    except (pa.ArrowException, OSError):
        raise InputError(
            f"{name}: the Parquet file is cut off or damaged. Copy it again, or export it anew."
        ) from None
    rows = pa.array(np.arange(1, table.num_rows + 1))
    cells = table.rename_columns(list(headers.positions)).append_column("_row", rows)
    cells = cells.append_column(RAGGED, pa.nulls(len(rows), pa.string()))
    log = {"format": "parquet", "delimiter": "", "encoding": ""}
    return _Source(cells, headers, options.decimal or ".", log)


def _nobody(rows: int, contract: Contract) -> str:
    if not rows:
        return "the file has a header and no customers. Export it again, with its rows."
    columns = " and ".join(contract.objections)
    return (
        f"all {rows} rows count as objecting by {columns}, so nobody is left. A customer who does "
        f"not object has one of {', '.join(NO_OBJECTION)} there. Correct the export."
    )


def _objecting(cells: pa.Table, contract: Contract) -> np.ndarray:
    """Tell the rows of those who object: with such a flag, or with the id of one who has it."""
    objecting = np.zeros(cells.num_rows, bool)
    for column in contract.objections:
        objecting |= objects(cells[column])
    # A ragged row has no cell that could be read or kept: it stays, to be counted as broken.
    objecting &= cells[RAGGED].is_null().to_numpy()
    if not objecting.any():
        return objecting
    ids = read_id(cells[contract.id.column]).values
    theirs = ids.filter(pa.array(objecting)).drop_null().unique()
    return objecting | pc.is_in(ids, theirs).to_numpy()


def _to_frame(cells: pa.Table, contract: Contract, decimal: str) -> pd.DataFrame:
    read = {contract.id.column: read_id(cells[contract.id.column])}
    for name, column in contract.kept.items():
        read[name] = read_cells(cells[name], column, decimal)
    columns = {name: column.values for name, column in read.items()}
    columns["_row"] = cells["_row"]
    columns["_unreadable"] = _notes({**read, RAGGED: Cells(cells[RAGGED], cells[RAGGED])})
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

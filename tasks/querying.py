"""A database as a source: the rows of one query, through Arrow into a file that is mapped.

PostgreSQL and SQLite are read, never written. No message quotes what a driver says of a
connection (it quotes the URL) or of a value (it quotes the cell).
"""

import logging
import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pandas as pd
import pyarrow as pa

from expectations.errors import InputError
from tasks.fetching import Fetched, fetched_content, public_uri
from tasks.mapped import written_aside
from tasks.query_errors import EXTRA, in_words, refuse_doubled
from tasks.query_sqlite import sqlite_batches
from tasks.query_text import fill_month

if TYPE_CHECKING:
    import sqlalchemy as sa

TIMEOUT = 3600  # seconds that a query may take
READABLE = {"money": "numeric"}  # what to cast a strange type to, where it is not text

logger = logging.getLogger("resegment")


def fetch_query(
    uri: str, query: str, month: pd.Period, password: str | None = None, timeout: int = TIMEOUT
) -> Fetched:
    """Read the rows of a query, in which `:month` is filled in as 'YYYY-MM'.

    Parameters
    ----------
    uri : str
        As postgresql://user@host/database or sqlite:////folder/file.db, without a password.
    query : str
        One SELECT.
    month : Period
        The month asked for.
    password : str, optional
        Of the database's user. Without it PostgreSQL's own ways are tried: PGPASSWORD, ~/.pgpass.
    timeout : int
        Seconds after which PostgreSQL gives up.

    Returns
    -------
    Fetched
        The rows as a Parquet file without a name on disk, mapped into memory.

    Raises
    ------
    InputError
        Where the call must change: URL, query, user or password, types, no rows.
    OutsideError
        Where the database cannot be reached, fails, or takes too long.
    """
    sql, shown = fill_month(query, month), public_uri(uri)
    url = _parsed(uri, shown)
    if url.get_backend_name() == "sqlite":
        batches = sqlite_batches(_file_of(url, shown), sql, shown, timeout)
    else:
        batches = _postgresql_batches(url, sql, shown, password, timeout)
    content = _kept(batches)
    if not content:
        raise InputError(
            f"source {shown}: the query gives no rows for {month}. See whether the month is loaded "
            "there, and what the query asks for."
        )
    return fetched_content(content, shown)


def _parsed(uri: str, shown: str) -> "sa.URL":
    import sqlalchemy as sa

    try:
        url = sa.make_url(re.sub(r"^postgres:", "postgresql:", uri))
        backend = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        backend = ""
    if backend not in ("postgresql", "sqlite"):
        raise InputError(
            f"source {shown}: no database that can be read. Give postgresql://user@host/database "
            "or sqlite:////folder/file.db, or export the customers as Parquet."
        )
    if url.password or any("password" in name for name in url.query):
        raise InputError(
            f"source {shown}: a password does not belong in a URL, where it would be recorded. "
            "Set PGPASSWORD, write ~/.pgpass, or name a Prefect Secret block."
        )
    return url


def _file_of(url: "sa.URL", shown: str) -> Path:
    path = Path(url.database or "").expanduser()
    if not path.is_file():
        raise InputError(f"source {shown}: no such file. Correct --source.")
    if path.stat().st_size and path.open("rb").read(15) != b"SQLite format 3":
        raise InputError(f"source {shown}: this is no SQLite database. Correct --source.")
    return path


def _kept(batches: Generator[pa.RecordBatch, None, None]) -> Any:
    """Write blocks to a Parquet file without a name, and map it; nothing where there are none."""

    def write(file: BinaryIO) -> None:
        from pyarrow.parquet import ParquetWriter

        rows, writer = 0, None
        with ExitStack() as stack:
            for batch in batches:
                writer = writer or stack.enter_context(ParquetWriter(file, batch.schema))
                writer.write_batch(batch)
                rows += batch.num_rows
                told = f"query: {rows:,} rows"
                logger.info(told, extra={"progress": ("query", rows, 0)})

    with closing(batches):
        return written_aside(write)


def _postgresql_batches(
    url: "sa.URL", sql: str, shown: str, password: str | None, timeout: int
) -> Generator[pa.RecordBatch, None, None]:
    # libpq's own: a dead peer is noticed within a minute
    patience = {"connect_timeout": "15", "keepalives_idle": "30", "tcp_user_timeout": "60000"}
    given = url.set(
        drivername="postgresql", password=password, query={**patience, **dict(url.query)}
    )
    settings = (
        "SET TRANSACTION READ ONLY",
        f"SET LOCAL statement_timeout = {1000 * timeout}",
        "SET LOCAL synchronize_seqscans = off",  # else the same rows come in another order
    )
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise InputError(f"source {shown}: this needs a driver. {EXTRA}") from None
    uri = given.render_as_string(hide_password=False)
    with _troubles(shown), dbapi.connect(uri) as connection, connection.cursor() as cursor:
        for setting in settings:
            cursor.execute(setting)
        cursor.execute(sql)
        reader = cursor.fetch_record_batch()
        schema = _plain_schema(reader.schema, shown)
        for batch in reader:
            if batch.num_rows:
                yield pa.RecordBatch.from_arrays(
                    [_storage(c) for c in batch.columns], schema=schema
                )


@contextmanager
def _troubles(shown: str) -> Iterator[None]:
    import adbc_driver_manager

    try:
        yield
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        raise in_words(error, shown) from None


def _plain_schema(schema: pa.Schema, shown: str) -> pa.Schema:
    """The columns without what a driver notes beside them; raises `InputError` for strange ones."""
    refuse_doubled(schema.names, shown)
    fields = []
    for field in schema:
        kind = field.type.storage_type if _is_wrapped(field.type) else field.type
        called = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        is_strange = pa.types.is_interval(kind) or (kind != field.type and not _is_text(kind))
        if is_strange or called == "money":  # which comes in cents
            called = called or getattr(field.type, "type_name", "interval")
            raise InputError(
                f"source {shown}: {field.name} is of the type {called}, which cannot be read. "
                f"Leave it out, or cast it: {field.name}::{READABLE.get(called, 'text')}"
            )
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _is_wrapped(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _storage(column: pa.Array) -> pa.Array:
    return column.storage if _is_wrapped(column.type) else column

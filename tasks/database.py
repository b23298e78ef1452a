"""A database by its URL: transactions, rows in bulk through Arrow, its troubles in words."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from expectations.errors import InputError
from tasks.connecting import LIBPQ, POSTGRESQL, SQLITE, engine_of, one_library, settings
from tasks.database_errors import why

PATIENCE = 30.0  # seconds to wait for a lock
HIDDEN = "***"
EXTRA = "pip install 'resegment[postgresql]'"


@dataclass(frozen=True)
class Database:
    """An SQLite file or a PostgreSQL database.

    Parameters
    ----------
    url : sqlalchemy.URL
        With a password, perhaps: use `shown` in messages.
    patience : float
        Seconds to wait for somebody else's lock.
    """

    url: sa.URL = field(repr=False)
    patience: float = PATIENCE

    @property
    def path(self) -> Path | None:
        """The file of an SQLite database."""
        return Path(str(self.url.database)) if self.url.drivername == SQLITE else None

    @property
    def writers(self) -> int:
        """How many may load rows at once."""
        return 1 if self.path else 2

    @property
    def shown(self) -> str:
        """The URL without its secrets."""
        return _shown(self.url)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that reads one moment. Raises `OutsideError` when the database fails."""
        # an SQLite transaction always sees one moment
        options = {} if self.path else {"isolation_level": "REPEATABLE READ"}
        with self._troubles(), self._connection(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes; all of it, or nothing if an exception leaves the block."""
        with self._troubles(), self._connection(is_writing=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def alone(self) -> Iterator[sa.Connection]:
        """A connection without a transaction, for what a database does in none."""
        with self._troubles(), self._connection(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def load(self, table: str, rows: pa.Table) -> None:
        """Append rows through Arrow, all of them or none; not within a transaction."""
        with self._bulk() as cursor:
            if self.path:  # a single COPY is a transaction of its own
                cursor.execute("BEGIN IMMEDIATE")
            cursor.adbc_ingest(table, rows, mode="append")
            if self.path:
                cursor.execute("COMMIT")

    def table(self, query: str, parameter: str, n_rows: int, schema: pa.Schema) -> pd.DataFrame:
        """Read `n_rows` rows through Arrow, with one parameter that `query` calls $1."""
        with self._bulk() as cursor:
            if self.path:  # it takes the types from the first batch, where a column may be null
                cursor.adbc_statement.set_options(
                    **{"adbc.sqlite.query.batch_rows": max(n_rows, 1)}
                )
            cursor.execute(query, (parameter,))
            return cursor.fetch_arrow_table().cast(schema).to_pandas()

    @contextmanager
    def _connection(self, **options: Any) -> Iterator[sa.Connection]:
        engine = engine_of(self.url, self.patience).execution_options(**options)
        with one_library("sqlite3" if self.path else None), engine.connect() as connection:
            yield connection

    @contextmanager
    def _bulk(self) -> Iterator[Any]:
        driver = importlib.import_module(f"adbc_driver_{self.url.get_backend_name()}.dbapi")
        libpq = self.url.set(drivername=POSTGRESQL)  # its URLs name no driver
        uri = self.path or libpq.render_as_string(hide_password=False)
        with (
            self._troubles(OSError),  # so Arrow's reader says that a database went away
            one_library("adbc" if self.path else None),
            driver.connect(str(uri), autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for setting in settings(self.url, self.patience):
                cursor.execute(setting)
            yield cursor

    @contextmanager
    def _troubles(self, *others: type[Exception]) -> Iterator[None]:
        import adbc_driver_manager

        try:
            yield
        except sa.exc.IntegrityError:
            raise  # publishing knows what it means
        except (sa.exc.DBAPIError, adbc_driver_manager.Error, pa.ArrowException, *others) as error:
            found = why(getattr(error, "orig", error))
            raise found.kind(
                f"the database {self.shown} failed: {found.said}. Nothing is lost. "
                f"{found.remedy}, and run the command again."
            ) from None


def database_at(url: str, patience: float = PATIENCE) -> Database:
    """The database that `url` names: a SQLAlchemy URL, or the path of an SQLite file.

    Raises `InputError` for a URL that cannot be read, another kind of database, or a driver that
    is not installed. Nothing is opened yet.
    """
    parsed = _parsed(url)
    backend = parsed.get_backend_name()
    if backend == SQLITE:
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise InputError(f"{_shown(parsed)} names no file. Write sqlite:////folder/segments.db")
        path = Path(parsed.database).expanduser().absolute()
        return Database(sa.URL.create(SQLITE, database=str(path)), patience)
    if backend != POSTGRESQL:
        raise InputError(
            f"{_shown(parsed)}: a segment store is an SQLite file or a PostgreSQL database."
        )
    for module in ("psycopg", "adbc_driver_postgresql"):
        try:
            importlib.import_module(module)
        except ImportError:
            raise InputError(f"{_shown(parsed)} needs a driver: {EXTRA}") from None
    query = {**LIBPQ, **parsed.query}
    return Database(parsed.set(drivername="postgresql+psycopg", query=query), patience)


def shown(url: str) -> str:
    """A URL as it may be shown: without a password, and in the same form always."""
    return _shown(_parsed(url))


def _parsed(url: str) -> sa.URL:
    if "://" not in url:
        return sa.URL.create(SQLITE, database=url)
    try:
        # libpq takes postgres:// too
        parsed = sa.make_url(re.sub("^postgres:", "postgresql:", url))
        if "@" in (parsed.host or ""):  # of a password, whose end would be shown as the host
            raise ValueError
    except (sa.exc.ArgumentError, ValueError):
        raise InputError(
            "the store's URL cannot be read. Write postgresql://user@host/database, or the path "
            "of an SQLite file; special characters in a password as %XX."
        ) from None
    return parsed


def _shown(url: sa.URL) -> str:
    hidden = {name: HIDDEN for name in url.query if "password" in name.lower()}
    told = {name: one for name, one in url.query.items() if name not in LIBPQ}
    plain = url.set(drivername=url.get_backend_name(), query={**told, **hidden})
    return plain.render_as_string().replace("%2F", "/").replace("%2A", "*")

"""The segment store: a database that holds the published months; made and migrated by alembic."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from expectations.errors import InputError
from tasks.database import PATIENCE, Database, database_at
from tasks.keeping import outside
from tasks.tables import HEAD, TABLES, VERSION_TABLE, store_table

MIGRATIONS = Path(__file__).parent / "migrations"
DEFAULTS = {"real": "segments.db", "synthetic": "demo.db"}
MAKING = 5_362_017  # of PostgreSQL, for whoever makes or migrates a store


@dataclass(frozen=True)
class Store:
    """A segment store that is there, with this version's tables; `origin`: real or synthetic."""

    database: Database
    origin: str


class StoreRow(NamedTuple):
    """The one row of the table `store`."""

    origin: str
    secret: bytes
    current_run: str | None


def open_store(url: str, origin: str | None = None, patience: float = PATIENCE) -> Store:
    """Open the segment store at `url`; with `origin` ("real" or "synthetic"), make it if need be.

    An older store is migrated. Raises `InputError` if there is none and no origin was given, if it
    holds months of another origin, if it was written by a newer version or holds something else;
    `OutsideError` if the database fails.
    """
    database = database_at(url, patience)
    if database.path:
        _find_file(database.path, database.shown, may_make=origin is not None)
    with database.reading() as connection:
        version = _version(connection)
    if version is None and origin is None:
        raise _no_store(database.shown)
    if version != HEAD:
        _migrate(database, origin)
    with database.reading() as connection:
        found = store_row(connection).origin
    opened = Store(database, found)
    check_origin(opened, origin or found)
    return opened


def check_origin(store: Store, origin: str) -> None:
    """Raise `InputError` if months of this origin do not belong here."""
    if origin != store.origin:
        raise InputError(
            f"the store {store.database.shown} holds {store.origin} months, and this one is "
            f"{origin}. They never share a store: give --store; the default for {origin} months "
            f"is {DEFAULTS[origin]}."
        )


def store_row(connection: sa.Connection) -> StoreRow:
    """The store's row, as it is now."""
    row = connection.execute(sa.select(store_table)).one()
    return StoreRow(row.origin, bytes.fromhex(row.secret), row.current_run)


@contextmanager
def changing(store: Store) -> Iterator[tuple[sa.Connection, StoreRow]]:
    """A transaction that has the store to itself: no other change comes between."""
    with store.database.writing() as connection:
        connection.execute(sa.select(store_table.c.id).with_for_update())
        yield connection, store_row(connection)


def _find_file(path: Path, shown: str, may_make: bool) -> None:
    if not may_make and not path.exists():
        raise _no_store(shown)
    with outside(f"the store {shown}", "and run the command again"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_dir():
            raise InputError(f"{shown} is a folder. Name a file in it: {path / 'segments.db'}")
        if not path.exists():
            # never opened once it is there: a close would drop SQLite's locks in this process
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _no_store(shown: str) -> InputError:
    return InputError(
        f"there is no segment store at {shown}. `resegment run` makes it; --store or "
        "RESEGMENT_STORE says where it is."
    )


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()


def _migrate(database: Database, origin: str | None) -> None:
    """Bring the tables up to this version, in one transaction; whoever comes second finds them."""
    if database.path:
        with database.alone() as connection:
            connection.exec_driver_sql("PRAGMA page_size = 16384")  # quicker to fill
            # a reader then sees the old month whole while the next one is written
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    with database.writing() as connection:
        if not database.path:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MAKING)))
        _check_migratable(connection, _version(connection), database.shown)
        _upgrade(connection)
        if connection.execute(sa.select(sa.func.count()).select_from(store_table)).scalar() == 0:
            row = {"id": 1, "origin": origin, "secret": secrets.token_hex(32)}
            connection.execute(sa.insert(store_table).values(row))


def _check_migratable(connection: sa.Connection, version: str | None, shown: str) -> None:
    if version is None:
        there = sorted(set(sa.inspect(connection).get_table_names()) & set(TABLES.tables))
        if there:
            raise InputError(
                f"{shown} has tables of these names already, and they are no segment store: "
                f"{', '.join(there)}. Give --store a database or schema of its own."
            )
    elif version > HEAD:
        raise InputError(
            f"the store {shown} was written by a newer resegment (tables {version}; this one "
            f"knows {HEAD}). Install that version or a newer one."
        )


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command

    command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: sa.Connection) -> Any:
    """Alembic's settings, without a file of them."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config

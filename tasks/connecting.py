"""Connections: engines that are told what a store needs, one copy of SQLite at a time."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from tasks.database_errors import STATEMENT_SECONDS
from tasks.tables import as_json

SQLITE, POSTGRESQL = "sqlite", "postgresql"
LIBPQ: Mapping[str, str] = MappingProxyType(  # a server that is gone is noticed within a minute
    {"connect_timeout": "10", "keepalives_idle": "30", "tcp_user_timeout": "60000"}
)


def settings(url: sa.URL, patience: float) -> list[str]:
    """What each connection is told first."""
    milliseconds = round(1000 * patience)
    if url.get_backend_name() == SQLITE:
        return [
            f"PRAGMA busy_timeout = {milliseconds}",
            "PRAGMA secure_delete = ON",
            "PRAGMA foreign_keys = ON",
            "PRAGMA cache_size = -65536",  # in kB; a block is then written once
        ]
    return [
        f"SET lock_timeout = {milliseconds}",
        f"SET statement_timeout = {round(1000 * STATEMENT_SECONDS)}",
        f"SET idle_in_transaction_session_timeout = {round(1000 * STATEMENT_SECONDS)}",
    ]


@lru_cache(maxsize=8)
def engine_of(url: sa.URL, patience: float) -> sa.Engine:
    """An engine whose connections live as long as their block: a hung server shows at once.

    The engine itself is kept: it remembers what statements compile to.
    """
    engine = sa.create_engine(
        url,
        poolclass=sa.pool.NullPool,
        hide_parameters=True,  # they hold customers
        json_serializer=as_json,
    )
    told = settings(url, patience)
    if url.get_backend_name() == SQLITE:
        sa.event.listen(engine, "connect", partial(_tell_sqlite, told))
        sa.event.listen(engine, "begin", _begin_sqlite)
    else:
        sa.event.listen(engine, "connect", partial(_tell_postgresql, told))
    return engine


def _tell_sqlite(told: Sequence[str], connection: Any, _: Any) -> None:
    connection.isolation_level = None  # else sqlite3 begins transactions of its own accord
    for setting in told:
        connection.execute(setting)


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        # a writer takes its turn at the start: it could not in the middle, after others wrote
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("is_writing") else "BEGIN")


def _tell_postgresql(told: Sequence[str], connection: Any, _: Any) -> None:
    connection.autocommit = True  # else a rollback would take the settings back
    for setting in told:
        connection.execute(setting)
    connection.autocommit = False


class _Turn(threading.Condition):
    """Which copy of SQLite has files open in this process, and in which threads."""

    def __init__(self) -> None:
        super().__init__()
        self.library = ""
        self.threads: list[int] = []


_turn = _Turn()


@contextmanager
def one_library(library: str | None) -> Iterator[None]:
    """Let one copy of SQLite at a time hold files open in this process; None for no SQLite.

    Python's and the ADBC driver's are two copies of the library. When one closes a file, POSIX
    drops the other's locks on it, and the file can be damaged
    (https://www.sqlite.org/howtocorrupt.html, 2.2.1). Raises `RuntimeError` where a thread would
    wait for itself.
    """
    if library is None:
        yield
        return
    thread = threading.get_ident()
    with _turn:
        if thread in _turn.threads and library != _turn.library:
            raise RuntimeError("rows in bulk within a transaction: this thread waits for itself")
        _turn.wait_for(lambda: _turn.library in ("", library))
        _turn.library = library
        _turn.threads.append(thread)
    try:
        yield
    finally:
        with _turn:
            _turn.threads.remove(thread)
            if not _turn.threads:
                _turn.library = ""
                _turn.notify_all()

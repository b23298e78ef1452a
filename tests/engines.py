"""A store's two databases, as fixtures: `pytest_plugins = ["tests.engines"]`.

The PostgreSQL server is that of RESEGMENT_TEST_POSTGRES (a URL whose user may create databases),
else one that the tests start. A test that asks for `database_url` or `empty_store` runs once per
engine; what does not depend on the engine asks for `empty_file`.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.store import Store, open_store
from tests.databases import database_on, postgresql_at, server_folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a real server, one for all tests of a process."""
    if given := os.environ.get("RESEGMENT_TEST_POSTGRES"):
        yield given
        return
    with server_folder() as folder, postgresql_at(folder) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'stores' / 'segments.db'}"
        return
    with database_on(request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store for real months that holds none yet."""
    if request.param == "sqlite":
        yield open_store(str(request.getfixturevalue("empty_file")))
        return
    server, model = (request.getfixturevalue(one) for one in ("postgresql", "made_database"))
    with database_on(server, model) as url:
        yield open_store(url)


@pytest.fixture
def empty_file(made_file: Path, tmp_path: Path) -> Path:
    """The file of such a store, alone in its folder."""
    (tmp_path / "store").mkdir()
    return Path(shutil.copy(made_file, tmp_path / "store" / "segments.db"))


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, and then copied."""
    path = tmp_path_factory.mktemp("made") / "segments.db"
    open_store(str(path), "real")
    return path


@pytest.fixture(scope="session")
def made_database(postgresql: str) -> Iterator[str]:
    """The same on the server."""
    with database_on(postgresql) as url:
        open_store(url, "real")
        yield url

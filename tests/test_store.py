"""The segment store is made, found, migrated and refused as it should be; its troubles are told."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from expectations.errors import InputError, OutsideError
from tasks.database import database_at, shown
from tasks.loading import as_arrow
from tasks.published import assignments_of, current, publications
from tasks.publishing import publish
from tasks.store import MAKING, alembic_config, changing, open_store, store_row
from tasks.tables import HEAD, TABLES, VERSION_TABLE, assignments, runs
from tests.databases import database_on, on_server, postgresql_at, server_folder
from tests.publications import publication_of

pytest_plugins = ["tests.engines"]
ROOT = Path(__file__).resolve().parents[1]


def test_a_new_store_has_the_tables_that_the_code_knows(database_url: str) -> None:
    store = open_store(database_url, "real")
    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, TABLES) == []
        assert ScriptDirectory.from_config(alembic_config(connection)).get_heads() == [HEAD]


def test_a_store_is_found_again_with_its_origin_and_its_own_secret(
    database_url: str, tmp_path: Path
) -> None:
    made, found = open_store(database_url, "synthetic"), open_store(database_url)
    other = open_store(str(tmp_path / "other.db"), "synthetic")
    secrets = []
    for store in (made, found, other):
        with store.database.reading() as connection:
            secrets.append(store_row(connection).secret)
    assert made.origin == found.origin == "synthetic"
    assert secrets[0] == secrets[1] != secrets[2]
    assert len(secrets[0]) == 32


def test_real_and_synthetic_months_never_share_a_store(database_url: str) -> None:
    store = open_store(database_url, "real")
    with pytest.raises(InputError, match=r"holds real months.*demo\.db"):
        open_store(database_url, "synthetic")
    with pytest.raises(InputError, match="holds real months"):
        publish(store, publication_of(store, "2026-01", origin="synthetic"))
    assert publications(store) == []


def test_without_an_origin_no_store_is_made(database_url: str) -> None:
    with pytest.raises(InputError, match="no segment store at"):
        open_store(database_url)
    path = database_at(database_url).path
    assert path is None or not path.exists()


def test_a_file_and_its_folder_are_their_owners_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "new" / "segments.db"), "real")
    path = store.database.path
    assert path is not None
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE store SET current_run = NULL"))
        modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    assert set(modes) == {"segments.db", "segments.db-wal", "segments.db-shm"}
    assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_store_of_a_newer_version_is_refused_with_words(database_url: str) -> None:
    store = open_store(database_url, "real")
    with store.database.writing() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    told = rf"newer resegment \(tables 9999; this one knows {HEAD}\)"
    with pytest.raises(InputError, match=told):
        open_store(database_url, "real")


def test_a_store_of_the_first_version_is_migrated_with_all_that_it_holds(database_url: str) -> None:
    database = database_at(database_url)
    if database.path:
        database.path.parent.mkdir()
        database.path.touch()
    run = {"run_id": "january", "month": "2026-01", "revision": 1, "origin": "real"}
    row = {"run_id": "january", "customer_id": "C0000001", "segment_id": "S01", "status": "stayed"}
    with database.writing() as connection:
        command.upgrade(alembic_config(connection), "0001")
        connection.execute(
            sa.text(
                "INSERT INTO store (id, origin, secret, current_run) "
                f"VALUES (1, 'real', '{'ab' * 32}', 'january')"
            )
        )
        connection.execute(sa.insert(runs).values(**run, status="published"))
        named = [assignments.c[name] for name in row]
        connection.execute(
            sa.insert(assignments).values(dict(zip(named, row.values(), strict=True)))
        )
    store = open_store(database_url)
    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, TABLES) == []
        assert store_row(connection) == ("real", b"\xab" * 32, "january")
    (found,) = assignments_of(store, "january").to_dict("records")
    assert (found["customer_id"], found["segment_id"]) == ("C0000001", "S01")
    assert pd.isna(found["next_product"])
    publish(store, publication_of(store, "2026-02", "february"))
    assert current(store) == "february"


def test_a_run_from_before_there_were_next_products_is_published(database_url: str) -> None:
    store = open_store(database_url, "real")
    january = publication_of(store, "2026-01", "m1")
    older = january.assignments.drop(columns="next_product")
    publish(store, replace(january, assignments=older))
    assert assignments_of(store, "m1")["next_product"].isna().all()
    february = publication_of(store, "2026-02", "m2")
    offered = february.assignments.assign(next_product="Loan")
    publish(store, replace(february, assignments=offered))
    assert set(assignments_of(store, "m2")["next_product"]) == {"Loan"}


def test_a_database_that_holds_something_else_is_left_alone(database_url: str) -> None:
    database = database_at(database_url)
    if database.path:
        database.path.parent.mkdir()
        database.path.touch()
    with database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE runs (name TEXT)"))
    with pytest.raises(InputError, match=r"no segment store: runs\."):
        open_store(database_url, "real")
    with database.reading() as connection:
        assert sa.inspect(connection).get_table_names() == ["runs"]


def test_tables_of_others_in_the_same_database_are_no_hindrance(database_url: str) -> None:
    database = database_at(database_url)
    if database.path:
        database.path.parent.mkdir()
        database.path.touch()
    with database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
    assert open_store(database_url, "real").origin == "real"


def test_a_store_whose_making_was_broken_off_is_made_by_the_next_call(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(_: int) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tasks.store.secrets.token_hex", break_off)
        open_store(database_url, "real")
    with database_at(database_url).reading() as connection:
        assert sa.inspect(connection).get_table_names() == []
    assert open_store(database_url, "real").origin == "real"


def test_processes_that_make_one_store_at_once_do_each_other_no_harm(database_url: str) -> None:
    script = (
        "import sys; from tasks.store import open_store; sys.stdin.read(1)\n"
        "open_store(sys.argv[1], 'real'); print('done')"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", script, database_url], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda maker: maker.communicate("x", timeout=60), makers))
    assert [out for out, _ in said] == ["done\n"] * 3, said
    with open_store(database_url).database.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM store")).scalar() == 1


def test_whoever_makes_a_store_on_a_server_waits_for_another_who_does(postgresql: str) -> None:
    with database_on(postgresql) as url:
        with database_at(url).writing() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MAKING)))
            with pytest.raises(OutsideError, match="somebody else holds its lock"):
                open_store(url, "real", patience=0.2)
        assert open_store(url, "real").origin == "real"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://user:hidden@host/db",
        "postgresql://user:hidden@host:port/db",
        "postgresql://user:secret@hidden@host/db",
        "nonsense://",
        "://",
    ],
)
def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(InputError) as refused:
        open_store(url, "real")
    assert "hidden" not in str(refused.value)


def test_a_password_is_shown_nowhere() -> None:
    given = "postgresql://me:s3cret%40x@db.example:5433/shop?sslmode=require&password=s3cret@x"
    assert shown(given) == "postgresql://me:***@db.example:5433/shop?password=***&sslmode=require"
    assert "s3cret" not in repr(database_at(given))
    assert database_at(given).url.password == "s3cret@x"


def test_without_a_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"pip install 'resegment\[postgresql\]'"):
        open_store("postgresql://me@host/db", "real")


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("CUST_ID,BALANCE\nC10001,40.9\n")
    with pytest.raises(InputError, match="no database"):
        open_store(str(path), "real")
    with pytest.raises(InputError, match="is a folder"):
        open_store(str(tmp_path), "real")
    assert path.read_text() == "CUST_ID,BALANCE\nC10001,40.9\n"


def test_changes_take_turns(database_url: str) -> None:
    store = open_store(database_url, "real")
    impatient = open_store(database_url, patience=0.2)
    with changing(store):
        with pytest.raises(OutsideError, match="somebody else holds its lock"), changing(impatient):
            raise AssertionError("both change the store")
        with impatient.database.reading() as connection:  # a reader waits for nobody
            assert store_row(connection).current_run is None
    with changing(impatient):
        pass


def test_the_two_copies_of_sqlite_never_have_the_file_open_together(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "segments.db"), "real")
    publish(store, publication_of(store, "2026-01", "january"))
    is_reading, has_read = threading.Event(), threading.Event()

    def read_in_bulk() -> int:
        is_reading.wait(10)
        n_customers = len(assignments_of(store, "january"))
        assert has_read.is_set()
        return n_customers

    with ThreadPoolExecutor() as pool, store.database.reading():
        bulk = pool.submit(read_in_bulk)
        with pytest.raises(RuntimeError, match="waits for itself"):
            store.database.load("assignments", pa.table({}))
        is_reading.set()
        with pytest.raises(TimeoutError):
            bulk.result(0.2)  # it waits for its turn
        has_read.set()
    assert bulk.result() == 50


# Troubles: each is tried for real, nothing is lost, and the same call succeeds afterwards.


def test_a_file_in_the_folders_place_is_told_and_the_rerun_works(tmp_path: Path) -> None:
    blocked = tmp_path / "stores"
    blocked.write_text("")
    with pytest.raises(OutsideError, match="a file stands where a folder belongs"):
        open_store(str(blocked / "segments.db"), "real")
    blocked.unlink()
    assert open_store(str(blocked / "segments.db"), "real").origin == "real"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 3 MB."""
    disk = Path(tempfile.mkdtemp(prefix="disk-"))
    disk.chmod(0o755)  # a server has a user of its own
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
        disk.rmdir()


def fill(disk: Path) -> None:
    """Leave 200 kB of it."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "other").write_bytes(bytes(free - 200_000))


def test_a_full_disk_loses_nothing_and_the_rerun_works(small_disk: Path) -> None:
    store = open_store(str(small_disk / "segments.db"), "real")
    publish(store, publication_of(store, "2026-01", "january"))
    february = publication_of(store, "2026-02", "february", n_customers=5000)
    fill(small_disk)
    with pytest.raises(OutsideError, match="full"):
        publish(store, february)
    assert current(store) == "january"
    (small_disk / "other").unlink()
    publish(store, february)
    assert current(store) == "february"


def test_a_read_only_disk_is_told_and_the_rerun_works(small_disk: Path) -> None:
    store = open_store(str(small_disk / "segments.db"), "real")
    publish(store, publication_of(store, "2026-01", "january"))
    february = publication_of(store, "2026-02", "february")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OutsideError, match=r"read-only|cannot be opened"):
        publish(store, february)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert current(store) == "january"
    assert publish(store, february).run_id == current(store)


def test_a_file_that_cannot_grow_loses_nothing_and_the_rerun_works(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "segments.db"), "real")
    publish(store, publication_of(store, "2026-01", "january"))
    script = (
        "import resource, sys\n"
        "from tests.publications import publication_of\n"
        "from tasks.publishing import publish\n"
        "from tasks.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "february = publication_of(store, '2026-02', 'february', n_customers=5000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "publish(store, february)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, store.database.path or ""], cwd=ROOT, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert "OutsideError" in ended.stderr, ended.stderr
    assert "full" in ended.stderr
    assert current(store) == "january"
    publish(store, publication_of(store, "2026-02", "february", n_customers=5000))
    assert current(store) == "february"


def test_a_database_that_somebody_locks_is_waited_for_and_then_told(database_url: str) -> None:
    store = open_store(database_url, "real", patience=0.2)
    january = publication_of(store, "2026-01", "january")
    holder = database_at(database_url)
    with holder.writing() as connection:  # SQLite locks the file by that alone
        if not holder.path:
            connection.execute(sa.text("LOCK TABLE store, assignments"))
        with pytest.raises(OutsideError, match="somebody else holds its lock"):
            publish(store, january)
    assert publish(store, january).run_id == current(store)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "segments.db"), "real")
    publish(store, publication_of(store, "2026-01", n_customers=2000))
    path = store.database.path
    assert path is not None
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(OutsideError, match="damaged"):
        open_store(str(path))


def test_a_read_only_server_is_told_and_the_rerun_works(postgresql: str) -> None:
    with database_on(postgresql) as url:
        store = open_store(url, "real")
        january = publication_of(store, "2026-01", "january")
        name = sa.make_url(url).database
        on_server(postgresql, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(OutsideError, match="it is read-only"):
            publish(store, january)
        assert publications(open_store(url)) == []
        on_server(postgresql, f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        assert publish(store, january).run_id == current(store)


def test_a_statement_that_takes_too_long_is_told(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.connecting.STATEMENT_SECONDS", 0.2)
    with database_on(postgresql) as url:
        store = open_store(url, "real")
        with (
            pytest.raises(OutsideError, match="a statement took over"),
            store.database.reading() as connection,
        ):
            connection.execute(sa.text("SELECT pg_sleep(60)"))


def test_a_trouble_quotes_neither_a_customer_nor_a_password(database_url: str) -> None:
    store = open_store(database_url, "real")
    rows = as_arrow(publication_of(store, "2026-01").assignments, "twice")
    store.database.load("assignments", rows)
    with pytest.raises(OutsideError, match="another process publishes this run") as told:
        store.database.load("assignments", rows)
    assert "C00" not in str(told.value)
    assert told.value.__suppress_context__
    nowhere = "postgresql://me:s3cret@127.0.0.1:1/shop"
    with pytest.raises(OutsideError, match="cannot be reached") as told:
        open_store(nowhere, "real")
    assert "s3cret" not in str(told.value)
    assert "me:***@127.0.0.1:1/shop" in str(told.value)


def test_a_missing_database_is_told(postgresql: str) -> None:
    missing = sa.make_url(postgresql).set(database="no_such_database")
    with pytest.raises(OutsideError, match="no such database"):
        open_store(missing.render_as_string(hide_password=False), "real")


@pytest.fixture
def own_server() -> Iterator[Path]:
    """The folder of a server that the test may stop."""
    with server_folder() as folder:
        yield folder


def test_a_server_that_is_down_is_told_and_nothing_is_lost(own_server: Path) -> None:
    with postgresql_at(own_server) as url:
        store = open_store(url, "real")
        publish(store, publication_of(store, "2026-01", "january"))
        february = publication_of(store, "2026-02", "february")
    with pytest.raises(OutsideError, match="cannot be reached"):
        publish(store, february)
    with postgresql_at(own_server) as url:
        store = open_store(url)
        assert current(store) == "january"
        assert publish(store, february).run_id == current(store)


def test_a_server_that_goes_down_between_the_blocks_is_told_and_nothing_is_lost(
    own_server: Path,
) -> None:
    with postgresql_at(own_server) as url:
        store = open_store(url, "real")
        publish(store, publication_of(store, "2026-01", "january"))
        february = publication_of(store, "2026-02", "february")
        postmaster = int((own_server / "postmaster.pid").read_text().split()[0])

        def crash(step: str) -> None:
            if step == "loaded first block":
                os.kill(postmaster, signal.SIGQUIT)

        with pytest.raises(OutsideError):
            publish(store, february, crash)
    with postgresql_at(own_server) as url:
        store = open_store(url)
        assert current(store) == "january"
        assert publish(store, february).run_id == current(store)


def test_a_server_that_hangs_is_told_and_nothing_is_lost(own_server: Path) -> None:
    with postgresql_at(own_server) as url:
        hurried = f"{url}&connect_timeout=2"
        store = open_store(hurried, "real")
        publish(store, publication_of(store, "2026-01", "january"))
        february = publication_of(store, "2026-02", "february")
        postmaster = int((own_server / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)
        try:
            with pytest.raises(OutsideError, match="does not answer"):
                publish(store, february)
        finally:
            os.kill(postmaster, signal.SIGCONT)
        assert current(store) == "january"
        assert publish(store, february).run_id == current(store)


def test_a_server_whose_disk_is_full_loses_nothing_and_the_rerun_works(
    small_disk: Path, own_server: Path
) -> None:
    data = small_disk / "data"
    data.mkdir()
    with postgresql_at(own_server) as url:
        owner = (own_server / "base").stat()
        os.chown(data, owner.st_uid, owner.st_gid)
        on_server(url, f"CREATE TABLESPACE small LOCATION '{data}'")
        on_server(url, "CREATE DATABASE elsewhere")
        there = sa.make_url(url).set(database="elsewhere").render_as_string(hide_password=False)
        store = open_store(there, "real")
        publish(store, publication_of(store, "2026-01", "january"))
        on_server(there, "ALTER TABLE assignments SET TABLESPACE small")
        february = publication_of(store, "2026-02", "february", n_customers=5000)
        fill(small_disk)
        with pytest.raises(OutsideError, match="out of disk"):
            publish(store, february)
        assert current(store) == "january"
        (small_disk / "other").unlink()
        assert publish(store, february).run_id == current(store)

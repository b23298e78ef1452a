"""A forgotten customer is in no table and in no byte of the store; numbers stay reconcilable."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from expectations.errors import OutsideError
from tasks.database import database_at
from tasks.erasing import drop_publications, forget, forgotten
from tasks.exporting import Wanted, export
from tasks.loading import load_assignments, remove_load
from tasks.published import (
    assignments_of,
    base_for,
    current,
    erased,
    minted,
    publications,
    run_lines,
    segments_of,
)
from tasks.publishing import publish, record
from tasks.store import Store, open_store, store_row
from tasks.tables import TABLES, models, tombstones
from tests.publications import AT, month_of, publication_of

pytest_plugins = ["tests.engines"]
GONE = ["C0000003", "C0000004", "C0000049"]  # one in each segment, and one in none


@pytest.fixture
def store(empty_store: Store) -> Store:
    """January and February, with fifty customers each."""
    for run_id in ("2026-01", "2026-02"):
        publish(empty_store, publication_of(empty_store, run_id, run_id))
    return empty_store


def bytes_of(store: Store) -> bytes:
    """All that an SQLite store has on disk."""
    path = store.database.path
    assert path is not None
    return b"".join(one.read_bytes() for one in sorted(path.parent.iterdir()))


def test_a_forgotten_customer_is_in_no_publication(store: Store) -> None:
    assert forget(store, [*GONE, "nobody", "nobody"], AT) == (4, 3, 6)
    for run_id in ("2026-01", "2026-02"):
        left = assignments_of(store, run_id)
        assert len(left) == 47
        assert not set(left["customer_id"]) & set(GONE)


def test_sizes_stay_reconcilable(store: Store) -> None:
    forget(store, GONE[:2], AT)
    forget(store, GONE[1:], AT)
    left = assignments_of(store, "2026-02")["segment_id"].value_counts()
    lost = erased(store, "2026-02").set_index("segment_id")["customers"]
    assert lost.sum() == 3
    assert lost[lost.index.isna()].tolist() == [1]  # who was in no segment
    for line in segments_of(store, "2026-02").to_dict("records"):
        assert line["size"] == left[line["segment_id"]] + lost[line["segment_id"]]


def test_the_tombstone_is_known_again_and_tells_nobody_the_id(store: Store) -> None:
    forget(store, ["C0000003", "nobody"], AT)
    is_forgotten = forgotten(store)
    asked = np.array(["C0000002", "C0000003", "nobody", "c0000003"])
    assert is_forgotten(asked).tolist() == [False, True, True, False]
    with store.database.reading() as connection:
        hashes = connection.execute(sa.select(tombstones.c.hash)).scalars().all()
    assert len(hashes) == 2
    assert all(len(one) == 64 for one in hashes)
    assert hashes != []


def test_two_stores_hash_the_same_id_differently(tmp_path: Path) -> None:
    hashes = []
    for name in ("one.db", "two.db"):
        store = open_store(str(tmp_path / name), "real")
        forget(store, ["C0000003"], AT)
        with store.database.reading() as connection:
            hashes.append(connection.execute(sa.select(tombstones.c.hash)).scalar())
            assert len(store_row(connection).secret) == 32
    assert hashes[0] != hashes[1]


def test_nobody_is_forgotten_before_somebody_is(store: Store) -> None:
    assert not forgotten(store)(np.array(["C0000003", ""])).any()


def test_forgetting_twice_is_forgetting_once(store: Store) -> None:
    forget(store, GONE, AT)
    assert forget(store, GONE, AT) == (3, 0, 0)
    assert erased(store, "2026-01")["customers"].sum() == 3


def test_many_can_be_forgotten_at_once(store: Store) -> None:
    everybody = [f"C{number:07d}" for number in range(1201)]
    assert forget(store, everybody, AT) == (1201, 50, 100)
    assert forgotten(store)(np.array(everybody)).all()


def test_a_forgotten_customer_is_in_no_byte_of_the_file(empty_file: Path) -> None:
    store = open_store(str(empty_file))
    for run_id in ("2026-01", "2026-02"):
        publish(store, publication_of(store, run_id, run_id, n_customers=3000))
    gone = [f"C000{number}" for number in range(1000, 3000, 7)]
    assert all(one.encode() in bytes_of(store) for one in gone)
    forget(store, gone, AT)
    left = bytes_of(store)
    assert not [one for one in gone if one.encode() in left]
    assert b"C0001001" in left


def test_a_load_that_was_taken_out_again_is_in_no_byte_of_the_file(empty_file: Path) -> None:
    store = open_store(str(empty_file))
    rows = publication_of(store, "2026-01", n_customers=3000).assignments
    load_assignments(store, rows, "killed", lambda step: None)
    assert b"C0001003" in bytes_of(store)
    remove_load(store, "killed")
    assert b"C0001003" not in bytes_of(store)


def test_what_was_deleted_carelessly_is_in_no_byte_either(empty_file: Path) -> None:
    """SQLite leaves a deleted row in its page, unless it is told or the pages are written anew."""
    store = open_store(str(empty_file))
    publish(store, publication_of(store, "2026-01", n_customers=3000))
    careless = sqlite3.connect(empty_file)
    careless.execute("PRAGMA secure_delete = OFF")
    careless.execute("DELETE FROM assignments WHERE customer_id = 'C0001003'")
    careless.commit()
    careless.close()
    assert b"C0001003" in bytes_of(store)
    forget(store, ["C0001003"], AT)
    assert b"C0001003" not in bytes_of(store)


def test_a_reader_that_keeps_the_old_bytes_is_told_and_the_rerun_works(empty_file: Path) -> None:
    store = open_store(str(empty_file), patience=0.2)
    publish(store, publication_of(store, "2026-01", n_customers=3000))
    reader = database_at(str(store.database.path))
    with reader.reading() as connection:
        connection.execute(sa.text("SELECT count(*) FROM assignments")).scalar()
        with pytest.raises(OutsideError):
            forget(store, ["C0001003"], AT)
    assert forget(store, ["C0001003"], AT).found == 0
    assert b"C0001003" not in bytes_of(store)


@pytest.fixture
def files_of_postgresql(postgresql: str) -> Iterator[Path]:
    """The data folder of the server, if it is on this machine."""
    import psycopg

    with psycopg.connect(postgresql) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    if not Path(row[0]).is_dir():
        pytest.skip("the server is on another machine: its files cannot be read")
    yield Path(row[0])


def test_a_forgotten_customer_is_in_no_file_of_the_tables(
    store: Store, files_of_postgresql: Path
) -> None:
    if store.database.path:
        return  # the test above
    with store.database.reading() as connection:
        where = "SELECT pg_relation_filepath('assignments')"
        before = files_of_postgresql / str(connection.execute(sa.text(where)).scalar())
    with store.database.alone() as connection:
        connection.exec_driver_sql("CHECKPOINT")
    assert b"C0000003" in before.read_bytes()
    forget(store, ["C0000003"], AT)
    with store.database.alone() as connection:
        connection.exec_driver_sql("CHECKPOINT")
        now = files_of_postgresql / str(connection.execute(sa.text(where)).scalar())
    for path in now.parent.iterdir():
        assert b"C0000003" not in path.read_bytes(), path


def test_an_id_waits_for_its_destination_in_one_table_and_then_in_no_byte(
    store: Store, files_of_postgresql: Path, tmp_path: Path
) -> None:
    wanted = Wanted("mail", tmp_path / "lists")
    export(store, "2026-02", wanted, AT)
    forget(store, ["C0000003"], AT)
    assert tables_with("C0000003", store) == ["removals"]
    export(store, "2026-02", wanted, AT)
    assert tables_with("C0000003", store) == []
    if store.database.path:
        assert b"C0000003" not in bytes_of(store)
        return
    with store.database.alone() as connection:
        connection.exec_driver_sql("CHECKPOINT")
        where = connection.execute(sa.text("SELECT pg_relation_filepath('removals')")).scalar()
    for path in (files_of_postgresql / str(where)).parent.iterdir():
        assert b"C0000003" not in path.read_bytes(), path


def tables_with(customer: str, store: Store) -> list[str]:
    """Tables that hold an id."""
    holding = []
    with store.database.reading() as connection:
        for table in TABLES.sorted_tables:
            if any(customer in map(str, row) for row in connection.execute(sa.select(table))):
                holding.append(table.name)
    return holding


# Retention


def test_old_months_are_dropped_with_their_models_and_the_ids_stay(store: Store) -> None:
    publish(store, publication_of(store, "2026-03", "2026-03", born=1))
    record(store, {"run_id": "r", "month": "2026-01", "origin": "real", "status": "refused"})
    assert sorted(drop_publications(store, month_of("2026-03"))) == ["2026-01", "r"]
    assert [one.run_id for one in publications(store)] == ["2026-02", "2026-03"]
    assert [line["run_id"] for line in run_lines(store)] == ["2026-02", "2026-03"]
    assert minted(store) == 3
    with store.database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(models)).scalar() == 2


def test_neither_the_current_month_nor_what_it_compares_with_is_dropped(store: Store) -> None:
    publish(store, publication_of(store, "2026-01", "corrected"))
    assert drop_publications(store, month_of("2030-01")) == []
    publish(store, publication_of(store, "2026-03", "2026-03"))
    assert sorted(drop_publications(store, month_of("2030-01"))) == ["2026-01", "corrected"]
    assert current(store) == "2026-03"
    assert base_for(store, month_of("2026-04")).champion == "2026-03"
    assert len(assignments_of(store, "2026-02")) == 50
    publish(store, publication_of(store, "2026-04", "2026-04"))


def test_a_dropped_month_is_in_no_byte_of_the_file(empty_file: Path) -> None:
    store = open_store(str(empty_file))
    publish(store, publication_of(store, "2026-01", n_customers=3000))
    for month in ("2026-02", "2026-03"):
        publish(store, publication_of(store, month, n_customers=50))
    assert b"C0001003" in bytes_of(store)
    drop_publications(store, month_of("2026-02"))
    assert b"C0001003" not in bytes_of(store)

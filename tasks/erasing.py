"""Customers and publications that leave the store, so that their bytes leave its pages too."""

import hmac
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from expectations.errors import OutsideError
from tasks.order import Published, rest_on
from tasks.published import loaded_runs, publications_in
from tasks.store import Store, changing, store_row
from tasks.tables import (
    assignments,
    audiences,
    decisions,
    erasures,
    exports,
    migration,
    models,
    removals,
    runs,
    segments,
    tombstones,
)

AT_ONCE = 500  # ids in a statement


class Tombstones(NamedTuple):
    """Who was forgotten: the hashes of their ids, under the store's own key."""

    secret: bytes
    hashes: frozenset[str]

    @property
    def sha256(self) -> str:
        """Changes with who was forgotten, and with the store; tells nobody who."""
        return hmac.digest(self.secret, " ".join(sorted(self.hashes)).encode(), "sha256").hex()

    def hash_of(self, customer: str) -> str:
        """The keyed hash of an id: without the key nobody can try ids out."""
        return hmac.digest(self.secret, str(customer).encode(), "sha256").hex()

    def __call__(self, customers: np.ndarray) -> np.ndarray:
        """The same as `mark`."""
        return self.mark(customers)

    def mark(self, customers: Collection[str] | pd.Series | np.ndarray) -> np.ndarray:
        """Whether each of these ids was forgotten, (n_customers,) of bool."""
        if not self.hashes:
            return np.zeros(len(customers), dtype=bool)
        return np.fromiter((self.hash_of(one) in self.hashes for one in customers), dtype=bool)


class Forgotten(NamedTuple):
    """How many ids were asked for, how many of them the store knew, and rows erased for it."""

    customers: int
    found: int
    assignments: int


def forgotten(store: Store) -> Callable[[np.ndarray], np.ndarray]:
    """A function from ids, (n_customers,), to whether each was forgotten."""
    with store.database.reading() as connection:
        return tombstones_in(connection).mark


def tombstones_in(connection: sa.Connection) -> Tombstones:
    """The tombstones, within a transaction."""
    hashes = connection.execute(sa.select(tombstones.c.hash)).scalars()
    return Tombstones(store_row(connection).secret, frozenset(hashes))


def forget(store: Store, customers: Iterable[str], at: datetime | str) -> Forgotten:
    """Erase customers from every publication and leave a tombstone each.

    Their rows are counted by run and segment, so that sizes stay reconcilable. Their ids wait in
    `removals` for the next export to each destination that has them, and nowhere else. If it was
    killed or failed half-way, the same call ends what it began. Backups and a server's write-ahead
    log are beyond its reach. Raises `OutsideError` when the database fails, or is read all the
    time.
    """
    wanted = sorted(set(customers))
    with changing(store) as (connection, _):
        erased = [_erase(connection, run_id, wanted, at) for run_id in loaded_runs(connection)]
        _take_from_destinations(connection, wanted)
        _bury(connection, wanted, at)
    scrub(store)
    rows = pd.concat(erased) if erased else pd.DataFrame({"customer_id": []})
    return Forgotten(len(wanted), rows["customer_id"].nunique(), len(rows))


def _erase(
    connection: sa.Connection, run_id: str, customers: Sequence[str], at: datetime | str
) -> pd.DataFrame:
    """Take customers out of one run's rows; returns their ids, segments and statuses."""
    wanted = [assignments.c[name] for name in ("customer_id", "segment_id", "status")]
    erased = [pd.DataFrame({column.key: [] for column in wanted}, dtype="str")]
    for start in range(0, len(customers), AT_ONCE):
        theirs = sa.and_(
            assignments.c.run_id == run_id,
            assignments.c.customer_id.in_(customers[start : start + AT_ONCE]),
        )
        query = sa.select(*wanted).where(theirs)
        erased.append(pd.DataFrame(connection.execute(query).all(), columns=list(erased[0])))
        connection.execute(sa.delete(assignments).where(theirs))
    rows = pd.concat(erased, ignore_index=True)
    if any(one.run_id == run_id for one in publications_in(connection)):
        note_erased(connection, run_id, rows, at)
    return rows


def note_erased(
    connection: sa.Connection, run_id: str, rows: pd.DataFrame, at: datetime | str
) -> None:
    """Count by segment who was erased from a publication: rows of it, `segment_id` and `status`.

    Who was not assessed is in no segment's size, and is counted with none.
    """
    is_counted = rows["segment_id"].notna() & (rows["status"] != "not_assessed")
    named = rows["segment_id"].astype(object).where(is_counted, None)
    for segment_id, n_customers in named.value_counts(dropna=False).items():
        line = {"run_id": run_id, "segment_id": segment_id, "customers": n_customers}
        connection.execute(sa.insert(erasures).values(**line, erased_at=at))


def _take_from_destinations(connection: sa.Connection, customers: Sequence[str]) -> None:
    """Move customers from what destinations have to what these have yet to be told."""
    for start in range(0, len(customers), AT_ONCE):
        theirs = audiences.c.customer_id.in_(customers[start : start + AT_ONCE])
        had = sa.select(exports.c.destination, audiences.c.customer_id).distinct()
        had = had.join(exports, exports.c.id == audiences.c.export_id)
        had = had.where(theirs, exports.c.number.is_not(None))
        names = ["destination", "customer_id"]
        connection.execute(sa.insert(removals).from_select(names, had))
        connection.execute(sa.delete(audiences).where(theirs))


def _bury(connection: sa.Connection, customers: Sequence[str], at: datetime | str) -> None:
    known = tombstones_in(connection)
    new = {known.hash_of(one) for one in customers} - known.hashes
    if new:
        rows = [{"hash": one, "forgotten_at": at} for one in sorted(new)]
        connection.execute(sa.insert(tombstones), rows)


def untold(store: Store) -> list[str]:
    """Destinations that have yet to be told of customers who were forgotten."""
    names = sa.select(removals.c.destination).distinct().order_by(removals.c.destination)
    with store.database.reading() as connection:
        return list(connection.execute(names).scalars())


def drop_publications(store: Store, before: pd.Period) -> list[str]:
    """Drop all runs of the months before `before`, with all that the store holds of them.

    The current publication stays, and what its month's moves compare with; the registry too, so
    that no id is ever minted twice. Returns the ids of the runs that were dropped.
    """
    with changing(store) as (connection, row):
        known = publications_in(connection)
        kept = _still_needed(connection, known, row.current_run)
        lines = connection.execute(sa.select(runs.c.run_id).where(runs.c.month < str(before)))
        dropped = [run_id for run_id in lines.scalars() if run_id not in kept]
        for table in (assignments, segments, migration, erasures, decisions, runs):
            connection.execute(sa.delete(table).where(table.c.run_id.in_(dropped)))
        in_use = sa.select(runs.c.model_sha256).where(runs.c.model_sha256.is_not(None))
        connection.execute(sa.delete(models).where(models.c.sha256.not_in(in_use)))
    if dropped:
        scrub(store)
    return dropped


def _still_needed(
    connection: sa.Connection, known: Sequence[Published], current: str | None
) -> set[str]:
    """The current publication, what it compares with, and what a correction of it would."""
    if current is None:
        return set()
    month = next(one.month for one in known if one.run_id == current)
    compared = sa.select(runs.c.previous_run).where(runs.c.run_id == current)
    needed = {
        current,
        connection.execute(compared).scalar(),
        rest_on(known, current, month).previous,
    }
    return {run_id for run_id in needed if run_id is not None}


def scrub(store: Store) -> None:
    """Write the database's pages anew, so that what was deleted is in none of them."""
    with store.database.alone() as connection:
        if not store.database.path:
            connection.exec_driver_sql("SET statement_timeout = 0")
            for table in (assignments, segments, models, audiences, removals):
                connection.exec_driver_sql(f"VACUUM (FULL) {table.name}")
            return
        connection.exec_driver_sql("VACUUM")
        is_busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    if is_busy:
        raise OutsideError(
            f"the rows are deleted, but {store.database.shown} is being read, and its log still "
            "holds them. Close what reads it, and run the command again."
        )


def scrub_told(store: Store) -> None:
    """The same for ids of which every destination has been told; SQLite's are gone by that."""
    if not store.database.path:
        with store.database.alone() as connection:
            connection.exec_driver_sql(f"VACUUM (FULL) {removals.name}")

"""Publishing a month: loaded invisibly, then shown by one small transaction."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from expectations.errors import ResegmentError
from tasks.erasing import Tombstones, note_erased, tombstones_in
from tasks.loading import is_increasing, load_assignments, remove_leftovers, remove_load
from tasks.order import Base, Published
from tasks.published import publications_in
from tasks.store import Store, StoreRow, changing, check_origin
from tasks.tables import (
    assignments,
    decisions,
    migration,
    models,
    registry_table,
    runs,
    segments,
    store_table,
)

if TYPE_CHECKING:
    from tasks.modelfile import StoredModel

UNPUBLISHED = ("refused", "awaiting", "kept", "candidate")
FILLED_IN = frozenset({  # what follows from the base, the model and the store
    "revision", "status", "current_before", "previous_run", "replaces", "replaced_by",
    "champion_run", "model_sha256",
})  # fmt: skip


class Superseded(ResegmentError):
    """Something else was published, rolled back or erased meanwhile: nothing was written."""

    exit_code = 1


@dataclass(frozen=True)
class Publication:
    """A month that is ready to be published.

    Parameters
    ----------
    facts : mapping
        Columns of the table `runs`: `run_id`, `month`, `origin`, `model` and `published_at` at
        least. What follows from the base, the model and the store is filled in.
    base : Base
        What the run rests on, as noted when it began.
    model : StoredModel
        The model that assigned the month.
    segments : DataFrame
        One row per segment: columns of the table `segments` without `run_id`.
    assignments : DataFrame
        One row per customer: columns of the table `assignments` without `run_id`.
    migration : DataFrame
        One row per cell of the migration matrix: columns of the table `migration`.
    born : sequence of (segment_id, birth)
        The ids that this month mints, each with its definition (JSON).
    decision : mapping, optional
        `decision`, `comment`, `who` and `decided_at` of the person who decided.
    """

    facts: Mapping[str, Any]
    base: Base
    model: "StoredModel"
    segments: pd.DataFrame
    assignments: pd.DataFrame
    migration: pd.DataFrame
    born: Sequence[tuple[str, Mapping[str, Any]]] = ()
    decision: Mapping[str, Any] | None = None

    @property
    def run_id(self) -> str:
        """The run that is published."""
        return str(self.facts["run_id"])

    @property
    def month(self) -> pd.Period:
        """Its month."""
        return pd.Period(str(self.facts["month"]), "M")


def publish(
    store: Store, publication: Publication, on_step: Callable[[str], None] = lambda name: None
) -> Published:
    """Publish a month; if that was done before, nothing happens.

    The assignments are loaded in blocks under the run's id, where nothing points at them. Then
    one transaction checks that what the run rests on is unchanged, enters the run, and moves the
    pointer, unless the month lies before the current one. `on_step(name)` hears how far it is.

    Raises
    ------
    Superseded
        What the run rests on has changed: nothing is written, and the month must be run again.
    InputError
        Real and synthetic months would share the store.
    OutsideError
        The database failed; the month that was current still is.
    """
    _check(store, publication)
    with changing(store) as (connection, row):
        if done := _already_published(connection, publication):
            return done
        _check_base(connection, row, publication)
        remove_leftovers(connection)
        tombstones = tombstones_in(connection)
    kept, erased = _divided(publication.assignments, tombstones)
    load_assignments(store, kept, publication.run_id, on_step)
    try:
        with changing(store) as (connection, row):
            _check_base(connection, row, publication)
            _check_loaded(connection, publication, len(kept), tombstones)
            done = _enter(connection, publication)
            at = publication.facts["published_at"]
            note_erased(connection, publication.run_id, erased, at)
            on_step("before pointer")
            if not publication.base.is_older:
                connection.execute(sa.update(store_table).values(current_run=publication.run_id))
            on_step("after pointer")
    except Superseded:
        remove_load(store, publication.run_id)
        raise
    except sa.exc.IntegrityError:
        remove_load(store, publication.run_id)
        raise _superseded(publication, "another run entered the same revision or ids") from None
    on_step("published")
    return done


def record(store: Store, facts: Mapping[str, Any]) -> None:
    """Note a run that was not published, or note it anew; a publication's line stays as it is.

    `facts` are columns of the table `runs`; `status` is refused, awaiting, kept or candidate.
    """
    if facts["status"] not in UNPUBLISHED:
        raise ValueError(f"status {facts['status']}: only {', '.join(UNPUBLISHED)} are recorded")
    check_origin(store, str(facts["origin"]))
    with changing(store) as (connection, _):
        if not any(one.run_id == facts["run_id"] for one in publications_in(connection)):
            _upsert_run(connection, facts)


def decide(store: Store, run_id: str, decision: Mapping[str, Any]) -> None:
    """Note what a person decided: `decision`, `comment`, `who`, `decided_at`."""
    with changing(store) as (connection, _):
        connection.execute(sa.insert(decisions).values(run_id=run_id, **decision))


def _check(store: Store, publication: Publication) -> None:
    """What can be told without the database. Raises `ValueError` for a publication not in order."""
    check_origin(store, str(publication.facts["origin"]))
    if filled := FILLED_IN & set(publication.facts):
        raise ValueError(f"facts: {', '.join(sorted(filled))} follow from the base and the model")
    ids = publication.assignments["customer_id"]
    if not is_increasing(ids) and (n_doubled := int(ids.duplicated().sum())):
        raise ValueError(f"assignments: {n_doubled} rows repeat a customer's id")
    if hashlib.sha256(publication.model.content).hexdigest() != publication.model.sha256:
        raise ValueError("model: its sha256 is not that of its content")


def _divided(table: pd.DataFrame, tombstones: Tombstones) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that may be published, and those of customers who were forgotten meanwhile."""
    is_erased = tombstones.mark(table["customer_id"])
    return (table[~is_erased], table[is_erased]) if is_erased.any() else (table, table[:0])


def _already_published(connection: sa.Connection, publication: Publication) -> Published | None:
    for one in publications_in(connection):
        if one.run_id == publication.run_id:
            if one.status == "withdrawn":
                raise _superseded(publication, "it was published and then rolled back")
            return one
    return None


def _check_base(connection: sa.Connection, row: StoreRow, publication: Publication) -> None:
    standing = [one for one in publications_in(connection) if one.stands]
    replaced = next((one.run_id for one in standing if one.month == publication.month), None)
    if replaced != publication.base.replaces:
        said = f"{replaced} was published" if replaced else f"{publication.base.replaces} withdrawn"
        raise _superseded(publication, f"for the same month {said}")
    if row.current_run != publication.base.current:
        raise _superseded(publication, f"{row.current_run} became current")


def _check_loaded(
    connection: sa.Connection, publication: Publication, n_expected: int, tombstones: Tombstones
) -> None:
    """That all rows are there, and that nobody was erased while they were loaded."""
    count = sa.select(sa.func.count()).where(assignments.c.run_id == publication.run_id)
    if connection.execute(count).scalar() != n_expected:
        raise _superseded(publication, "another publication took out what it had loaded")
    if tombstones_in(connection) != tombstones:
        raise _superseded(publication, "customers were erased")


def _superseded(publication: Publication, what: str) -> Superseded:
    return Superseded(
        f"{publication.run_id}: {what} in the meantime, and this run rests on what was before. "
        f"Nothing was published. Run {publication.month} again."
    )


def _enter(connection: sa.Connection, publication: Publication) -> Published:
    """The run and all that belongs to it, except its assignments."""
    base, model, run_id = publication.base, publication.model, publication.run_id
    month = str(publication.month)
    last = sa.select(sa.func.max(runs.c.revision)).where(runs.c.month == month)
    revision = (connection.execute(last).scalar() or 0) + 1
    if not connection.execute(sa.select(models.c.k).filter_by(sha256=model.sha256)).first():
        connection.execute(sa.insert(models).values(**model._asdict()))
    _upsert_run(
        connection,
        {"k": model.k, "space": model.space} | dict(publication.facts) | {
            "month": month, "status": "published", "revision": revision,
            "current_before": base.current, "previous_run": base.previous,
            "replaces": base.replaces, "champion_run": base.champion,
            "model_sha256": model.sha256,
        },
    )  # fmt: skip
    replaced = sa.update(runs).where(runs.c.run_id == base.replaces)
    connection.execute(replaced.values(replaced_by=run_id))
    _insert(connection, segments, publication.segments.assign(run_id=run_id))
    _insert(connection, migration, publication.migration.assign(run_id=run_id))
    for segment_id, birth in publication.born:
        line = {"number": int(segment_id[1:]), "born_run": run_id, "born_month": month}
        connection.execute(
            sa.insert(registry_table).values(segment_id=segment_id, birth=birth, **line)
        )
    if publication.decision:
        connection.execute(sa.insert(decisions).values(run_id=run_id, **publication.decision))
    return Published(run_id, publication.month, revision, "published", None)


def _upsert_run(connection: sa.Connection, facts: Mapping[str, Any]) -> None:
    line = {**facts, "month": str(facts["month"])}
    # sqlite3 would store a NumPy number as bytes
    line = {name: one.item() if isinstance(one, np.generic) else one for name, one in line.items()}
    is_this = runs.c.run_id == facts["run_id"]
    if connection.execute(sa.update(runs).where(is_this).values(line)).rowcount == 0:
        connection.execute(sa.insert(runs).values(line))


def _insert(connection: sa.Connection, table: sa.Table, rows: pd.DataFrame) -> None:
    """A small table's rows; what is missing becomes null."""
    if len(rows):
        plain = rows.astype(object).where(rows.notna(), None)
        names = [str(name) for name in plain]
        lines = [dict(zip(names, line, strict=True)) for line in plain.itertuples(index=False)]
        connection.execute(sa.insert(table), lines)

"""What the segment store holds: publications, runs, models, segments, and who was in which."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import sqlalchemy as sa

from expectations.errors import InputError
from tasks.order import Base, Published, rest_on
from tasks.store import Store, store_row
from tasks.tables import (
    ASSIGNED,
    assignments,
    erasures,
    migration,
    models,
    registry_table,
    runs,
    segments,
)

if TYPE_CHECKING:
    from tasks.modelfile import StoredModel

DTYPES: Mapping[type, str] = {
    sa.Double: "float64", sa.Integer: "int64", sa.Boolean: "boolean",
    sa.String: "str", sa.Text: "str",
}  # fmt: skip


def publications(store: Store) -> list[Published]:
    """All publications, withdrawn ones too, in the order of their months and revisions."""
    with store.database.reading() as connection:
        return publications_in(connection)


def publications_in(connection: sa.Connection) -> list[Published]:
    """The same, within a transaction."""
    columns = (runs.c[name] for name in Published._fields)
    query = sa.select(*columns).where(runs.c.revision.is_not(None))
    rows = connection.execute(query.order_by(runs.c.month, runs.c.revision))
    return [Published(*row)._replace(month=pd.Period(row.month, "M")) for row in rows]


def loaded_runs(connection: sa.Connection) -> list[str]:
    """Runs that have assignments, by jumps in the index: a year's rows are not read for it."""
    first = sa.select(sa.func.min(assignments.c.run_id))
    found, last = [], connection.execute(first).scalar()
    while last is not None:
        found.append(last)
        last = connection.execute(first.where(assignments.c.run_id > last)).scalar()
    return found


def current(store: Store) -> str | None:
    """The run whose assignments are the current ones."""
    with store.database.reading() as connection:
        return store_row(connection).current_run


def base_for(store: Store, month: pd.Period) -> Base:
    """What a run of `month` rests on, now."""
    with store.database.reading() as connection:
        return rest_on(publications_in(connection), store_row(connection).current_run, month)


def run_line(store: Store, run_id: str) -> dict[str, Any]:
    """One run's line. Raises `InputError` if the store knows no such run."""
    found = run_lines(store, run_id)
    if not found:
        raise InputError(
            f"the store {store.database.shown} knows no run {run_id}. `resegment runs` lists them."
        )
    return found[0]


def run_lines(store: Store, run_id: str | None = None) -> list[dict[str, Any]]:
    """The lines of all runs, or of one, oldest month first."""
    query = sa.select(runs).order_by(runs.c.month, runs.c.revision, runs.c.started_at)
    if run_id is not None:
        query = query.where(runs.c.run_id == run_id)
    with store.database.reading() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def assignments_of(store: Store, run_id: str) -> pd.DataFrame:
    """One row per customer of a publication, sorted by id; erased customers are not in it.

    Raises `InputError` if the run was never published.
    """
    count = sa.select(sa.func.count()).where(assignments.c.run_id == run_id)
    with store.database.reading() as connection:
        if run_id not in {one.run_id for one in publications_in(connection)}:
            raise _not_published(store, run_id)
        n_customers = int(connection.execute(count).scalar_one())
    wanted = ASSIGNED.remove(ASSIGNED.get_field_index("run_id"))
    query = f"SELECT {', '.join(wanted.names)} FROM assignments WHERE run_id = $1"
    table = store.database.table(query, run_id, n_customers, wanted)
    return table.sort_values("customer_id", ignore_index=True)


def model_of(store: Store, run_id: str) -> "StoredModel":
    """The model that a publication was assigned by. Raises `InputError` if there is none."""
    from tasks.modelfile import StoredModel

    query = sa.select(models).join(runs, runs.c.model_sha256 == models.c.sha256)
    query = query.where(runs.c.run_id == run_id, runs.c.revision.is_not(None))
    with store.database.reading() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise _not_published(store, run_id)
    lists = {name: tuple(row[name]) for name in ("segment_ids", "columns")}
    return StoredModel(**{**row, **lists})


def segments_of(store: Store, run_id: str) -> pd.DataFrame:
    """One row per segment of a publication; `name` is a person's, if somebody gave one."""
    name = sa.func.coalesce(registry_table.c.name, segments.c.name, segments.c.segment_id).label(
        "name"
    )
    others = [c for c in segments.columns if c.name not in ("run_id", "name")]
    query = sa.select(*others, name).outerjoin_from(
        segments, registry_table, registry_table.c.segment_id == segments.c.segment_id
    )
    query = query.where(segments.c.run_id == run_id).order_by(segments.c.segment_id)
    return _frame(store, query)


def registry(store: Store) -> pd.DataFrame:
    """One row per id that was ever minted, in that order."""
    return _frame(store, sa.select(registry_table).order_by(registry_table.c.number))


def minted(store: Store) -> int:
    """The largest number that a segment id ever had; 0 before the first."""
    with store.database.reading() as connection:
        return connection.execute(sa.select(sa.func.max(registry_table.c.number))).scalar() or 0


def migration_of(store: Store, run_id: str) -> pd.DataFrame:
    """The migration matrix of a publication, as a long table."""
    columns = [c for c in migration.columns if c.name not in ("id", "run_id")]
    return _frame(
        store, sa.select(*columns).where(migration.c.run_id == run_id).order_by(migration.c.id)
    )


def erased(store: Store, run_id: str) -> pd.DataFrame:
    """How many customers of each segment of a publication were erased since; null: not assessed."""
    query = sa.select(erasures.c.segment_id, sa.func.sum(erasures.c.customers).label("customers"))
    query = query.where(erasures.c.run_id == run_id).group_by(erasures.c.segment_id)
    return _frame(store, query.order_by(erasures.c.segment_id)).astype({"customers": "int64"})


def rests_on_corrected(store: Store) -> list[str]:
    """Standing publications whose moves compare with a month that was corrected or withdrawn."""
    with store.database.reading() as connection:
        known = {one.run_id: one for one in publications_in(connection)}
        rows = connection.execute(sa.select(runs.c.run_id, runs.c.previous_run)).all()
    compared = {run_id: known.get(previous) for run_id, previous in rows if run_id in known}
    return [
        run_id
        for run_id, one in known.items()
        if one.stands and (previous := compared[run_id]) is not None and not previous.stands
    ]


def source_months(store: Store) -> dict[str, tuple[pd.Period, str]]:
    """sha256 of each standing publication's source -> its month and run."""
    with store.database.reading() as connection:
        standing = {one.run_id: one for one in publications_in(connection) if one.stands}
        rows = connection.execute(sa.select(runs.c.run_id, runs.c.source_sha256)).all()
    return {
        sha256: (standing[run_id].month, run_id)
        for run_id, sha256 in rows
        if run_id in standing and sha256 is not None
    }


def settled(store: Store, month: pd.Period) -> Literal["published", "kept"] | None:
    """Whether the month was published, or a person decided to keep the one before."""
    is_kept = sa.select(runs.c.run_id).where(runs.c.month == str(month), runs.c.status == "kept")
    with store.database.reading() as connection:
        if any(one.stands and one.month == month for one in publications_in(connection)):
            return "published"
        return "kept" if connection.execute(is_kept).first() else None


def _not_published(store: Store, run_id: str) -> InputError:
    return InputError(
        f"the store {store.database.shown} holds no publication {run_id}. `resegment runs` "
        "lists the runs with their status."
    )


def _frame(store: Store, query: sa.Select) -> pd.DataFrame:
    """A small table, with the types that its columns are declared with."""
    with store.database.reading() as connection:
        rows = connection.execute(query).all()
    columns = query.selected_columns
    table = pd.DataFrame(rows, columns=[column.key for column in columns])
    known = {c.key: DTYPES[type(c.type)] for c in columns if type(c.type) in DTYPES}
    return table.astype(known)

"""Assignments in bulk: into the store under a run that nothing points at yet, and out again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tasks.published import loaded_runs, publications_in
from tasks.store import Store, changing
from tasks.tables import ASSIGNED, MAY_BE_MISSING, assignments

BLOCK = 125_000  # rows that are loaded at once


def load_assignments(
    store: Store, table: pd.DataFrame, run_id: str, on_step: Callable[[str], None]
) -> None:
    """Append a run's rows in at least two blocks, so that memory and locks stay small.

    Nothing points at them yet. `on_step(name)` hears of the first block and of the last.
    """
    rows = as_arrow(table, run_id)
    block = max(1, min(BLOCK, -(-len(rows) // 2)))
    blocks = [rows.slice(start, block) for start in range(0, len(rows), block)]
    load = partial(store.database.load, assignments.name)
    for first in blocks[:1]:
        load(first)
        on_step("loaded first block")
    with ThreadPoolExecutor(store.database.writers) as pool:
        list(pool.map(load, blocks[1:]))
    on_step("loaded")


def as_arrow(table: pd.DataFrame, run_id: str) -> pa.Table:
    """Assignments in the order of the key: an index that grows at its end is quick to fill."""
    missing = {name: pa.nulls(len(table)) for name in MAY_BE_MISSING}
    given = missing | {str(name): pa.array(table[name], from_pandas=True) for name in table}
    given["run_id"] = pa.repeat(run_id, len(table))
    rows = pa.Table.from_arrays(
        [given[one.name].cast(one.type) for one in ASSIGNED], schema=ASSIGNED
    )
    return rows if is_increasing(table["customer_id"]) else rows.sort_by("customer_id")


def is_increasing(ids: pd.Series) -> bool:
    """Whether each id is larger than the one before it, and so there only once."""
    values = pa.array(ids, from_pandas=True)
    return bool(pc.all(pc.less(values[:-1], values[1:]), min_count=0).as_py())


def remove_load(store: Store, run_id: str) -> None:
    """Take out the rows that were loaded for a run which then was not published."""
    with changing(store) as (connection, _):
        remove_leftovers(connection, run_id)


def remove_leftovers(connection: sa.Connection, only: str | None = None) -> list[str]:
    """Take out rows whose run was never published: a killed load, or `only` this one.

    The store must be locked, else a run could be entered while its rows are taken out. A load that
    is still on its way is taken out too: its publication finds rows missing, and is run again.
    """
    entered = {one.run_id for one in publications_in(connection)}
    loaded = loaded_runs(connection) if only is None else [only]
    leftovers = [run_id for run_id in loaded if run_id not in entered]
    for run_id in leftovers:
        connection.execute(sa.delete(assignments).where(assignments.c.run_id == run_id))
    return leftovers

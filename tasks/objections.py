"""Who objected in a source: keyed hashes of their ids, with the month that told last."""

from collections.abc import Collection, Iterable

import pandas as pd
import sqlalchemy as sa

from tasks.erasing import AT_ONCE, Tombstones, tombstones_in
from tasks.store import Store, changing
from tasks.tables import objections


def remember(
    store: Store, month: pd.Period, objecting: Iterable[str], others: Collection[str]
) -> None:
    """Note who objects in a month's table: hashes of their ids, as `Tombstones.hash_of` gives.

    `others` are the ids of those who are in the table and do not. An objection ends with a table
    of the same or a newer month that has the customer without it; an older one says nothing.
    """
    with changing(store) as (connection, row):
        before = {one.hash: one for one in connection.execute(sa.select(objections))}
        told: dict[str, bool] = {}
        if before:
            hash_of = Tombstones(row.secret, frozenset()).hash_of
            told = {one: False for one in map(hash_of, others) if one in before}
        told |= dict.fromkeys(objecting, True)
        newer = {one for one in told if one in before and before[one].month > str(month)}
        lines = [
            {"hash": one, "month": str(month), "objects": told[one]}
            for one in sorted(told.keys() - newer)
        ]
        for start in range(0, len(lines), AT_ONCE):
            some = lines[start : start + AT_ONCE]
            hashes = [one["hash"] for one in some]
            connection.execute(sa.delete(objections).where(objections.c.hash.in_(hashes)))
            connection.execute(sa.insert(objections), some)


def left_out_in(connection: sa.Connection) -> Tombstones:
    """Who may be in no list: those who object, and those who were forgotten."""
    objecting = sa.select(objections.c.hash).where(objections.c.objects)
    known = tombstones_in(connection)
    return known._replace(hashes=known.hashes.union(connection.execute(objecting).scalars()))

"""What destinations have: rows in bulk, under an export that may not be entered yet."""

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from tasks.loading import BLOCK
from tasks.store import Store
from tasks.tables import AUDIENCE, audiences, exports


def held_by(store: Store, destination: str) -> pd.DataFrame:
    """`customer_id, segment_id`: the pairs that a destination has or may have; some doubled."""
    is_theirs = (exports.c.destination == destination) & exports.c.number.is_not(None)
    count = sa.select(sa.func.count()).select_from(audiences)
    count = count.join(exports, exports.c.id == audiences.c.export_id).where(is_theirs)
    with store.database.reading() as connection:
        n_pairs = connection.execute(count).scalar_one()
    query = (
        "SELECT a.customer_id, a.segment_id FROM audiences a JOIN exports e ON e.id = a.export_id "
        "WHERE e.destination = $1 AND e.number IS NOT NULL"
    )
    wanted = AUDIENCE.remove(AUDIENCE.get_field_index("export_id"))
    return store.database.table(query, destination, n_pairs, wanted)


def load_audience(store: Store, export_id: int, audience: pd.DataFrame) -> None:
    """Append what a destination will have: `customer_id, segment_id`, sorted by customer."""
    given = {name: pa.array(audience[name], from_pandas=True) for name in AUDIENCE.names[1:]}
    columns = {"export_id": pa.repeat(export_id, len(audience)), **given}
    rows = pa.table({one.name: columns[one.name].cast(one.type) for one in AUDIENCE})
    for start in range(0, len(audience), BLOCK):
        store.database.load(audiences.name, rows.slice(start, BLOCK))


def remove_leftovers(connection: sa.Connection) -> None:
    """Take out audiences whose export is no more: a killed load."""
    loaded = connection.execute(sa.select(audiences.c.export_id).distinct()).scalars()
    known = set(connection.execute(sa.select(exports.c.id)).scalars())
    for left in sorted(set(loaded) - known):
        connection.execute(sa.delete(audiences).where(audiences.c.export_id == left))

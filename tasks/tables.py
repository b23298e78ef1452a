"""The segment store's tables, as the code knows them; `tasks.migrations` makes and changes them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

ORIGINS = ("real", "synthetic")
VERSION_TABLE = "resegment_version"  # a database may hold other things that alembic looks after
HEAD = "0002"  # the newest migration; a test holds it against the folder

TABLES = sa.MetaData()


class Instant(sa.TypeDecorator):
    """A moment: ISO text with a zone in Python, as in a manifest; a real timestamp inside."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: str | datetime | None, dialect: sa.Dialect) -> Any:
        """To UTC. Raises `ValueError` for a moment without a zone."""
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone; give one, such as +00:00")
        return moment and moment.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> str | None:
        """To ISO text in UTC; SQLite keeps no zone."""
        if value is None:
            return None
        utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return utc.isoformat()


RUN_ID, SEGMENT, MONTH, WORD = sa.String(64), sa.String(16), sa.String(7), sa.String(16)
SHA256, LINE, DESTINATION = sa.String(64), sa.String(200), sa.String(40)
CUSTOMER = sa.String(200).with_variant(sa.String(200, "C"), "postgresql")
JSON = sa.JSON(none_as_null=True)

store_table = sa.Table(
    "store",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # the one row has id 1
    sa.Column("origin", WORD, nullable=False),
    sa.Column("secret", SHA256, nullable=False),  # the key of the tombstones' hashes
    sa.Column("created_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("current_run", RUN_ID),
)
runs = sa.Table(
    "runs",
    TABLES,
    sa.Column("run_id", RUN_ID, primary_key=True),
    sa.Column("month", MONTH, nullable=False),
    sa.Column("revision", sa.Integer),  # null unless it was published
    sa.Column("origin", WORD, nullable=False),
    sa.Column("status", WORD, nullable=False),
    sa.Column("model", WORD),
    sa.Column("current_before", RUN_ID),
    sa.Column("previous_run", RUN_ID),
    sa.Column("replaces", RUN_ID),
    sa.Column("replaced_by", RUN_ID),
    sa.Column("champion_run", RUN_ID),
    sa.Column("model_sha256", SHA256),
    sa.Column("contract", LINE),
    sa.Column("contract_sha256", SHA256),
    sa.Column("source_uri", sa.Text),
    sa.Column("source_sha256", SHA256),
    sa.Column("parameters_sha256", SHA256),
    sa.Column("rows", JSON),
    sa.Column("k", sa.Integer),
    sa.Column("space", WORD),
    sa.Column("metrics", JSON),
    sa.Column("reference", JSON),
    sa.Column("summary", JSON),
    sa.Column("error", sa.Text),
    sa.Column("started_at", Instant),
    sa.Column("published_at", Instant),
    sa.UniqueConstraint("month", "revision", name="one_run_per_revision"),
)
models = sa.Table(
    "models",
    TABLES,
    sa.Column("sha256", SHA256, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("segment_ids", JSON, nullable=False),  # the id of each position of K-means
    sa.Column("columns", JSON, nullable=False),
    sa.Column("versions", JSON, nullable=False),
    sa.Column("fingerprint", SHA256, nullable=False),
    sa.Column("space", WORD, nullable=False),
    sa.Column("k", sa.Integer, nullable=False),
    sa.Column("fitted_by", RUN_ID, nullable=False),
)
segments = sa.Table(
    "segments",
    TABLES,
    sa.Column("run_id", RUN_ID, sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("segment_id", SEGMENT, primary_key=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("share", sa.Double, nullable=False),
    sa.Column("value", sa.Double),
    sa.Column("value_share", sa.Double),
    sa.Column("size_change", sa.Double),
    sa.Column("from_birth", sa.Double),
    sa.Column("name", LINE),  # as that run put it; a person's name for it is in the registry
    sa.Column("profile", JSON),
)
assignments = sa.Table(
    "assignments",
    TABLES,
    # no foreign key: rows are loaded before their run is entered, and invisible until then
    sa.Column("run_id", RUN_ID, primary_key=True),
    sa.Column("customer_id", CUSTOMER, primary_key=True),
    sa.Column("segment_id", SEGMENT),
    sa.Column("confidence", sa.Double),
    sa.Column("runner_up", SEGMENT),
    sa.Column("status", WORD, nullable=False),
    sa.Column("cause", WORD),
    sa.Column("previous", SEGMENT),
    sa.Column("since", MONTH),
    sa.Column("assessed", MONTH),
    sa.Column("value", sa.Double),
    sa.Column("row_hash", sa.BigInteger),
    sa.Column("next_product", sa.Text),
    sqlite_with_rowid=False,
)
registry_table = sa.Table(
    "registry",
    TABLES,
    sa.Column("segment_id", SEGMENT, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("born_run", RUN_ID, nullable=False),
    sa.Column("born_month", MONTH, nullable=False),
    sa.Column("birth", JSON, nullable=False),
    sa.Column("name", LINE),
    sa.Column("note", sa.Text),
    sa.Column("named_at", Instant),
)
migration = sa.Table(
    "migration",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", RUN_ID, sa.ForeignKey("runs.run_id"), nullable=False, index=True),
    sa.Column("previous", SEGMENT),
    sa.Column("was_assessed", sa.Boolean),
    sa.Column("segment", SEGMENT),
    sa.Column("status", WORD, nullable=False),
    sa.Column("customers", sa.Integer, nullable=False),
    sa.Column("value_before", sa.Double),
    sa.Column("value_now", sa.Double),
)
decisions = sa.Table(
    "decisions",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", RUN_ID, nullable=False, index=True),
    sa.Column("decision", WORD, nullable=False),
    sa.Column("comment", sa.Text),
    sa.Column("who", LINE),
    sa.Column("decided_at", Instant, nullable=False),
)
tombstones = sa.Table(
    "tombstones",
    TABLES,
    sa.Column("hash", SHA256, primary_key=True),
    sa.Column("forgotten_at", Instant, nullable=False),
)
erasures = sa.Table(
    "erasures",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", RUN_ID, sa.ForeignKey("runs.run_id"), nullable=False, index=True),
    sa.Column("segment_id", SEGMENT),  # null: not assessed, so in no segment's size
    sa.Column("customers", sa.Integer, nullable=False),
    sa.Column("erased_at", Instant, nullable=False),
)
objections = sa.Table(
    "objections",
    TABLES,
    sa.Column("hash", SHA256, primary_key=True),  # under the key of the tombstones
    sa.Column("month", MONTH, nullable=False),  # of the last table that told
    sa.Column("objects", sa.Boolean, nullable=False),
)
destinations = sa.Table(
    "destinations",
    TABLES,
    sa.Column("name", DESTINATION, primary_key=True),
    sa.Column("created_at", Instant, nullable=False),
)
exports = sa.Table(
    "exports",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("destination", DESTINATION, sa.ForeignKey("destinations.name"), nullable=False),
    sa.Column("number", sa.Integer),  # null until it is entered
    sa.Column("run_id", RUN_ID, nullable=False),  # no foreign key: a publication may be pruned
    sa.Column("campaign", LINE, nullable=False),
    sa.Column("exported_at", Instant, nullable=False),
    sa.Column("left_out", SHA256, nullable=False),  # changes with who objects or is forgotten
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("told", JSON),
    sa.Column("delivered", sa.Boolean, nullable=False),
    sa.UniqueConstraint("destination", "number", name="one_export_per_number"),
    sqlite_autoincrement=True,  # an id that was taken back is never given again
)
audiences = sa.Table(
    "audiences",
    TABLES,
    # no foreign key: rows are loaded before their export is entered, and invisible until then
    sa.Column("export_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("customer_id", CUSTOMER, primary_key=True),
    sa.Column("segment_id", SEGMENT, nullable=False),
    sqlite_with_rowid=False,
)
removals = sa.Table(
    "removals",
    TABLES,
    sa.Column("destination", DESTINATION, sa.ForeignKey("destinations.name"), primary_key=True),
    sa.Column("customer_id", CUSTOMER, primary_key=True),
    sa.Column("export_id", sa.Integer),  # the export that tells it; null before
)

CURRENT_SEGMENTS = sa.table(  # a view
    "current_segments",
    *(sa.column(name) for name in (
        "customer_id", "segment_id", "name", "confidence", "runner_up", "since", "assessed",
        "month",
    )),
)  # fmt: skip

ARROW_TYPES = MappingProxyType(
    {sa.Double: pa.float64(), sa.BigInteger: pa.int64(), sa.Integer: pa.int32()}
)


def _as_in_bulk(table: sa.Table) -> pa.Schema:
    return pa.schema([(c.name, ARROW_TYPES.get(type(c.type), pa.string())) for c in table.columns])


ASSIGNED, AUDIENCE = _as_in_bulk(assignments), _as_in_bulk(audiences)
MAY_BE_MISSING = ("next_product",)  # where an older run's customers are published


def as_json(value: Any) -> str:
    """JSON text; what is no finite number becomes null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if (isinstance(value, float) and not np.isfinite(value)) or value is pd.NA:
        return None
    return str(value) if isinstance(value, pd.Period | Path) else value

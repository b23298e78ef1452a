"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

CURRENT_SEGMENTS = """
CREATE VIEW current_segments AS
SELECT a.customer_id, a.segment_id, COALESCE(named.name, s.name, a.segment_id) AS name,
       a.confidence, a.runner_up, a.since, a.assessed = r.month AS assessed, r.month
FROM store
JOIN runs r ON r.run_id = store.current_run
JOIN assignments a ON a.run_id = r.run_id
LEFT JOIN segments s ON s.run_id = a.run_id AND s.segment_id = a.segment_id
LEFT JOIN registry named ON named.segment_id = a.segment_id
"""


def upgrade() -> None:
    """Make the tables and the view."""
    op.create_table(
        "assignments",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column(
            "customer_id",
            sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("segment_id", sa.String(16)),
        sa.Column("confidence", sa.Double),
        sa.Column("runner_up", sa.String(16)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(16)),
        sa.Column("previous", sa.String(16)),
        sa.Column("since", sa.String(7)),
        sa.Column("assessed", sa.String(7)),
        sa.Column("value", sa.Double),
        sa.Column("row_hash", sa.BigInteger),
        sa.PrimaryKeyConstraint("run_id", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("who", sa.String(200)),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_decisions_run_id"), "decisions", ["run_id"], unique=False)
    op.create_table(
        "models",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("segment_ids", sa.JSON, nullable=False),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("space", sa.String(16), nullable=False),
        sa.Column("k", sa.Integer, nullable=False),
        sa.Column("fitted_by", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "registry",
        sa.Column("segment_id", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("born_run", sa.String(64), nullable=False),
        sa.Column("born_month", sa.String(7), nullable=False),
        sa.Column("birth", sa.JSON, nullable=False),
        sa.Column("name", sa.String(200)),
        sa.Column("note", sa.Text),
        sa.Column("named_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("segment_id"),
        sa.UniqueConstraint("number"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("revision", sa.Integer),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("model", sa.String(16)),
        sa.Column("current_before", sa.String(64)),
        sa.Column("previous_run", sa.String(64)),
        sa.Column("replaces", sa.String(64)),
        sa.Column("replaced_by", sa.String(64)),
        sa.Column("champion_run", sa.String(64)),
        sa.Column("model_sha256", sa.String(64)),
        sa.Column("contract", sa.String(200)),
        sa.Column("contract_sha256", sa.String(64)),
        sa.Column("source_uri", sa.Text),
        sa.Column("source_sha256", sa.String(64)),
        sa.Column("parameters_sha256", sa.String(64)),
        sa.Column("rows", sa.JSON),
        sa.Column("k", sa.Integer),
        sa.Column("space", sa.String(16)),
        sa.Column("metrics", sa.JSON),
        sa.Column("reference", sa.JSON),
        sa.Column("summary", sa.JSON),
        sa.Column("error", sa.Text),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("published_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("run_id"),
        sa.UniqueConstraint("month", "revision", name="one_run_per_revision"),
    )
    op.create_table(
        "store",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("current_run", sa.String(64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tombstones",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("segment_id", sa.String(16)),
        sa.Column("customers", sa.Integer, nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_erasures_run_id"), "erasures", ["run_id"], unique=False)
    op.create_table(
        "migration",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(16)),
        sa.Column("was_assessed", sa.Boolean),
        sa.Column("segment", sa.String(16)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("customers", sa.Integer, nullable=False),
        sa.Column("value_before", sa.Double),
        sa.Column("value_now", sa.Double),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_migration_run_id"), "migration", ["run_id"], unique=False)
    op.create_table(
        "segments",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("segment_id", sa.String(16), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("value_share", sa.Double),
        sa.Column("size_change", sa.Double),
        sa.Column("from_birth", sa.Double),
        sa.Column("name", sa.String(200)),
        sa.Column("profile", sa.JSON),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "segment_id"),
    )
    op.execute(CURRENT_SEGMENTS)

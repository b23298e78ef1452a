"""What campaign lists need: destinations and what they hold, who objects, the next product."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

CUSTOMER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables and the column."""
    op.add_column("assignments", sa.Column("next_product", sa.Text))
    op.create_table(
        "objections",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("objects", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "destinations",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "exports",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("destination", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("campaign", sa.String(200), nullable=False),
        sa.Column("exported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("left_out", sa.String(64), nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("told", sa.JSON),
        sa.Column("delivered", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["destination"], ["destinations.name"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("destination", "number", name="one_export_per_number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audiences",
        sa.Column("export_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("customer_id", CUSTOMER, nullable=False),
        sa.Column("segment_id", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("export_id", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "removals",
        sa.Column("destination", sa.String(40), nullable=False),
        sa.Column("customer_id", CUSTOMER, nullable=False),
        sa.Column("export_id", sa.Integer),
        sa.ForeignKeyConstraint(["destination"], ["destinations.name"]),
        sa.PrimaryKeyConstraint("destination", "customer_id"),
    )

"""the roll-up of notifications: ranges of ids, and their counts."""

from alembic import op
import sqlalchemy as sa

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATUSES = (
    "queued",
    "deferred",
    "unknown",
    "cancelled",
    "suppressed",
    "expired",
    "failed",
    "sent",
    "delivered",
    "bounced",
    "complained",
)
FIRST_RANGE = """
INSERT INTO statistics_range (first_id, due_at, revision)
VALUES ('{id}', '1970-01-01 00:00:00.000000{zone}', 0)
"""


def upgrade() -> None:
    op.create_table(
        "statistics_range",
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("first_id", name=op.f("pk_statistics_range")),
    )
    op.create_index("ix_statistics_range_due_at", "statistics_range", ["due_at"])
    op.create_table(
        "statistics_count",
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("quarter", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(24), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "first_id",
            "quarter",
            "service_id",
            "template_id",
            "status",
            "reason",
            "bucket",
            name=op.f("pk_statistics_count"),
        ),
        sa.CheckConstraint(
            f"status IN ({', '.join(repr(status) for status in STATUSES)})", name=op.f("ck_statistics_count_status")
        ),
    )
    op.create_index("ix_statistics_count_service_id_quarter", "statistics_count", ["service_id", "quarter"])
    op.create_index("ix_statistics_count_quarter", "statistics_count", ["quarter"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FIRST_RANGE.format(id="00000000-0000-0000-0000-000000000000", zone="+00"))
    else:
        op.execute(FIRST_RANGE.format(id="0" * 32, zone=""))


def downgrade() -> None:
    op.drop_table("statistics_count")
    op.drop_table("statistics_range")

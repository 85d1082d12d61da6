"""copies of a merge are counted; a schedule says which of its times got no run; totals of each hour."""

from alembic import op
import sqlalchemy as sa

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The totals are the sums of the counts: by status and reason, by bucket; of each service, and of all.
SUM_SERVICES = """
INSERT INTO statistics_hour (service_id, hour, measure, number)
SELECT service_id, quarter / 4, {measure}, sum(number) FROM statistics_count {where} GROUP BY 1, 2, 3
"""
MEASURES = (("status || ':' || reason", ""), ("CAST(bucket AS varchar(64))", "WHERE bucket >= 0"))
SUM_INSTANCE = """
INSERT INTO statistics_hour (service_id, hour, measure, number)
SELECT {nil}, hour, measure, sum(number) FROM statistics_hour GROUP BY hour, measure
"""


def upgrade() -> None:
    op.add_column("merge", sa.Column("copies", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("schedule") as batch:
        batch.add_column(sa.Column("last_skipped_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("skipped_reason", sa.String(24), nullable=True))
        batch.add_column(sa.Column("skipped_count", sa.Integer(), nullable=False, server_default="0"))
        batch.create_check_constraint(op.f("ck_schedule_skipped_reason"), "skipped_reason IN ('catch_up', 'overlap')")
    op.create_table(
        "statistics_hour",
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("measure", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "hour", "measure", name=op.f("pk_statistics_hour")),
    )
    op.create_index("ix_statistics_hour_hour", "statistics_hour", ["hour"])
    for measure, where in MEASURES:
        op.execute(SUM_SERVICES.format(measure=measure, where=where))
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute(SUM_INSTANCE.format(nil=f"CAST('{'0' * 32}' AS uuid)" if is_postgresql else f"'{'0' * 32}'"))


def downgrade() -> None:
    op.drop_table("statistics_hour")
    with op.batch_alter_table("schedule") as batch:
        batch.drop_constraint(op.f("ck_schedule_skipped_reason"), type_="check")
        batch.drop_column("skipped_count")
        batch.drop_column("skipped_reason")
        batch.drop_column("last_skipped_at")
    with op.batch_alter_table("merge") as batch:
        batch.drop_column("copies")

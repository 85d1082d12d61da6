"""copies of a merge are counted; a schedule says which of its times got no run."""

from alembic import op
import sqlalchemy as sa

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("merge", sa.Column("copies", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("schedule") as batch:
        batch.add_column(sa.Column("last_skipped_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("skipped_reason", sa.String(24), nullable=True))
        batch.add_column(sa.Column("skipped_count", sa.Integer(), nullable=False, server_default="0"))
        batch.create_check_constraint(
            op.f("ck_schedule_skipped_reason"), "skipped_reason IN ('catch_up', 'overlap')"
        )


def downgrade() -> None:
    with op.batch_alter_table("schedule") as batch:
        batch.drop_constraint(op.f("ck_schedule_skipped_reason"), type_="check")
        batch.drop_column("skipped_count")
        batch.drop_column("skipped_reason")
        batch.drop_column("last_skipped_at")
    with op.batch_alter_table("merge") as batch:
        batch.drop_column("copies")

"""the queue in the order in which it is claimed: by service, then by time."""

from alembic import op
import sqlalchemy as sa

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

READY = sa.text("state = 'ready'")
OPEN = sa.text("state = 'ready' AND lost < 2")


def upgrade() -> None:
    _replace(["kind", "priority", "service_id", "due_at", "id"], OPEN)


def downgrade() -> None:
    _replace(["kind", "priority", "due_at", "id"], READY)


def _replace(columns: list[str], which: sa.TextClause) -> None:
    with op.batch_alter_table("outbox_entry", schema=None) as batch_op:
        batch_op.drop_index("ix_outbox_entry_ready")
        batch_op.create_index(
            "ix_outbox_entry_ready", columns, unique=False, postgresql_where=which, sqlite_where=which
        )

"""copies share the content of the notification that they are copies of; a cancelled batch is flagged, then settled."""

from alembic import op
import sqlalchemy as sa

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ADDED = ("cancelled_at", "cancelled_by", "cancel_comment")
# The release before this one finds the content of a copy only if it is the copy's own.
GIVE_COPIES_THEIR_CONTENT = """
INSERT INTO notification_content (notification_id, variables, headers, content, addressed_to, cc, attachments)
SELECT n.id, c.variables, c.headers, c.content, c.addressed_to, c.cc, c.attachments
FROM notification AS n JOIN notification_content AS c ON c.notification_id = n.parent_id
WHERE NOT EXISTS (SELECT 1 FROM notification_content AS own WHERE own.notification_id = n.id)
"""


def upgrade() -> None:
    with op.batch_alter_table("batch") as batch:
        batch.add_column(sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("cancelled_by", sa.String(64), nullable=True))
        batch.add_column(sa.Column("cancel_comment", sa.String(1000), nullable=True))
    _set_kinds("email", "webhook", "asset", "batch")


def downgrade() -> None:
    op.execute(GIVE_COPIES_THEIR_CONTENT)
    op.execute("DELETE FROM outbox_entry WHERE kind = 'batch'")
    _set_kinds("email", "webhook", "asset")
    with op.batch_alter_table("batch") as batch:
        for name in ADDED:
            batch.drop_column(name)


def _set_kinds(*kinds: str) -> None:
    name = op.f("ck_outbox_entry_kind")
    with op.batch_alter_table("outbox_entry") as batch:
        batch.drop_constraint(name, type_="check")
        quoted = ", ".join(f"'{kind}'" for kind in kinds)
        batch.create_check_constraint(name, f"kind IN ({quoted})")

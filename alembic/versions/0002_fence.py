"""the mark, the beats of senders, events, and what is to be done about an uncertain mail."""

from alembic import op
import sqlalchemy as sa

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HELD = sa.text("state = 'held'")
SUSPECT = sa.text("state = 'ready' AND lost >= 2")
OLD_REASONS = (
    "recipient_refused",
    "message_refused",
    "sender_refused",
    "exhausted",
    "template",
    "internal",
    "message_too_large",
    "recipient_not_allowed",
    "recipient_suppressed",
    "expired",
    "temporary_refusal",
    "connection_lost",
    "no_final_reply",
)
NEW_REASONS = (*OLD_REASONS, "sender_died", "poison", "resolved")


def upgrade() -> None:
    op.create_table(
        "sender_process",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sender_process")),
    )
    kind = sa.Enum(
        "cancelled", "retried", "resolved", name="kind", native_enum=False, create_constraint=True, length=24
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", kind, nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=1000), nullable=False),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notification.id"], name=op.f("fk_event_notification_id_notification")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_notification_id_id", "event", ["notification_id", "id"])
    op.add_column("outbox_entry", sa.Column("marked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_outbox_entry_held", "outbox_entry", ["due_at"], postgresql_where=HELD, sqlite_where=HELD)
    op.create_index(
        "ix_outbox_entry_suspect", "outbox_entry", ["due_at"], postgresql_where=SUSPECT, sqlite_where=SUSPECT
    )
    _set_reasons(NEW_REASONS)
    _set_nullable(nullable=True)
    with op.batch_alter_table("template_version") as batch:
        # The default lets the release before this one go on publishing while both run.
        batch.add_column(sa.Column("when_uncertain", sa.String(24), nullable=False, server_default="resend"))
        batch.create_check_constraint(
            op.f("ck_template_version_when_uncertain"), _in("when_uncertain", ("resend", "hold"))
        )


def downgrade() -> None:
    with op.batch_alter_table("template_version") as batch:
        batch.drop_constraint(op.f("ck_template_version_when_uncertain"), type_="check")
        batch.drop_column("when_uncertain")
    op.execute("UPDATE attempt SET relay = coalesce(relay, ''), duration_ms = coalesce(duration_ms, 0)")
    op.execute("UPDATE attempt SET sha256 = '' WHERE sha256 IS NULL")
    _set_nullable(nullable=False)
    for table in ("notification", "suppression"):
        op.execute(
            f"UPDATE {table} SET reason = 'internal' WHERE reason IN ('sender_died', 'poison', 'resolved')"
        )
    _set_reasons(OLD_REASONS)
    op.drop_index("ix_outbox_entry_suspect", "outbox_entry")
    op.drop_index("ix_outbox_entry_held", "outbox_entry")
    op.drop_column("outbox_entry", "marked_at")
    op.drop_table("event")
    op.drop_table("sender_process")


def _in(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _set_reasons(reasons: tuple[str, ...]) -> None:
    if op.get_context().dialect.name == "sqlite":
        # A rebuilt table is gone for a moment; whoever refers to it is looked at again at the commit.
        op.execute("PRAGMA defer_foreign_keys = ON")
    for table in ("notification", "suppression"):
        name = op.f(f"ck_{table}_reason")
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(name, type_="check")
            batch.create_check_constraint(name, _in("reason", reasons))


def _set_nullable(*, nullable: bool) -> None:
    with op.batch_alter_table("attempt") as batch:
        batch.alter_column("relay", existing_type=sa.String(255), nullable=nullable)
        batch.alter_column("duration_ms", existing_type=sa.Integer(), nullable=nullable)
        batch.alter_column("sha256", existing_type=sa.LargeBinary(), nullable=nullable)

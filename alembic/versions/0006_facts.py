"""what is done about an uncertain mail, said with the mail; a refusal of the redirect address has a reason of its own."""

from alembic import op
import sqlalchemy as sa

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OLD_REASONS = (
    "recipient_refused", "message_refused", "sender_refused", "exhausted", "template", "internal", "message_too_large",
    "recipient_not_allowed", "recipient_suppressed", "expired", "temporary_refusal", "connection_lost",
    "no_final_reply", "sender_died", "poison", "resolved",
)  # fmt: skip
NEW_REASONS = (*OLD_REASONS, "redirect_refused")
WITH_A_REASON = ("notification", "webhook_event")


def upgrade() -> None:
    _set_reasons(NEW_REASONS)
    with op.batch_alter_table("notification") as batch:
        # Null for what an earlier release accepts, also while both run: its template says, and content is held.
        batch.add_column(sa.Column("when_uncertain", sa.String(24), nullable=True))
        batch.create_check_constraint(
            op.f("ck_notification_when_uncertain"), _in("when_uncertain", ("resend", "hold"))
        )


def downgrade() -> None:
    with op.batch_alter_table("notification") as batch:
        batch.drop_constraint(op.f("ck_notification_when_uncertain"), type_="check")
        batch.drop_column("when_uncertain")
    for table in WITH_A_REASON:
        op.execute(f"UPDATE {table} SET reason = 'message_refused' WHERE reason = 'redirect_refused'")
    _set_reasons(OLD_REASONS)


def _in(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _set_reasons(reasons: tuple[str, ...]) -> None:
    if op.get_context().dialect.name == "sqlite":
        # A rebuilt table is gone for a moment; whoever refers to it is looked at again at the commit.
        op.execute("PRAGMA defer_foreign_keys = ON")
    for table in WITH_A_REASON:
        name = op.f(f"ck_{table}_reason")
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(name, type_="check")
            batch.create_check_constraint(name, _in("reason", reasons))

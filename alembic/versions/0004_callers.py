"""what callers ask for and are told: copies, batches, tags, kinds of keys, webhooks, suppressions, the audit."""

from typing import Any
from uuid import uuid4

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

REASONS = (
    "recipient_refused", "message_refused", "sender_refused", "exhausted", "template", "internal", "message_too_large",
    "recipient_not_allowed", "recipient_suppressed", "expired", "temporary_refusal", "connection_lost",
    "no_final_reply", "sender_died", "poison", "resolved",
)  # fmt: skip
STATUSES = (
    "queued", "deferred", "unknown", "cancelled", "suppressed", "expired", "failed", "sent", "delivered", "bounced",
    "complained",
)  # fmt: skip
NEW_IN_NOTIFICATION = (
    "template_id", "batch_id", "parent_id", "role", "kind", "category", "sequence", "address_key", "tags", "meta",
)  # fmt: skip
KINDS = ("live", "team", "test")
CATEGORIES = ("transactional", "marketing")
NOBODY = "00000000000000000000000000000000"
HAS_KEY = sa.text("idempotency_key IS NOT NULL")
IN_BATCH = sa.text("batch_id IS NOT NULL")
IS_COPY = sa.text("parent_id IS NOT NULL")
NOT_DELIVERED = sa.text("state <> 'delivered'")

# The audit is only added to. The one change that is let through takes an address out, to forget a person.
AUDIT_COLUMNS = (
    "id", "at", "actor", "service_id", "action", "object_kind", "object_id", "before", "after", "request_id",
)  # fmt: skip
AUDIT_ONLY_GROWS_SQLITE = (
    f"""
CREATE TRIGGER audit_entry_update BEFORE UPDATE ON audit_entry
WHEN NEW.address IS NOT NULL OR {" OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in AUDIT_COLUMNS)}
BEGIN SELECT RAISE(ABORT, 'audit_entry is only added to'); END
""",
    """
CREATE TRIGGER audit_entry_delete BEFORE DELETE ON audit_entry
BEGIN SELECT RAISE(ABORT, 'audit_entry is only added to'); END
""",
    # INSERT OR REPLACE takes the old row away without asking the trigger above.
    """
CREATE TRIGGER audit_entry_replace BEFORE INSERT ON audit_entry
WHEN EXISTS (SELECT 1 FROM audit_entry WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit_entry is only added to'); END
""",
)
AUDIT_ONLY_GROWS_POSTGRES = (
    """
CREATE FUNCTION audit_entry_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    OLD.address = NULL;
    IF NEW *= OLD THEN  -- the same octets; = would take 1 and 1.0 in JSON for equal
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit_entry is only added to' USING ERRCODE = 'restrict_violation';
END $$
""",
    """
CREATE TRIGGER audit_entry_change BEFORE UPDATE OR DELETE ON audit_entry
FOR EACH ROW EXECUTE FUNCTION audit_entry_only_grows()
""",
    """
CREATE TRIGGER audit_entry_truncate BEFORE TRUNCATE ON audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_only_grows()
""",
    # ALWAYS: session_replication_role does not switch them off.
    "ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_change",
    "ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_truncate",
)


def upgrade() -> None:
    _widen_notification()
    _widen_others()
    _create_beside_notification()
    _create_webhooks()
    _create_audit()
    _replace_suppression(_new_suppression, {"service_id": NOBODY, "scope": "all", "created_by": "sender"})
    _fill()


def downgrade() -> None:
    _replace_suppression(_old_suppression, {})
    _drop_audit()
    for table in ("webhook_attempt", "webhook_delivery", "webhook_event", "webhook_endpoint"):
        op.drop_table(table)
    for table in ("relay_state", "attachment", "batch", "status_index", "notification_tag"):
        op.drop_table(table)
    _narrow_others()
    _narrow_notification()


# -- what there was, wider ---------------------------------------------------------------------------------------------


def _widen_notification() -> None:
    # Each default lets the release before this one go on writing while both run.
    with op.batch_alter_table("notification") as batch:
        batch.add_column(sa.Column("template_id", sa.Uuid(), nullable=True))
        batch.alter_column("template_version_id", existing_type=sa.Uuid(), nullable=True)
        batch.add_column(sa.Column("batch_id", sa.Uuid(), nullable=True))
        batch.add_column(sa.Column("parent_id", sa.Uuid(), nullable=True))
        batch.add_column(sa.Column("role", sa.String(24), nullable=False, server_default="to"))
        batch.add_column(sa.Column("kind", sa.String(24), nullable=False, server_default="live"))
        batch.add_column(sa.Column("category", sa.String(24), nullable=False, server_default="transactional"))
        batch.add_column(sa.Column("sequence", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("address_key", sa.String(320), nullable=False, server_default=""))
        batch.add_column(sa.Column("tags", _json(), nullable=True))
        batch.add_column(sa.Column("meta", _json(), nullable=True))
        for name, values in (("role", ("to", "cc", "bcc")), ("kind", KINDS), ("category", CATEGORIES)):
            batch.create_check_constraint(op.f(f"ck_notification_{name}"), _in(name, values))
    op.create_index("ix_notification_address", "notification", ["service_id", "address_key", "id"])
    op.create_index("ix_notification_template", "notification", ["service_id", "template_id", "id"])
    for name, column, where in (("batch", "batch_id", IN_BATCH), ("parent", "parent_id", IS_COPY)):
        op.create_index(
            f"ix_notification_{name}", "notification", [column, "id"], postgresql_where=where, sqlite_where=where
        )
    with op.batch_alter_table("notification_content") as batch:
        batch.add_column(sa.Column("content", _json(), nullable=True))
        batch.add_column(sa.Column("addressed_to", sa.String(320), nullable=True))
        batch.add_column(sa.Column("cc", _json(), nullable=True))
        batch.add_column(sa.Column("attachments", _json(), nullable=True))


def _narrow_notification() -> None:
    with op.batch_alter_table("notification_content") as batch:
        for name in ("content", "addressed_to", "cc", "attachments"):
            batch.drop_column(name)
    # What the release before this one cannot send: it knows neither content without a template nor copies.
    gone = "SELECT id FROM notification WHERE template_version_id IS NULL OR parent_id IS NOT NULL"
    op.execute(f"DELETE FROM outbox_entry WHERE subject_id IN ({gone})")
    for table in ("notification_content", "attempt", "event"):
        op.execute(f"DELETE FROM {table} WHERE notification_id IN ({gone})")
    op.execute("DELETE FROM notification WHERE template_version_id IS NULL OR parent_id IS NOT NULL")
    for name in ("address", "template", "batch", "parent"):
        op.drop_index(f"ix_notification_{name}", "notification")
    with op.batch_alter_table("notification") as batch:
        for name in ("role", "kind", "category"):
            batch.drop_constraint(op.f(f"ck_notification_{name}"), type_="check")
        for name in NEW_IN_NOTIFICATION:
            batch.drop_column(name)
        batch.alter_column("template_version_id", existing_type=sa.Uuid(), nullable=False)


def _widen_others() -> None:
    with op.batch_alter_table("template_version") as batch:
        batch.add_column(sa.Column("category", sa.String(24), nullable=False, server_default="transactional"))
        batch.create_check_constraint(op.f("ck_template_version_category"), _in("category", CATEGORIES))
    with op.batch_alter_table("service") as batch:
        batch.add_column(sa.Column("team_recipients", _json(), nullable=True))
        batch.add_column(sa.Column("rate_per_minute", sa.Integer(), nullable=True))
    with op.batch_alter_table("api_key") as batch:
        batch.add_column(sa.Column("name", sa.String(64), nullable=False, server_default=""))
        batch.add_column(sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("replaced_by", sa.Uuid(), nullable=True))
        batch.add_column(sa.Column("rate_per_minute", sa.Integer(), nullable=True))
    with op.batch_alter_table("sender_process") as batch:
        batch.add_column(sa.Column("sent_rate", sa.Float(), nullable=True))
    _set_check("api_key", "kind", KINDS)
    _set_check("outbox_entry", "kind", ("email", "webhook"))
    op.drop_index("ix_outbox_entry_subject_id", "outbox_entry")
    words = sa.text("attempts >= 0")
    columns = ["service_id", "subject_id"]
    op.create_index("ix_outbox_entry_subject", "outbox_entry", columns, postgresql_where=words, sqlite_where=words)
    _set_check("event", "kind", ("changed", "cancelled", "retried", "resolved"))


def _narrow_others() -> None:
    op.execute("DELETE FROM event WHERE kind = 'changed'")
    op.drop_index("ix_outbox_entry_subject", "outbox_entry")
    op.create_index("ix_outbox_entry_subject_id", "outbox_entry", ["subject_id"])
    op.execute("DELETE FROM outbox_entry WHERE kind = 'webhook'")
    op.execute("DELETE FROM api_key WHERE kind <> 'live'")
    _set_check("event", "kind", ("cancelled", "retried", "resolved"))
    _set_check("outbox_entry", "kind", ("email",))
    _set_check("api_key", "kind", ("live",))
    with op.batch_alter_table("api_key") as batch:
        for name in ("name", "last_used_at", "replaced_by", "rate_per_minute"):
            batch.drop_column(name)
    with op.batch_alter_table("sender_process") as batch:
        batch.drop_column("sent_rate")
    with op.batch_alter_table("service") as batch:
        batch.drop_column("team_recipients")
        batch.drop_column("rate_per_minute")
    with op.batch_alter_table("template_version") as batch:
        batch.drop_constraint(op.f("ck_template_version_category"), type_="check")
        batch.drop_column("category")


def _fill() -> None:
    """What the new columns and the new index say about what was there before."""
    category = "source -> 'settings' ->> 'category'"
    op.execute(f"UPDATE template_version SET category = 'marketing' WHERE {category} = 'marketing'")
    for name, of in (("template_id", "v.template_id"), ("category", "v.category")):
        found = f"(SELECT {of} FROM template_version AS v WHERE v.id = notification.template_version_id)"
        op.execute(f"UPDATE notification SET {name} = {found} WHERE {found} IS NOT NULL")
    op.execute("UPDATE notification SET address_key = lower(recipient)")
    op.execute(
        "INSERT INTO status_index (notification_id, service_id, status) SELECT id, service_id, status"
        " FROM notification WHERE status NOT IN ('queued', 'sent')"
    )


# -- what is new -------------------------------------------------------------------------------------------------------


def _create_beside_notification() -> None:
    op.create_table(
        "notification_tag",
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "tag", "notification_id", name=op.f("pk_notification_tag")),
    )
    op.create_table(
        "status_index",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("status", _closed("status", STATUSES), nullable=False),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_status_index")),
    )
    op.create_index("ix_status_index_status", "status_index", ["service_id", "status", "notification_id"])
    op.create_table(
        "batch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
    )
    op.create_table(
        "relay_state",
        sa.Column("sender_id", sa.Uuid(), nullable=False),
        sa.Column("relay", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sender_id", "relay", name=op.f("pk_relay_state")),
    )
    op.create_table(
        "attachment",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_attachment")),
    )


def _create_webhooks() -> None:
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("description", sa.String(256), nullable=False),
        sa.Column("events", _json(), nullable=False),
        sa.Column("secret", sa.String(128), nullable=False),
        sa.Column("previous_secret", sa.String(128), nullable=True),
        sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_because", sa.String(256), nullable=True),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_webhook_endpoint_service_id_service")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_index("ix_webhook_endpoint_service_id", "webhook_endpoint", ["service_id"])
    op.create_table(
        "webhook_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("reason", _closed("reason", REASONS), nullable=True),
        sa.Column("detail", sa.String(1000), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_event")),
    )
    op.create_index("ix_webhook_event_notification_id", "webhook_event", ["notification_id", "sequence"])
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("state", _closed("state", ("pending", "delivered", "failed")), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["webhook_event.id"], name=op.f("fk_webhook_delivery_event_id_webhook_event")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index("ix_webhook_delivery_event_id", "webhook_delivery", ["event_id"])
    op.create_index("ix_webhook_delivery_endpoint_id_id", "webhook_delivery", ["endpoint_id", "id"])
    op.create_index(
        "ix_webhook_delivery_state",
        "webhook_delivery",
        ["endpoint_id", "state", "id"],
        postgresql_where=NOT_DELIVERED,
        sqlite_where=NOT_DELIVERED,
    )
    op.create_table(
        "webhook_attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("detail", sa.String(1000), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["webhook_delivery.id"], name=op.f("fk_webhook_attempt_delivery_id_webhook_delivery")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_attempt")),
    )
    op.create_index("ix_webhook_attempt_delivery_id_id", "webhook_attempt", ["delivery_id", "id"])


def _create_audit() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("object_kind", sa.String(32), nullable=False),
        sa.Column("object_id", sa.String(64), nullable=False),
        sa.Column("address", sa.String(320), nullable=True),
        sa.Column("before", _json(), nullable=True),
        sa.Column("after", _json(), nullable=True),
        sa.Column("request_id", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
        sqlite_with_rowid=False,  # a rowid would be a second key by which INSERT OR REPLACE takes a row away
    )
    op.create_index("ix_audit_entry_service_id_id", "audit_entry", ["service_id", "id"])
    op.create_index("ix_audit_entry_object", "audit_entry", ["object_kind", "object_id", "id"])
    for statement in AUDIT_ONLY_GROWS_SQLITE if _on_sqlite() else AUDIT_ONLY_GROWS_POSTGRES:
        op.execute(statement)


def _drop_audit() -> None:
    op.drop_table("audit_entry")  # and its triggers
    if not _on_sqlite():
        op.execute("DROP FUNCTION audit_entry_only_grows()")


# -- suppressions ------------------------------------------------------------------------------------------------------


def _replace_suppression(create: Any, defaults: dict[str, Any]) -> None:
    """There are few rows, and the key is another one: read, made anew, written again."""
    rows = op.get_bind().execute(sa.text("SELECT * FROM suppression")).mappings().all()
    op.drop_table("suppression")
    table = create()
    kept, seen = [], set()
    for row in rows:
        known = {"id": uuid4()} | defaults | dict(row)
        if known["address"] not in seen:
            seen.add(known["address"])
            values = {name: known.get(name) for name in table.c.keys()}
            values["service_id"] = sa.Uuid().python_type(str(known.get("service_id", NOBODY)))
            kept.append({name: values[name] for name in table.c.keys()})
    if kept:
        op.bulk_insert(table, kept)


def _new_suppression() -> sa.Table:
    reasons = ("recipient_refused", "bounced", "complained", "unsubscribed", "requested")
    table = op.create_table(
        "suppression",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("scope", _closed("scope", ("all", "marketing")), nullable=False),
        sa.Column("reason", _closed("reason", reasons), nullable=False),
        sa.Column("detail", sa.String(1000), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
        sa.UniqueConstraint("address", "service_id", "scope", name=op.f("uq_suppression_address_service_id_scope")),
    )
    op.create_index("ix_suppression_service_id_id", "suppression", ["service_id", "id"])
    return table


def _old_suppression() -> sa.Table:
    return op.create_table(
        "suppression",
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("reason", _closed("reason", REASONS), nullable=False),
        sa.Column("detail", sa.String(1000), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_suppression")),
    )


# -- words -------------------------------------------------------------------------------------------------------------


def _on_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def _json() -> Any:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _in(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _closed(name: str, values: tuple[str, ...]) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def _set_check(table: str, column: str, values: tuple[str, ...]) -> None:
    name = op.f(f"ck_{table}_{column}")
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, _in(column, values))

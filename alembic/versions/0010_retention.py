"""retention: days of services and templates, erased secrets, named attachments, old audit records may be deleted."""

from alembic import op
import sqlalchemy as sa

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

HAS_FILES = sa.text("attachments IS NOT NULL")
NO_DELETE_SQLITE = """
CREATE TRIGGER audit_entry_delete BEFORE DELETE ON audit_entry{condition}
BEGIN SELECT RAISE(ABORT, 'audit_entry is only added to'); END
"""
# The purge deletes records after two years, or what is set; the setting is at least a year.
IS_YOUNG_SQLITE = "\nWHEN OLD.at > datetime('now', '-365 days')"
IS_OLD_POSTGRES = """
  IF TG_OP = 'DELETE' THEN
    IF OLD.at <= now() - interval '365 days' THEN
      RETURN OLD;
    END IF;
  END IF;"""
GUARD_POSTGRES = """
CREATE OR REPLACE FUNCTION audit_entry_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    OLD.address = NULL;
    IF NEW *= OLD THEN  -- the same octets; = would take 1 and 1.0 in JSON for equal
      RETURN NEW;
    END IF;
  END IF;{deletion}
  RAISE EXCEPTION 'audit_entry is only added to' USING ERRCODE = 'restrict_violation';
END $$
"""


def upgrade() -> None:
    op.add_column("service", sa.Column("keep_content_days", sa.Integer(), nullable=True))
    op.add_column("service", sa.Column("keep_notification_days", sa.Integer(), nullable=True))
    op.add_column("template_version", sa.Column("keep_content_days", sa.Integer(), nullable=True))
    op.add_column(
        "notification_content", sa.Column("secrets_erased", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index(
        "ix_notification_content_attachments",
        "notification_content",
        ["attachments"],
        postgresql_using="gin",
        postgresql_ops={"attachments": "jsonb_path_ops"},
        postgresql_where=HAS_FILES,
        sqlite_where=HAS_FILES,
    )
    _replace_audit_guard(NO_DELETE_SQLITE.format(condition=IS_YOUNG_SQLITE), IS_OLD_POSTGRES)


def downgrade() -> None:
    _replace_audit_guard(NO_DELETE_SQLITE.format(condition=""), "")
    op.drop_index("ix_notification_content_attachments", "notification_content")
    op.drop_column("notification_content", "secrets_erased")
    op.drop_column("template_version", "keep_content_days")
    op.drop_column("service", "keep_notification_days")
    op.drop_column("service", "keep_content_days")


def _replace_audit_guard(sqlite: str, deletion: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(GUARD_POSTGRES.format(deletion=deletion))
    else:
        op.execute("DROP TRIGGER audit_entry_delete")
        op.execute(sqlite)

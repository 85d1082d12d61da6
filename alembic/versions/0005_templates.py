"""templates that are edited in the database: drafts, layouts, notes, images."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("template") as batch:
        batch.alter_column("current_number", existing_type=sa.Integer(), nullable=True)
        batch.add_column(sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("template_version") as batch:
        batch.add_column(sa.Column("sender", sa.String(640), nullable=True))
        batch.add_column(sa.Column("reply_to", sa.String(640), nullable=True))
        batch.add_column(sa.Column("note", sa.String(500), nullable=False, server_default=""))
    _set_kinds("email", "webhook", "asset")
    _create_tables()


def downgrade() -> None:
    for table in ("asset_file", "asset", "template_use", "template_layout", "template_draft"):
        op.drop_table(table)
    op.execute("DELETE FROM outbox_entry WHERE kind = 'asset'")
    _set_kinds("email", "webhook")
    with op.batch_alter_table("template_version") as batch:
        for name in ("sender", "reply_to", "note"):
            batch.drop_column(name)
    # The release before this one knows neither: what was never published goes, what was deleted is there again.
    op.execute("DELETE FROM template WHERE current_number IS NULL")
    with op.batch_alter_table("template") as batch:
        batch.drop_column("deleted_at")
        batch.alter_column("current_number", existing_type=sa.Integer(), nullable=False)


def _set_kinds(*kinds: str) -> None:
    name = op.f("ck_outbox_entry_kind")
    with op.batch_alter_table("outbox_entry") as batch:
        batch.drop_constraint(name, type_="check")
        quoted = ", ".join(f"'{kind}'" for kind in kinds)
        batch.create_check_constraint(name, f"kind IN ({quoted})")


def _create_tables() -> None:
    op.create_table(
        "template_draft",
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("source", _json(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("base_number", sa.Integer(), nullable=True),
        sa.Column("updated_by", sa.String(128), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_template_draft_template_id_template")),
        sa.PrimaryKeyConstraint("template_id", name=op.f("pk_template_draft")),
    )
    op.create_table(
        "template_layout",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_by", sa.String(128), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_template_layout")),
    )
    op.create_table(
        "template_use",
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("template_id", "key_id", name=op.f("pk_template_use")),
    )
    op.create_table(
        "asset",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("status", _closed("status", ("pending", "ready", "failed")), nullable=False),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("original", sa.LargeBinary(), nullable=False),
        sa.Column("mode", _closed("mode", ("fit", "crop")), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("files", _json(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_by", sa.String(128), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset")),
        sa.UniqueConstraint("name", name=op.f("uq_asset_name")),
    )
    op.create_table(
        "asset_file",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("content_type", sa.String(64), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_asset_file")),
    )


def _closed(name: str, values: tuple[str, ...]) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def _json() -> sa.types.TypeEngine:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

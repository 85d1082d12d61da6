"""mail merges; a batch can be paused, and that of a merge counts what was written."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATES = ("uploading", "checking", "checked", "running", "paused", "finished", "failed", "cancelled")
KEY_KINDS = ("live", "team", "test")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "merge",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("template", sa.String(64), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("overrides", JSON, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("info", JSON, nullable=True),
        sa.Column("columns", JSON, nullable=True),
        sa.Column("problems", JSON, nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("valid", sa.Integer(), nullable=False),
        sa.Column("faulty", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("suppressed", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(1000), nullable=True),
        sa.Column("check_job_id", sa.Uuid(), nullable=True),
        sa.Column("run_job_id", sa.Uuid(), nullable=True),
        sa.Column("start", JSON, nullable=True),
        sa.Column("started_by", sa.String(64), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paced_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paced", sa.Integer(), nullable=False),
        sa.Column("release_after", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge")),
        sa.CheckConstraint(_is_one_of("state", STATES), name=op.f("ck_merge_state")),
        sa.CheckConstraint(_is_one_of("kind", KEY_KINDS), name=op.f("ck_merge_kind")),
    )
    op.create_index("ix_merge_service_id_id", "merge", ["service_id", "id"])
    op.create_table(
        "merge_chunk",
        sa.Column("merge_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("merge_id", "number", name=op.f("pk_merge_chunk")),
    )
    op.create_table(
        "merge_fault",
        sa.Column("merge_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("faults", JSON, nullable=False),
        sa.Column("cells", JSON, nullable=False),
        sa.PrimaryKeyConstraint("merge_id", "number", name=op.f("pk_merge_fault")),
    )
    op.create_table(
        "merge_recipient",
        sa.Column("merge_id", sa.Uuid(), nullable=False),
        sa.Column("address_hash", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("merge_id", "address_hash", name=op.f("pk_merge_recipient")),
    )
    op.add_column("batch", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("batch", sa.Column("written", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("batch") as batch:
        batch.drop_column("written")
        batch.drop_column("paused_at")
    for name in ("merge_recipient", "merge_fault", "merge_chunk", "merge"):
        op.drop_table(name)


def _is_one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"

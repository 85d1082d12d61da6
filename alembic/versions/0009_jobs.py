"""job runs and schedules; the conversion of an image is a job run."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KINDS = ("image", "purge", "statistics", "report", "merge", "fetch", "notify")
STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
# An image that waits for its conversion gets a run with the id of its entry.
BEGIN_RUNS = """
INSERT INTO job_run (id, service_id, kind, state, subject_id, options, counts, progress, log, created_by, created_at,
                     updated_at)
SELECT e.id, e.service_id, 'image', 'queued', e.subject_id, {object}, {object}, 0, {list}, a.updated_by, a.updated_at,
       a.updated_at
FROM outbox_entry AS e JOIN asset AS a ON a.id = e.subject_id WHERE e.kind = 'asset'
"""
USE_RUNS = "UPDATE outbox_entry SET kind = 'job', subject_id = id WHERE kind = 'asset'"


def upgrade() -> None:
    op.create_table(
        "job_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=True),
        sa.Column("schedule_name", sa.String(64), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("options", JSON, nullable=False),
        sa.Column("cursor", JSON, nullable=True),
        sa.Column("counts", JSON, nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("log", JSON, nullable=False),
        sa.Column("error", sa.String(1000), nullable=True),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_run")),
        sa.CheckConstraint(_is_one_of("kind", KINDS), name=op.f("ck_job_run_kind")),
        sa.CheckConstraint(_is_one_of("state", STATES), name=op.f("ck_job_run_state")),
    )
    op.create_index("ix_job_run_service_id_id", "job_run", ["service_id", "id"])
    _create_partial_index("uq_job_run_schedule_id_planned_at", ["schedule_id", "planned_at"], "planned_at IS NOT NULL")
    _create_partial_index(
        "uq_job_run_service_id_idempotency_key", ["service_id", "idempotency_key"], "idempotency_key IS NOT NULL"
    )
    _create_partial_index("ix_job_run_open", ["schedule_id", "id"], "ended_at IS NULL", unique=False)
    op.create_table(
        "schedule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("timing", sa.String(128), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("catch_up", sa.String(24), nullable=False),
        sa.Column("overlap", sa.String(24), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("built_in", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.String(128), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
        sa.UniqueConstraint("service_id", "name", name=op.f("uq_schedule_service_id_name")),
        sa.CheckConstraint(_is_one_of("kind", KINDS), name=op.f("ck_schedule_kind")),
        sa.CheckConstraint("catch_up IN ('one', 'all', 'none')", name=op.f("ck_schedule_catch_up")),
        sa.CheckConstraint("overlap IN ('skip', 'queue')", name=op.f("ck_schedule_overlap")),
    )
    op.create_index("ix_schedule_next_at", "schedule", ["next_at"])
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.execute(BEGIN_RUNS.format(object=_quote_json("{}", is_postgres), list=_quote_json("[]", is_postgres)))
    op.execute("DELETE FROM outbox_entry WHERE kind = 'asset' AND id NOT IN (SELECT id FROM job_run)")
    _set_entry_kinds("email", "webhook", "asset", "batch", "job")
    op.execute(USE_RUNS)
    _set_entry_kinds("email", "webhook", "batch", "job")


def downgrade() -> None:
    _set_entry_kinds("email", "webhook", "asset", "batch", "job")
    op.execute(
        "UPDATE outbox_entry SET kind = 'asset',"
        " subject_id = (SELECT r.subject_id FROM job_run AS r WHERE r.id = outbox_entry.subject_id)"
        " WHERE kind = 'job' AND subject_id IN (SELECT id FROM job_run WHERE kind = 'image')"
    )
    op.execute("DELETE FROM outbox_entry WHERE kind = 'job'")
    _set_entry_kinds("email", "webhook", "asset", "batch")
    op.drop_table("schedule")
    op.drop_table("job_run")


def _quote_json(text: str, is_postgres: bool) -> str:
    return f"CAST('{text}' AS jsonb)" if is_postgres else f"'{text}'"


def _is_one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _create_partial_index(name: str, columns: list[str], condition: str, *, unique: bool = True) -> None:
    op.create_index(
        name, "job_run", columns, unique=unique, postgresql_where=sa.text(condition), sqlite_where=sa.text(condition)
    )


def _set_entry_kinds(*kinds: str) -> None:
    name = op.f("ck_outbox_entry_kind")
    with op.batch_alter_table("outbox_entry") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, _is_one_of("kind", kinds))

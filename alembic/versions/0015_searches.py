"""Searches over all services: by status, and for addresses that begin with some letters."""

from alembic import op
import sqlalchemy as sa

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None

ADDRESSES = (("notification", "address_key"), ("suppression", "address"))


def upgrade() -> None:
    op.create_index("ix_status_index_all", "status_index", ["status", "notification_id"])
    _set_collation('"C"')


def downgrade() -> None:
    _set_collation('"default"')
    op.drop_index("ix_status_index_all", "status_index")


def _set_collation(collation: str) -> None:
    """Order addresses by their bytes, so that those with the same beginning stand together in an index.

    Both columns at once, because an index serves a comparison of the same collation only. PostgreSQL builds their
    indexes again and no table; SQLite compares bytes anyway.
    """
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column in ADDRESSES:
        op.execute(sa.text(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar(320) COLLATE {collation}"))

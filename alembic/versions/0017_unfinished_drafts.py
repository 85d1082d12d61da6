"""drafts that are saved unfinished, with the faults that keep them from being published."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("template_draft", sa.Column("faults", json, nullable=True))


def downgrade() -> None:
    op.drop_column("template_draft", "faults")

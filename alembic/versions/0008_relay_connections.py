"""how many connections a relay takes from each sender."""

from alembic import op
import sqlalchemy as sa

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "relay_connections",
        sa.Column("sender_id", sa.Uuid(), nullable=False),
        sa.Column("relay", sa.String(255), nullable=False),
        sa.Column("in_force", sa.Integer(), nullable=False),
        sa.Column("maximum", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sender_id", "relay", name=op.f("pk_relay_connections")),
    )


def downgrade() -> None:
    op.drop_table("relay_connections")

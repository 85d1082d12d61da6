"""idempotency keys that were stored with the quotes of the header: the key is what stands within them."""

import re

from alembic import op
import sqlalchemy as sa

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"(#[0-9]+)?')
_ESCAPED = re.compile(r'\\(["\\])')
_RENAME = sa.text(
    "UPDATE notification SET idempotency_key = :key WHERE id = :id AND NOT EXISTS"
    " (SELECT 1 FROM notification AS other WHERE other.service_id = :service AND other.idempotency_key = :key)"
)
"""A key that is there in both forms stands for two notifications: the one without quotes keeps it."""


def upgrade() -> None:
    connection = op.get_bind()
    quoted = connection.execute(
        sa.text("SELECT id, service_id, idempotency_key FROM notification WHERE idempotency_key LIKE '\"%'")
    )
    for id_, service, key in quoted.all():
        if found := _QUOTED.fullmatch(key):
            bare = _ESCAPED.sub(r"\1", found[1]) + (found[2] or "")
            if bare.strip() == bare:
                connection.execute(_RENAME, {"id": id_, "service": service, "key": bare})


def downgrade() -> None:
    """The release before this one reads a key without quotes as it is."""

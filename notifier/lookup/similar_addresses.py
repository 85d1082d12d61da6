"""Find recipients whose address begins with some letters, over all services."""

from sqlalchemy import String, text
from sqlalchemy.ext.asyncio import AsyncConnection

MAX_LISTED = 10
_NEXT = """SELECT min((
  SELECT n.address_key FROM notification AS n
  WHERE (n.service_id, n.address_key) {bound} AND (n.service_id, n.address_key) < (s.id, :end)
  ORDER BY n.service_id, n.address_key LIMIT 1)) FROM service AS s"""
# It jumps from address to address in the index of each service: its cost is services times addresses, never mails.
_SIMILAR = text(
    f"""WITH RECURSIVE walk(address, number) AS (
  SELECT ({_NEXT.format(bound=">= (s.id, :start)")}), 1
  UNION ALL
  SELECT ({_NEXT.format(bound="> (s.id, walk.address)")}), number + 1
  FROM walk WHERE walk.address IS NOT NULL AND number < :limit)
SELECT address FROM walk WHERE address IS NOT NULL"""  # noqa: S608 - texts of our own
).columns(address=String)
_BEHIND_ALL = "\U0010ffff"
"""Behind every character of an address, in the order of its bytes."""


async def list_similar_addresses(connection: AsyncConnection, prefix: str, *, limit: int = MAX_LISTED) -> list[str]:
    """List the addresses that begin with a prefix, as `get_address_key` writes them, in the order of their bytes."""
    values = {"start": prefix, "end": prefix + _BEHIND_ALL, "limit": limit}
    return list((await connection.execute(_SIMILAR, values)).scalars())

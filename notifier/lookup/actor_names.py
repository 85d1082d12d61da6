"""The names of those who act: a key, a person of the staff, an operator, a schedule, or the sender."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.auth import staff_admin
from notifier.db.tables import ApiKey, Service, get_columns

_key, _service = get_columns(ApiKey), get_columns(Service)


async def get_actor_names(connection: AsyncConnection, actors: Iterable[str | None]) -> dict[str, str]:
    """Get how people call these actors; one that is not known any more is called as it is.

    `key:<id>` becomes "shop, key web (live)", `staff:<id>` the person's name, `operator:<name>` "operator <name>".
    """
    wanted = {actor for actor in actors if actor}
    keys, people = _parse_ids(wanted, "key"), _parse_ids(wanted, "staff")
    names = {actor: actor.replace(":", " ", 1) for actor in wanted}
    if keys:
        statement = select(_key.id, _key.name, _key.prefix, _key.kind, _service.name.label("service"))
        rows = await connection.execute(
            statement.outerjoin(Service, _service.id == _key.service_id).where(_key.id.in_(keys))
        )
        for row in rows:
            names[f"key:{row.id}"] = f"{row.service or 'admin'}, key {row.name or row.prefix} ({row.kind})"
    if people:
        names |= {f"staff:{id_}": name for id_, name in (await staff_admin.get_staff_names(connection, people)).items()}
    return names


def _parse_ids(actors: Iterable[str], kind: str) -> list[UUID]:
    ids = []
    for actor in actors:
        prefix, _, text = actor.partition(":")
        if prefix == kind:
            try:
                ids.append(UUID(text))
            except ValueError:
                continue
    return ids

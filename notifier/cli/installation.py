"""What `demo` and `init` put into a new database: the shipped templates, a service, its key, an admin key.

Everything that exists already is kept.
"""

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.audit import Actor
    from notifier.auth.key_admin import NewKey
    from notifier.runtime.process_parts import ProcessParts
    from notifier.templating.sync.sync_record import SyncResult


async def publish_shipped_templates(parts: "ProcessParts", by: str) -> "Sequence[SyncResult]":
    """Publish the shipped templates that do not exist yet. Edited templates stay as they are."""
    from notifier.rendering.pool import RenderingPool
    from notifier.settings import find_shipped_directory
    from notifier.templating.sync import template_files
    from notifier.templating.sync.push import Push

    root = find_shipped_directory("templates")
    async with RenderingPool() as pool:
        push = Push(database=parts.database, pool=pool, clock=parts.clock, by=by, only_new=True)
        return await push.run(root, template_files.list_slugs(root))


async def find_or_create_service(
    connection: "AsyncConnection", name: str, actor: "Actor", from_domains: "Sequence[str]" = ()
) -> UUID:
    """Return the id of the service with this name, which is created, and audited, if there is none."""
    from notifier.auth import service_admin
    from notifier.errors import NotFoundError

    with suppress(NotFoundError):
        return await service_admin.find_service(connection, name)
    new = service_admin.NewService(name=name, from_domains=from_domains)
    return (await service_admin.register_service(connection, new, actor=actor)).id


async def find_or_create_key(
    parts: "ProcessParts", key: str, service_id: UUID | None, properties: "NewKey", actor: "Actor"
) -> str:
    """Return `key` if it is a valid one of this service (None: an admin key), else a new key, which is audited."""
    from notifier.auth import authenticated_key, authenticator, key_admin

    with suppress(authenticated_key.UnauthenticatedError):
        known = await authenticator.Authenticator(parts.database, parts.clock).authenticate_key(f"Bearer {key}")
        if getattr(known, "service_id", None) == service_id:
            return key
    async with parts.database.write() as connection:
        _, created = await key_admin.create_key(connection, service_id, properties, actor=actor)
    return created

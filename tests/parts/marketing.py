"""A marketing template for tests, and keys with the scopes that an opt-out needs."""

from pathlib import Path

import msgspec

from notifier import wiring
from notifier.auth import keys, scope
from notifier.rendering.source import TemplateSource
from notifier.states import Category, Priority
from notifier.templating.folder import files
from parts import published

NEWS = {"template": "news"}
"""Makes a request one for marketing."""


async def publish(parts: wiring.Base) -> None:
    """Publish `news`, which takes what `welcome` takes."""
    source = files.read(Path("templates"), "welcome")
    settings = msgspec.structs.replace(source.settings, category=Category.MARKETING, priority=Priority.BULK)
    news = TemplateSource(files=source.files, sample=source.sample, settings=settings)
    async with parts.database.write() as connection:
        await published.publish(connection, "news", news, now=parts.clock.now())


async def key(parts: wiring.Base, service: str) -> str:
    """A key of the service that may do everything."""
    async with parts.database.write() as connection:
        service_id = await keys.find_service(connection, service)
        return await keys.create_key(connection, service_id, scopes=list(scope.Scope), now=parts.clock.now())

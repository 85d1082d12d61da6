"""A marketing template for tests, and keys with the scopes that an opt-out needs."""

from pathlib import Path

import msgspec

from notifier.auth import key_scope, new_key, service_admin
from notifier.runtime import wiring
from notifier.states import Category, Priority
from notifier.template_language.template_source import TemplateSource
from notifier.templating.sync import template_files
from support import published_template

NEWS = {"template": "news"}
"""Makes a request one for marketing."""


async def publish_marketing_template(parts: wiring.ProcessParts) -> None:
    """Publish `news`, which takes what `welcome` takes."""
    source = template_files.read_template(Path("templates"), "welcome")
    settings = msgspec.structs.replace(source.settings, category=Category.MARKETING, priority=Priority.BULK)
    news = TemplateSource(files=source.files, sample=source.sample, settings=settings)
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "news", news, now=parts.clock.now())


async def create_marketing_key(parts: wiring.ProcessParts, service: str) -> str:
    """A key of the service that may do everything."""
    async with parts.database.write() as connection:
        service_id = await service_admin.find_service(connection, service)
        return await new_key.create_live_key(
            connection, service_id, scopes=list(key_scope.KeyScope), now=parts.clock.now()
        )

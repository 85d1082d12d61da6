"""A marketing template for tests, and keys with the scopes for opt-outs."""

from pathlib import Path

import msgspec

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring
from notifier.states import Category, Priority
from notifier.template_language.template_source import TemplateSource
from notifier.templating.sync import template_files
from support import published_template

NEWS = {"template": "news"}
"""Makes a request one for marketing."""


async def publish_marketing_template(parts: wiring.ProcessParts) -> None:
    """Publish `news`, which has the variables of `welcome`."""
    source = template_files.read_template(Path("templates"), "welcome")
    settings = msgspec.structs.replace(source.settings, category=Category.MARKETING, priority=Priority.BULK)
    news = TemplateSource(files=source.files, sample=source.sample, settings=settings)
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "news", news, now=parts.clock.now())


async def create_marketing_key(parts: wiring.ProcessParts, service: str) -> str:
    """Create a key of the service with every scope."""
    async with parts.database.write() as connection:
        service_id = await service_admin.find_service(connection, service)
        return await key_admin.create_live_key(connection, service_id, scopes=list(KeyScope), now=parts.clock.now())

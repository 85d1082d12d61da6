"""Two who work on the same template: one in the database, as staff do, the other in a folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from notifier.audit import Actor
from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.rendering.pool import RenderingPool
from notifier.rendering.protocol import SourceCheck
from notifier.rendering.source_check import check_source
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, version_store
from notifier.templating.sync import database_state
from notifier.templating.sync.push import Push
from notifier.templating.version_store import Publication

NOW = datetime(2026, 3, 9, 12, 30, tzinfo=UTC)


class InProcess(RenderingPool):
    """Checks as a child would, but starts none: what is checked here is harmless."""

    async def check(self, source: TemplateSource) -> SourceCheck:
        """The report."""
        return check_source(source)


@dataclass(frozen=True, kw_only=True)
class TwoSides:
    """The database, as staff have it, and a folder with the template `hello`."""

    database: Database
    write: Callable[[Mapping[str, str | bytes | None]], Path]  # makes the folder, with changes

    def push(self, **options: Any) -> Push:
        """A push by somebody at a terminal."""
        usual: dict[str, Any] = {"by": "operator:ada"}
        return Push(database=self.database, pool=InProcess(), clock=SystemClock(), **usual | options)

    async def edited(self, subject: str, by: str = "staff:bob") -> TemplateSource:
        """Somebody has published another subject."""
        async with self.database.write() as connection:
            source = (await database_state.get_states(connection, ["hello"]))["hello"].source
            assert source is not None
            source = replace(source, files=source.files | {"subject.txt": subject})
            publication = Publication(by=by, at=NOW, note="Friendlier")
            await version_store.write_version(connection, "hello", source, check_source(source), publication)
        return source

    async def drafted(self, subject: str) -> None:
        """Somebody has a draft."""
        async with self.database.write() as connection:
            there = await draft_store.get_draft(connection, "hello")
            assert there.source is not None
            source = replace(there.source, files=there.source.files | {"subject.txt": subject})
            await draft_store.save_draft(
                connection, "hello", source, revision=there.revision, actor=Actor(name="staff:bob", at=NOW)
            )

    async def stands(self, slug: str = "hello") -> database_state.TemplateState:
        """What there is."""
        async with self.database.read() as connection:
            return (await database_state.get_states(connection, [slug]))[slug]

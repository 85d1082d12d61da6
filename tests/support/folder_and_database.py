"""One template on two sides: in the database, as staff edit it, and in a folder."""

from collections.abc import Callable, Mapping, Sequence
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
from notifier.templating import draft_store, layout_store, template_store, version_store
from notifier.templating.sync import stored_templates
from notifier.templating.sync.pull import Pull
from notifier.templating.sync.push import Push
from notifier.templating.sync.stored_templates import StoredTemplates
from notifier.templating.sync.sync_record import SyncResult
from notifier.templating.version_store import Publication

NOW = datetime(2026, 3, 9, 12, 30, tzinfo=UTC)


class InProcess(RenderingPool):
    """Checks templates in this process, because they are harmless."""

    async def check(self, source: TemplateSource) -> SourceCheck:
        """Return the report."""
        return check_source(source)


@dataclass(frozen=True, kw_only=True)
class TwoSides:
    """A database, and a folder with the template `hello`."""

    database: Database
    write: Callable[[Mapping[str, str | bytes | None]], Path]  # writes the folder, with changes

    def push(self, **options: Any) -> Push:
        """Push the folder as a person at a terminal."""
        usual: dict[str, Any] = {"by": "operator:ada"}
        return Push(database=self.database, pool=InProcess(), clock=SystemClock(), **usual | options)

    async def publish_edit(self, subject: str, by: str = "staff:bob") -> TemplateSource:
        """Publish another subject as staff."""
        async with self.database.write() as connection:
            source = (await template_store.get_states(connection, ["hello"]))["hello"].source
            assert source is not None
            source = replace(source, files=source.files | {"subject.txt": subject})
            publication = Publication(by=by, at=NOW, note="Friendlier")
            await version_store.write_version(connection, "hello", source, check_source(source), publication)
        return source

    async def save_draft(self, subject: str) -> None:
        """Save a draft as staff."""
        async with self.database.write() as connection:
            draft = await draft_store.get_draft(connection, "hello")
            assert draft.source is not None
            source = replace(draft.source, files=draft.source.files | {"subject.txt": subject})
            await draft_store.save_draft(
                connection, "hello", source, revision=draft.revision, actor=Actor(name="staff:bob", at=NOW)
            )

    async def pull(
        self, root: Path, slugs: Sequence[str] | None = None, *, dry_run: bool = False, **options: Any
    ) -> list[SyncResult]:
        """Pull into a folder as the command does, but without the API."""
        async with self.database.read() as connection:
            states = {state.slug: state for state in await template_store.list_states(connection, slugs, limit=1000)}
            layouts = {view.name: view for view in await layout_store.list_layouts(connection)}
            earlier = await stored_templates.list_earlier_hashes(connection, list(states))
        stored = StoredTemplates(states=states, layouts=layouts, earlier=earlier)
        pull = Pull(**options)
        plan = pull.plan(root, slugs, stored)
        if not dry_run:
            pull.write(root, plan, {})
        return plan.results

    async def get_state(self, slug: str = "hello") -> template_store.TemplateState:
        """Get the state of the database."""
        async with self.database.read() as connection:
            return (await template_store.get_states(connection, [slug]))[slug]

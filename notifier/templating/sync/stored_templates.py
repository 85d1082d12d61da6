"""The templates of the database as a folder sees them: what a pull writes, and what a diff compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Template, TemplateVersion, get_columns
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating.layout_store import LayoutView
from notifier.templating.sync import sync_record
from notifier.templating.template_store import TemplateState

_template, _version = get_columns(Template), get_columns(TemplateVersion)


@dataclass(frozen=True, kw_only=True)
class StoredTemplates:
    """Templates and layouts as they are in the database."""

    states: Mapping[str, TemplateState]  # by slug
    layouts: Mapping[str, LayoutView]  # by name, all of them
    earlier: Mapping[str, Sequence[str]] = field(default_factory=dict)  # slug → hashes of the own parts of all versions

    def get_state(self, slug: str) -> TemplateState:
        """Get the state of a template; an unknown one has number 0 and no draft."""
        return self.states.get(slug) or TemplateState(slug=slug)

    def find_layouts(self) -> dict[str, LayoutView]:
        """Find the layouts by name; one that only versions have is taken from the newest of them, with revision 0."""
        views = dict(self.layouts)
        published = [
            (state.published_at, state) for state in self.states.values() if state.source and state.published_at
        ]
        for at, state in sorted(published, key=lambda item: item[0], reverse=True):
            for name, text in (state.source.files if state.source else {}).items():
                if name.startswith(LAYOUTS) and name not in views:
                    by = state.published_by
                    views[name] = LayoutView(name=name, text=text, revision=0, updated_by=by, updated_at=at)
        return views


async def list_earlier_hashes(connection: AsyncConnection, slugs: Sequence[str]) -> dict[str, list[str]]:
    """List for each template the hashes of the own parts of all its versions."""
    hashes: dict[str, list[str]] = {slug: [] for slug in slugs}
    query = select(_template.slug, _version.source)
    query = query.join(Template, _template.id == _version.template_id).where(_template.slug.in_(slugs))
    for row in await connection.execute(query) if slugs else ():
        hashes[row.slug].append(sync_record.hash_own_parts(msgspec.convert(row.source, TemplateSource)))
    return hashes

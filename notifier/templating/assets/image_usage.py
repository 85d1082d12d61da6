"""Where images are used: in live mail, in drafts, and in layouts."""

from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Template, TemplateDraft, TemplateVersion, get_columns
from notifier.mail.mail_parts import find_image_names
from notifier.templating import layout_store

_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)


@dataclass(frozen=True, kw_only=True)
class ImageUsage:
    """Where one image is used."""

    live: set[str] = field(default_factory=set)  # slugs of templates whose current version shows it
    drafts: set[str] = field(default_factory=set)  # slugs of templates whose draft names it
    layouts: set[str] = field(default_factory=set)  # names of layouts that name it


async def list_image_usage(connection: AsyncConnection) -> dict[str, ImageUsage]:
    """List where each image is used, by its name. Deleted templates do not count."""
    usage: dict[str, ImageUsage] = {}
    versions = (
        select(_template.slug, _version.source["assets"].label("assets"))
        .join(TemplateVersion, (_version.template_id == _template.id) & (_version.number == _template.current_number))
        .where(_template.deleted_at.is_(None))
    )
    for row in await connection.execute(versions):
        for name in row.assets or ():
            usage.setdefault(name, ImageUsage()).live.add(row.slug)
    shared = {layout.name: layout.text for layout in await layout_store.list_layouts(connection)}
    for layout_name, text in shared.items():
        for name in find_image_names([text]):
            usage.setdefault(name, ImageUsage()).layouts.add(layout_name)
    drafts = (
        select(_template.slug, _draft.source["files"].label("files"))
        .join(TemplateDraft, _draft.template_id == _template.id)
        .where(_template.deleted_at.is_(None))
    )
    for row in await connection.execute(drafts):
        files = row.files | layout_store.find_used_layouts(row.files, shared.get)
        for name in find_image_names(files.values()):
            usage.setdefault(name, ImageUsage()).drafts.add(row.slug)
    return usage

"""Templates, layouts and images as the API returns them, in the form in which a folder is compared with them."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating.layout_store import LayoutView
from notifier.templating.sync.stored_templates import StoredTemplates
from notifier.templating.template_store import TemplateState

if TYPE_CHECKING:
    from notifier import client
    from notifier.client import AsyncNotifier
    from notifier.templating.sync.asset_files import ImageFile

PAGE_SIZE = 50  # templates with their files in one reply


async def fetch_templates(notifier: "AsyncNotifier", slugs: Sequence[str] | None) -> StoredTemplates:
    """Fetch those of the named templates that exist, or all, and all layouts."""
    chunks = [None] if slugs is None else list(_split(slugs))
    replies = [reply for chunk in chunks async for reply in notifier.templates.files(slugs=chunk, limit=PAGE_SIZE)]
    layouts = [await notifier.layouts.get(layout.name) async for layout in notifier.layouts.list()]
    return StoredTemplates(
        states={reply.slug: _build_state(reply) for reply in sorted(replies, key=lambda reply: reply.slug)},
        layouts={LAYOUTS + layout.name: _build_layout(layout) for layout in layouts},
    )


async def fetch_earlier_hashes(notifier: "AsyncNotifier", slugs: Sequence[str]) -> dict[str, Sequence[str]]:
    """Fetch the hashes of the own files of all versions of these templates."""
    return {
        reply.slug: reply.earlier
        for chunk in _split(slugs)
        async for reply in notifier.templates.files(slugs=chunk, texts=False, history=True, limit=PAGE_SIZE)
    }


def _split(slugs: Sequence[str]) -> Iterator[Sequence[str]]:
    return (slugs[start : start + PAGE_SIZE] for start in range(0, len(slugs), PAGE_SIZE))


def _build_state(reply: "client.TemplateFiles") -> TemplateState:
    return TemplateState(
        slug=reply.slug,
        deleted_at=reply.deleted_at,
        number=reply.number,
        content_hash=reply.content_hash,
        source=_build_source(reply.version),
        note=reply.note,
        published_by=reply.published_by,
        published_at=reply.published_at,
        variables=list(reply.variables),
        draft=_build_source(reply.draft),
        revision=int(reply.has_draft),
        updated_by=reply.updated_by,
        updated_at=reply.updated_at,
    )


def _build_source(source: "client.TemplateSource | None") -> TemplateSource | None:
    return msgspec.convert(dict(source.raw), TemplateSource) if source else None


def _build_layout(layout: "client.Layout") -> LayoutView:
    assert layout.text is not None
    assert layout.updated_by is not None
    assert layout.updated_at is not None
    return LayoutView(
        name=LAYOUTS + layout.name,
        text=layout.text,
        revision=layout.revision,
        updated_by=layout.updated_by,
        updated_at=layout.updated_at,
    )


async def fetch_images(notifier: "AsyncNotifier", names: Collection[str]) -> "dict[str, ImageFile]":
    """Fetch the uploads of those of these images that are ready."""
    from notifier.templating.assets.image_conversion import ImageOptions
    from notifier.templating.sync.asset_files import ImageFile

    images = {}
    ready = [asset async for asset in notifier.assets.list() if asset.status == "ready"] if names else []
    for asset in ready:
        if asset.name in names:
            keys = {key: asset.raw[key] for key in ImageOptions.__struct_fields__}
            options = msgspec.convert(keys, ImageOptions)
            images[asset.name] = ImageFile(data=await notifier.assets.original(asset.name), options=options)
    return images

"""The members of a problem besides its code: both sides of an edit conflict, and the callers that would break."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec

from notifier.rendering.source import TemplateSource
from notifier.templating import delta
from notifier.templating.draft import DraftView, StaleDraftError
from notifier.templating.layout import LayoutView, StaleLayoutError
from notifier.templating.publish import GateClosedError


async def told(error: Exception) -> dict[str, Any]:
    """Build the additional members of a problem document; texts are compared in a thread."""
    if isinstance(error, GateClosedError):
        return {"report": dict(error.report)}
    if isinstance(error, StaleDraftError):
        return await asyncio.to_thread(_drafts, error)
    if isinstance(error, StaleLayoutError):
        return await asyncio.to_thread(_layouts, error)
    return {}


def source_of(source: TemplateSource | None) -> dict[str, Any]:
    """Build a template's files, sample and settings in the form of a request."""
    if source is None:
        return {"files": {}, "sample": {}, "settings": None}
    return {"files": source.files, "sample": source.sample, "settings": msgspec.to_builtins(source.settings)}


def draft_of(view: DraftView) -> dict[str, Any]:
    """Build the reply for a draft."""
    names = ("slug", "number", "revision", "base_number", "seen", "updated_by", "updated_at")
    return {name: getattr(view, name) for name in names} | source_of(view.source)


def layout_of(view: LayoutView) -> dict[str, Any]:
    """Build the reply for a layout, with its name as in paths."""
    return vars(view) | {"name": view.name.partition("/")[2]}


def _drafts(error: StaleDraftError) -> dict[str, Any]:
    theirs = _dated(draft_of(error.theirs))
    if error.yours is None:
        return {"theirs": theirs, "yours": None, "diff": []}
    differences = delta.files(error.theirs.source, error.yours)
    return {"theirs": theirs, "yours": source_of(error.yours), "diff": [vars(file) for file in differences]}


def _layouts(error: StaleLayoutError) -> dict[str, Any]:
    theirs = _dated(layout_of(error.theirs)) if error.theirs else None
    if error.yours is None:
        return {"theirs": theirs, "yours": None, "diff": []}
    before = error.theirs.text if error.theirs else ""
    diff = delta.text("layout", before, error.yours)
    change = delta.FileChange.CHANGED if error.theirs else delta.FileChange.ADDED
    return {
        "theirs": theirs,
        "yours": {"text": error.yours},
        "diff": [{"file": theirs["name"] if theirs else "layout", "change": change, "diff": diff}],
    }


def _dated(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in fields.items()
    }

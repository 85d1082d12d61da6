"""What a refusal has to show besides its code: both sides of a conflict, and whom a draft would break."""

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
    """The members of the problem document; in a thread where texts are compared."""
    if isinstance(error, GateClosedError):
        return {"report": dict(error.report)}
    if isinstance(error, StaleDraftError):
        return await asyncio.to_thread(_drafts, error)
    if isinstance(error, StaleLayoutError):
        return await asyncio.to_thread(_layouts, error)
    return {}


def source_of(source: TemplateSource | None) -> dict[str, Any]:
    """The text, the sample and the settings, as a request has them."""
    if source is None:
        return {"files": {}, "sample": {}, "settings": None}
    return {"files": source.files, "sample": source.sample, "settings": msgspec.to_builtins(source.settings)}


def draft_of(view: DraftView) -> dict[str, Any]:
    """What stands under a slug."""
    names = ("slug", "number", "has_draft", "base_number", "revision", "updated_by")
    told = {name: getattr(view, name) for name in names}
    return told | {"updated_at": view.updated_at} | source_of(view.source)


def layout_of(view: LayoutView) -> dict[str, Any]:
    """A layout under the name that paths have."""
    return vars(view) | {"name": view.name.partition("/")[2]}


def _drafts(error: StaleDraftError) -> dict[str, Any]:
    theirs = _dated(draft_of(error.theirs))
    if error.yours is None:
        return {"theirs": theirs, "yours": None, "diff": []}
    found = delta.files(error.theirs.source, error.yours)
    return {"theirs": theirs, "yours": source_of(error.yours), "diff": [vars(one) for one in found]}


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


def _dated(told: dict[str, Any]) -> dict[str, Any]:
    """The same with times as text."""
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in told.items()
    }

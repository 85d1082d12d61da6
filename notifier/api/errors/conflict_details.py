"""What a refusal has to show besides its code: both sides of a conflict, and whom a draft would break."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec

from notifier.template_language.template_source import TemplateSource
from notifier.templating import source_diff
from notifier.templating.draft_store import DraftView, StaleDraftError
from notifier.templating.layout_store import LayoutView, StaleLayoutError
from notifier.templating.publishing import GateClosedError


async def build_conflict_details(error: Exception) -> dict[str, Any]:
    """The members of the problem document; in a thread where texts are compared."""
    if isinstance(error, GateClosedError):
        return {"report": dict(error.report)}
    if isinstance(error, StaleDraftError):
        return await asyncio.to_thread(_build_draft_conflict, error)
    if isinstance(error, StaleLayoutError):
        return await asyncio.to_thread(_build_layout_conflict, error)
    return {}


def build_source_reply(source: TemplateSource | None) -> dict[str, Any]:
    """The text, the sample and the settings, as a request has them."""
    if source is None:
        return {"files": {}, "sample": {}, "settings": None}
    return {"files": source.files, "sample": source.sample, "settings": msgspec.to_builtins(source.settings)}


def build_draft_reply(view: DraftView) -> dict[str, Any]:
    """What stands under a slug."""
    names = ("slug", "number", "has_draft", "base_number", "revision", "updated_by")
    told = {name: getattr(view, name) for name in names}
    return told | {"updated_at": view.updated_at} | build_source_reply(view.source)


def build_layout_reply(view: LayoutView) -> dict[str, Any]:
    """A layout under the name that paths have."""
    return vars(view) | {"name": view.name.partition("/")[2]}


def _build_draft_conflict(error: StaleDraftError) -> dict[str, Any]:
    theirs = _format_times(build_draft_reply(error.theirs))
    if error.yours is None:
        return {"theirs": theirs, "yours": None, "diff": []}
    found = source_diff.compare_sources(error.theirs.source, error.yours)
    return {"theirs": theirs, "yours": build_source_reply(error.yours), "diff": [vars(one) for one in found]}


def _build_layout_conflict(error: StaleLayoutError) -> dict[str, Any]:
    theirs = _format_times(build_layout_reply(error.theirs)) if error.theirs else None
    if error.yours is None:
        return {"theirs": theirs, "yours": None, "diff": []}
    before = error.theirs.text if error.theirs else ""
    diff = source_diff.diff_text("layout", before, error.yours)
    change = source_diff.FileChange.CHANGED if error.theirs else source_diff.FileChange.ADDED
    return {
        "theirs": theirs,
        "yours": {"text": error.yours},
        "diff": [{"file": theirs["name"] if theirs else "layout", "change": change, "diff": diff}],
    }


def _format_times(told: dict[str, Any]) -> dict[str, Any]:
    """The same with times as text."""
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in told.items()
    }

"""Additional members of a problem: both sides of an edit conflict, the callers that would break, what was refused."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic_core import to_jsonable_python

from notifier.template_language.template_source import TemplateSource
from notifier.templating import source_diff
from notifier.templating.draft_store import DraftView, StaleDraftError
from notifier.templating.layout_store import LayoutView, StaleLayoutError
from notifier.templating.publishing import GateClosedError
from notifier.templating.sync.sync_record import SyncRefusedError, SyncResult


async def build_conflict_details(error: Exception) -> dict[str, Any]:
    """Build the additional members of a problem; texts are compared in a thread."""
    if isinstance(error, GateClosedError):
        return {"report": dict(error.report)}
    if isinstance(error, StaleDraftError):
        return await asyncio.to_thread(_build_draft_conflict, error)
    if isinstance(error, StaleLayoutError):
        return await asyncio.to_thread(_build_layout_conflict, error)
    if isinstance(error, SyncRefusedError):
        return {"results": format_sync_results(error.refused)}
    return {}


def build_source_reply(source: TemplateSource | None) -> dict[str, Any]:
    """Build a template's files, sample and settings in the form of a request."""
    if source is None:
        return {"files": {}, "sample": {}, "settings": None}
    return {"files": source.files, "sample": source.sample, "settings": msgspec.to_builtins(source.settings)}


def build_draft_reply(view: DraftView) -> dict[str, Any]:
    """Build the reply for a draft."""
    names = ("slug", "number", "has_draft", "base_number", "revision", "updated_by", "updated_at")
    return {name: getattr(view, name) for name in names} | {
        "faults": msgspec.to_builtins(view.faults),
        **build_source_reply(view.source),
    }


def build_layout_reply(view: LayoutView) -> dict[str, Any]:
    """Build the reply for a layout, with its name as in paths."""
    return vars(view) | {"name": view.name.partition("/")[2]}


def format_sync_results(results: Sequence[SyncResult]) -> list[dict[str, Any]]:
    """Convert the results of a push to JSON."""
    return [
        {
            "slug": result.slug,
            "number": result.number,
            "change": result.change.value,
            "why": result.why,
            "differs": list(result.differs),
        }
        for result in results
    ]


def _build_draft_conflict(error: StaleDraftError) -> dict[str, Any]:
    theirs = to_jsonable_python(build_draft_reply(error.theirs))
    if error.yours is None:
        return {"theirs": theirs, "yours": None, "diff": []}
    differences = source_diff.compare_sources(error.theirs.source, error.yours)
    return {"theirs": theirs, "yours": build_source_reply(error.yours), "diff": [vars(file) for file in differences]}


def _build_layout_conflict(error: StaleLayoutError) -> dict[str, Any]:
    theirs = to_jsonable_python(build_layout_reply(error.theirs)) if error.theirs else None
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

"""A draft, or an old version, is tried on recent requests: the progress, whom it would break, and the ways out."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from notifier.console.context import get_console
from notifier.console.diff_rows import build_diff_rows
from notifier.console.page import require_member
from notifier.console.pages.editor_preview import get_renderer
from notifier.console.template_remarks import EditorRemark, list_remarks
from notifier.errors import NotifierError
from notifier.template_language.template_source import TemplateSource
from notifier.template_lint.lint_remark import Severity
from notifier.templating import template_store
from notifier.templating.gate_report import GateReport, RequestRefusal


@dataclass(frozen=True, kw_only=True)
class WayOut:
    """A reason for which requests would be refused, and where it could be mended."""

    refusal: RequestRefusal
    path: str  # of the variable
    file: str | None  # where the template uses it
    line: int | None

    @property
    def is_missing(self) -> bool:
        """Whether a default would help."""
        return "missing" in self.refusal.code


@dataclass(kw_only=True)
class TrialResult:
    """What became of trying to publish."""

    source: TemplateSource
    remarks: list[EditorRemark]  # those that must be mended first
    report: GateReport | None = None
    is_same: bool = False  # nothing differs from the live version
    problem: str = ""


async def try_source(request: Request, slug: str, result: TrialResult) -> AsyncIterator[str]:
    """Try the source on recent requests, and yield the progress; the result is filled in."""
    console, member = get_console(request), (await require_member(request)).member
    steps: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()

    async def run() -> None:
        async with console.read_slots.open() as connection:
            current = (await template_store.get_states(connection, [slug]))[slug]
        result.is_same = current.content_hash == result.source.content_hash() and current.deleted_at is None
        if result.is_same:
            return
        checked = await get_renderer(request).check(result.source)
        remarks = list_remarks(checked.faults, checked.remarks)
        result.remarks = [remark for remark in remarks if remark.severity is Severity.ERROR]
        if result.remarks:
            return
        async with console.editors.hold_slot(member.actor_name) as slot:
            slot.start()
            result.report = await console.gate.try_source(
                slug, result.source, checked, progress=lambda done, total: steps.put_nowait((done, total))
            )

    task = asyncio.create_task(run())
    task.add_done_callback(lambda _: steps.put_nowait(None))
    try:
        while (step := await steps.get()) is not None:
            yield f'<p class="trying" role="status">Trying it on recent requests: {step[0]} of {step[1]}.</p>\n'
        await task
    except NotifierError as error:
        result.problem = str(error)
    finally:
        task.cancel()


def list_ways_out(result: TrialResult) -> dict[str, list[WayOut]]:
    """List for each service why requests would be refused."""
    if result.report is None:
        return {}
    return {
        outcome.service: [_build_way_out(result.source, refusal) for refusal in outcome.refusals]
        for outcome in result.report.services
        if outcome.blocks
    }


def list_keys(result: TrialResult) -> set[str]:
    """List the keys whose requests would be refused, as actors."""
    if result.report is None:
        return set()
    refusals = (refusal for outcome in result.report.services for refusal in outcome.refusals)
    return {f"key:{key}" for refusal in refusals for key in refusal.keys}


def _build_way_out(source: TemplateSource, refusal: RequestRefusal) -> WayOut:
    names = [name for name in refusal.pointer.split("/")[2:] if name != "*"]
    path = ".".join(name.replace("~1", "/").replace("~0", "~") for name in names)
    file, line = find_place(source, path) or (None, None)
    return WayOut(refusal=refusal, path=path, file=file, line=line)


def find_place(source: TemplateSource, path: str) -> tuple[str, int] | None:
    """Find the first line of the template that uses a variable; in a loop it has only its last name."""
    if not path:
        return None
    last = path.rpartition(".")[2]
    for pattern in (rf"(?<![\w.]){re.escape(path)}\b", rf"\.{re.escape(last)}\b"):
        for file, text in sorted(source.files.items()):
            for number, line in enumerate(text.split("\n"), 1):
                if re.search(pattern, line) and "{" in line:
                    return file, number
    return None


def list_examples(result: TrialResult) -> list[dict[str, Any]]:
    """List the kinds of change, each with a mail of it before and after."""
    if result.report is None:
        return []
    words = {"subject": "Subject", "html": "HTML", "text": "Text"}
    return [
        {
            "example": example,
            "parts": [(words[part], build_diff_rows(diff)) for part, diff in example.diffs.items()],
            "words": ", ".join(words[part] for part in example.changed),
        }
        for example in result.report.examples
    ]

"""The publish page: whom a draft or an old version would break, which mails it changes, and publishing it.

The draft is tried while the page loads, with its progress. What is published is what was tried: if anything has changed
since, the page is shown again.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.console.act import act, get_actor, open_change
from notifier.console.context import get_console
from notifier.console.diff_rows import build_diff_rows
from notifier.console.form import FormErrors, read_form, read_number
from notifier.console.page import redirect, render_page, render_part, require_member
from notifier.console.pages.editor_preview import get_renderer
from notifier.console.template_form import word_part, word_type
from notifier.console.template_remarks import EditorRemark, list_remarks
from notifier.errors import InvalidRequestError, NotifierError
from notifier.template_language.template_source import TemplateSource
from notifier.template_lint.lint_remark import Severity
from notifier.templating import draft_store, publishing, template_store
from notifier.templating.draft_store import StaleDraftError
from notifier.templating.gate_report import GateReport, RequestRefusal
from notifier.templating.publish_gate import KEY_USE_PERIOD
from notifier.templating.publishing import GateClosedError, NothingToPublishError, PublishRequest

MARKER = "<!--trying-->"
BAD_REQUEST = 400
_CHANGED = "Something has changed since this was tried, so it was not published. This is what it would do now."


class PublishForm(BaseModel):
    """What is published, and why."""

    model_config = ConfigDict(extra="forbid")

    revision: str
    content_hash: str  # of the source that was tried
    version: int | None = None  # an old version; None: the draft
    note: Annotated[str, Field(title="why", max_length=500)] = ""
    force_reason: Annotated[str, Field(title="the reason", max_length=500)] = ""


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


async def show_publish_page(request: Request) -> Response:
    """Show what publishing the draft, or the version that is named, would do."""
    (await require_member(request)).member.require_scope(KeyScope.TEMPLATES_PUBLISH)
    console, slug = get_console(request), request.path_params["slug"]
    version = read_number(request, "version")
    async with console.read_slots.open() as connection:
        template = await template_store.get_template(connection, slug)
        draft = await draft_store.get_draft(connection, slug)
    source = await draft_store.load_source(console.database, slug, version)
    page = render_page(request, "template_publish", template=template, version=version)
    head, _, foot = bytes(page.body).decode().partition(MARKER)

    async def stream() -> AsyncIterator[str]:
        yield head
        result = TrialResult(source=source, remarks=list_remarks(draft.faults if version is None else ()))
        if not result.remarks:
            async for step in _try_source(request, slug, result):
                yield step
        part = render_part(
            request,
            "gate_report",
            template=template,
            version=version,
            revision=draft.revision,
            result=result,
            ways=_list_ways_out(result),
            key_names={str(use.key_id): use.key for use in result.report.keys} if result.report else {},
            examples=_list_examples(result),
            use_days=KEY_USE_PERIOD.days,
            word_part=word_part,
            word_type=word_type,
        )
        yield bytes(part.body).decode()
        yield foot

    return StreamingResponse(stream(), media_type="text/html")


@act("publish_template", KeyScope.TEMPLATES_PUBLISH)
async def publish_draft(request: Request) -> Response:
    """Publish the draft that was tried."""
    return await _publish(request)


@act("restore_template", KeyScope.TEMPLATES_PUBLISH)
async def restore_version(request: Request) -> Response:
    """Publish an old version as the next one."""
    return await _publish(request)


async def _publish(request: Request) -> Response:
    console, slug = get_console(request), request.path_params["slug"]
    member = (await require_member(request)).member
    form = await read_form(request, PublishForm)
    if isinstance(form, FormErrors):
        raise HTTPException(BAD_REQUEST, "; ".join(form.messages.values()))
    here = f"/console/templates/{slug}/publish" + (f"?version={form.version}" if form.version is not None else "")
    if form.force_reason:
        member.require_scope(KeyScope.ADMIN)
    source = await draft_store.load_source(console.database, slug, form.version)
    if source.content_hash() != form.content_hash:
        return await _show_again(request, here)
    wanted = PublishRequest(
        slug=slug, revision=form.revision, version=form.version, note=form.note, force_reason=form.force_reason
    )
    try:
        async with console.editors.hold_slot(member.actor_name) as slot:
            slot.start()
            candidate = await console.publisher.examine(wanted)
        if candidate.source.content_hash() != form.content_hash and form.version is None:
            return await _show_again(request, here)
        async with open_change(request) as connection:
            version = await publishing.publish_template(connection, candidate, actor=get_actor(request))
    except (StaleDraftError, GateClosedError, NothingToPublishError, InvalidRequestError):
        return await _show_again(request, here)
    console.template_cache.forget_template(slug)
    said = f"Version {version.number} is live: mail that is asked for from now on uses it."
    return await redirect(request, f"/console/templates/{slug}", flash=said)


async def _show_again(request: Request, url: str) -> Response:
    """Show the page again: what would be published is not what was tried."""
    get_actor(request).record_no_change()
    return await redirect(request, url, flash=_CHANGED)


async def _try_source(request: Request, slug: str, result: TrialResult) -> AsyncIterator[str]:
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


def _list_ways_out(result: TrialResult) -> dict[str, list[WayOut]]:
    """List for each service why requests would be refused."""
    if result.report is None:
        return {}
    return {
        outcome.service: [_build_way_out(result.source, refusal) for refusal in outcome.refusals]
        for outcome in result.report.services
        if outcome.blocks
    }


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


def _list_examples(result: TrialResult) -> list[dict[str, Any]]:
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


_PATH = "/templates/{slug}/publish"
routes = [
    Route(_PATH, show_publish_page),
    Route(_PATH, publish_draft, methods=["POST"]),
    Route("/templates/{slug}/restore", restore_version, methods=["POST"]),
]

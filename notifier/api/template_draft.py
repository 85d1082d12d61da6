"""`/v1/templates/{slug}/draft` and its looks: saved by who has seen what stands there, refused if it cannot render.

Whatever is rendered here is rendered by child processes that are not the sender's.
"""

from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request

from notifier.api import conflict
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.doors import Doors, TheDoors
from notifier.api.request import holder
from notifier.api.request_body import read_model, read_model_if_any
from notifier.api.template_reply import DraftOut, PreviewOut, RenderOut, SavedOut, remarks_of
from notifier.api.template_schema import DraftIn, PreviewIn, RenderIn, Slug
from notifier.auth.keys import Keyholder
from notifier.auth.scope import Scope
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.rendering.job import Shown
from notifier.rendering.source import HTML, SUBJECT, TEXT, TemplateSettings, TemplateSource, choose_locale
from notifier.templating import draft, form, look

router = APIRouter(prefix="/v1", tags=["templates"])
RECIPIENT = "ada@example.com"
"""Whom a preview is addressed to."""
_Revision = Annotated[str, Query(max_length=64, pattern="^[^\\x00]*$", description="The one that you have loaded.")]


@router.get(
    "/templates/{slug}/draft",
    response_model=DraftOut,
    operation_id="get_template_draft",
    summary="Get the draft of a template",
)
async def get_draft(request: Request, slug: Slug, doors: TheDoors) -> dict[str, Any]:
    """What is being edited; while there is no draft, what the current version says."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        view = await draft.look(connection, slug)
    if view.source is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return conflict.draft_of(view)


@router.put(
    "/templates/{slug}/draft",
    response_model=SavedOut,
    operation_id="save_template_draft",
    summary="Save the draft of a template",
    openapi_extra=with_body(DraftIn, required=True),
)
async def save_draft(request: Request, slug: Slug, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Save it, for a new slug as well. 409 with both sides if it has another `revision`; 422 if it fails."""
    caller = await holder(request, doors, Scope.TEMPLATES_EDIT)
    wanted = await read_model(request, DraftIn)
    source, revision, by = wanted.source(), wanted.revision, caller.actor
    checked = await draft.check_draft(doors.database, doors.editors.of(by), slug, source, revision=revision, by=by)
    async with changing(doors) as connection:
        saved = await draft.save(connection, slug, source, revision=revision, actor=audited.doer(caller))
    remarks = {"remarks": remarks_of(checked.remarks), "variables_schema": checked.variables_schema}
    return conflict.draft_of(saved) | remarks


@router.delete(
    "/templates/{slug}/draft",
    status_code=204,
    operation_id="discard_template_draft",
    summary="Discard the draft of a template",
)
async def discard_draft(
    request: Request, slug: Slug, doors: TheDoors, audited: Audited, revision: _Revision = ""
) -> None:
    """Forget the draft: what the current version says is what is edited next."""
    caller = await holder(request, doors, Scope.TEMPLATES_EDIT)
    async with changing(doors) as connection:
        await draft.discard(connection, slug, revision=revision, actor=audited.doer(caller))


@router.post(
    "/templates/{slug}/preview",
    response_model=PreviewOut,
    operation_id="preview_template",
    summary="Preview a template",
    openapi_extra=with_body(PreviewIn, required=False),
)
async def preview(request: Request, slug: Slug, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """The draft, or a version, as a mail; with the sample, or with your variables."""
    caller = await holder(request, doors, Scope.TEMPLATES_READ)
    audited.nothing()
    wanted = await read_model_if_any(request, PreviewIn)
    source = await draft.load_source(doors.database, slug, wanted.version)
    mail = await shown(doors, caller, source, wanted)
    told = {"subject": mail.subject, "html": mail.html, "text": mail.text, "size": len(mail.wire)}
    return told | {"source": mail.wire.decode("utf-8", "replace")}


@router.post(
    "/render",
    response_model=RenderOut,
    operation_id="render_source",
    summary="Render a template without saving it",
    openapi_extra=with_body(RenderIn, required=True),
)
async def render(request: Request, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Text that is saved nowhere, with these variables: three parts and what could be better, or 422."""
    caller = await holder(request, doors, Scope.TEMPLATES_READ)
    audited.nothing()
    wanted = await read_model(request, RenderIn)
    source = _unsaved(wanted)
    if faults := form.faults_in(source):
        raise InvalidRequestError([_placed(fault, wanted) for fault in faults])
    async with doors.database.read() as connection:
        whole = await draft.assembled(connection, source)
    checked = await doors.editors.of(caller.actor).check(whole)
    if checked.faults:
        raise InvalidRequestError([_placed(form.fault_of(fault), wanted) for fault in checked.faults])
    chosen = choose_locale({tag.lower(): tag for tag in source.locales}, wanted.locale)
    parts = checked.previews[chosen or source.settings.locale]
    told = {"warnings": remarks_of(checked.remarks), "variables_schema": checked.variables_schema}
    return {"subject": parts.subject, "html": parts.html, "text": parts.text} | told


async def shown(doors: Doors, caller: Keyholder, source: TemplateSource, wanted: PreviewIn) -> Shown:
    """Render the mail in a child process. Raises `InvalidRequestError`."""
    values = look.Values(
        variables=wanted.variables,
        locale=wanted.locale,
        recipient=wanted.to or RECIPIENT,
        sender=doors.own_sender,
        at=doors.clock.now(),
    )
    return await look.shown(doors.editors.of(caller.actor), source, values)


_FIELDS = {SUBJECT: "subject", HTML: "html", TEXT: "text"}


def _unsaved(wanted: RenderIn) -> TemplateSource:
    """The source that the request comes to. Raises `InvalidRequestError`."""
    given = {name: getattr(wanted, field) for name, field in _FIELDS.items()}
    parts = {name: text for name, text in given.items() if text is not None}
    if wanted.files is not None and parts:
        raise InvalidRequestError([Fault("/files", "files_or_parts", "either files, or subject, html and text")])
    if wanted.files is None:
        missing = [
            Fault(f"/{_FIELDS[name]}", "missing_field", "needed") for name in (SUBJECT, HTML) if name not in parts
        ]
        if missing:
            raise InvalidRequestError(missing)
    settings = wanted.settings
    told = settings.model_dump(mode="json", by_alias=True) if settings else {"name": "unsaved"}
    return TemplateSource(
        files=wanted.files if wanted.files is not None else parts,
        sample=wanted.variables,
        settings=msgspec.convert(told, TemplateSettings),
    )


def _placed(fault: Fault, wanted: RenderIn) -> Fault:
    """The fault with a pointer into the request as it was made."""
    pointer = fault.pointer
    if pointer.startswith("/sample"):
        pointer = "/variables" + pointer.removeprefix("/sample")
    elif wanted.files is None and pointer.startswith("/files"):
        name = pointer.removeprefix("/files").removeprefix("/")
        pointer = f"/{_FIELDS[name]}" if name in _FIELDS else ""
    return replace(fault, pointer=pointer)

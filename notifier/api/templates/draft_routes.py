"""`/v1/templates/{slug}/draft`, its previews, and `/v1/render`.

Everything is rendered in child processes that are not the sender's.
"""

from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request

from notifier.api.dependencies import (
    AuditDependency,
    RequestAudit,
    authenticate_key,
    get_dependencies,
    open_change_transaction,
)
from notifier.api.errors import conflict_details
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.api.templates.models import DraftOut, PreviewOut, RenderOut, SavedOut, format_remarks
from notifier.api.templates.request_models import DraftIn, PreviewIn, RenderIn, Slug
from notifier.auth.authenticated_key import AuthenticatedKey, Caller, KeyScope
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.rendering.protocol import PreviewedMail
from notifier.template_language.template_source import (
    HTML,
    SUBJECT,
    TEXT,
    TemplateSettings,
    TemplateSource,
    choose_locale,
)
from notifier.templating import draft_store, template_preview, validation
from notifier.templating.template_preview import MailReach

router = APIRouter(prefix="/v1", tags=["templates"])
PREVIEW_RECIPIENT = "ada@example.com"
"""The recipient that a preview shows."""
_FIELDS = {SUBJECT: "subject", HTML: "html", TEXT: "text"}
_Revision = Annotated[
    str, Query(max_length=64, pattern="^[^\\x00]*$", description="The `revision` that you have loaded.")
]


@router.get("/templates/{slug}/draft", response_model=DraftOut, summary="Get the draft of a template")
async def get_template_draft(request: Request, slug: Slug) -> dict[str, Any]:
    """Get the draft; without one, the text of the current version."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        view = await draft_store.get_draft(connection, slug)
    if view.source is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return conflict_details.build_draft_reply(view)


@router.put(
    "/templates/{slug}/draft",
    response_model=SavedOut,
    summary="Save the draft of a template",
    openapi_extra=document_body(DraftIn),
)
async def save_template_draft(request: Request, slug: Slug, audit: AuditDependency) -> dict[str, Any]:
    """Save the draft, also for a new slug. 409 with both sides for another `revision`; 422 if it does not render.

    With `unfinished` a draft that does not render is kept with its `faults`; it cannot be published or sent.
    """
    dependencies = get_dependencies(request)
    caller = await authenticate_key(request, KeyScope.TEMPLATES_EDIT)
    draft = await read_model(request, DraftIn)
    source, revision = draft.source(), draft.revision
    renderer = dependencies.editors.get_renderer(caller.actor_name)
    checked = await draft_store.check_draft(
        dependencies.database.read, renderer, slug, source, revision=revision, unfinished=draft.unfinished
    )
    async with open_change_transaction(request) as connection:
        actor = audit.get_actor(caller)
        saved = await draft_store.save_draft(
            connection, slug, source, revision=revision, actor=actor, faults=checked.faults
        )
    remarks = {"remarks": format_remarks(checked.remarks), "variables_schema": checked.variables_schema}
    return conflict_details.build_draft_reply(saved) | remarks


@router.delete("/templates/{slug}/draft", status_code=204, summary="Discard the draft of a template")
async def discard_template_draft(
    request: Request, slug: Slug, audit: AuditDependency, revision: _Revision = ""
) -> None:
    """Delete the draft; the next edit starts from the current version."""
    caller = await authenticate_key(request, KeyScope.TEMPLATES_EDIT)
    async with open_change_transaction(request) as connection:
        await draft_store.discard_draft(connection, slug, revision=revision, actor=audit.get_actor(caller))


@router.post(
    "/templates/{slug}/preview",
    response_model=PreviewOut,
    summary="Preview a template",
    openapi_extra=document_body(PreviewIn, required=False),
)
async def preview_template(request: Request, slug: Slug, audit: AuditDependency) -> dict[str, Any]:
    """Render the draft, or a version, as a mail; with the sample, or with your variables."""
    caller = await authenticate_key(request, KeyScope.TEMPLATES_READ)
    body = await read_optional_model(request, PreviewIn)
    source = await draft_store.load_source(get_dependencies(request).database.read, slug, body.version)
    if body.like is None:
        audit.record_no_change()
    else:
        caller.require_scope(KeyScope.TEMPLATES_EDIT)
    mail = await render_preview(request, caller, source, await fill_values(request, caller, audit, slug, body, source))
    parts = {"subject": mail.subject, "html": mail.html, "text": mail.text}
    return parts | {"size": len(mail.wire), "source": mail.wire.decode("utf-8", "replace")}


@router.post(
    "/render",
    response_model=RenderOut,
    summary="Render a template without saving it",
    openapi_extra=document_body(RenderIn),
)
async def render_source(request: Request, audit: AuditDependency) -> dict[str, Any]:
    """Render text that is not saved, with these variables; returns three parts and warnings, or 422."""
    dependencies = get_dependencies(request)
    caller = await authenticate_key(request, KeyScope.TEMPLATES_READ)
    body = await read_model(request, RenderIn)
    source = _build_unsaved_source(body)
    if faults := validation.find_source_faults(source):
        raise InvalidRequestError([_move_pointer(fault, body) for fault in faults])
    if body.like is None:
        audit.record_no_change()
    else:
        caller.require_scope(KeyScope.TEMPLATES_EDIT)
    if body.like is not None and body.template is None:
        raise InvalidRequestError([Fault("/template", "missing_field", "needed with like")])
    async with dependencies.database.read() as connection:
        whole = await draft_store.assemble_source(connection, source, body.template)
    checked = await dependencies.editors.get_renderer(caller.actor_name).check(whole)
    if checked.faults:
        faults = [validation.build_render_fault(fault) for fault in checked.faults]
        raise InvalidRequestError([_move_pointer(fault, body) for fault in faults])
    locale = choose_locale({tag.lower(): tag for tag in source.locales}, body.locale)
    parts = checked.previews[locale or source.settings.locale]
    subject, html, text = parts.subject, parts.html, parts.text
    if body.like is not None and body.template is not None:
        wanted = PreviewIn(like=body.like, locale=body.locale)
        filled = await fill_values(request, caller, audit, body.template, wanted, source)
        mail = await render_preview(request, caller, whole, filled)
        subject, html, text = mail.subject, mail.html or "", mail.text
    return {
        "subject": subject,
        "html": html,
        "text": text,
        "warnings": format_remarks(checked.remarks),
        "variables_schema": checked.variables_schema,
    }


async def fill_values(
    request: Request, caller: AuthenticatedKey, audit: RequestAudit, slug: str, body: PreviewIn, source: TemplateSource
) -> PreviewIn:
    """Fill in the variables of the mail that the body names, if it names one. Raises `InvalidRequestError`."""
    if body.like is None:
        return body
    if body.variables is not None:
        raise InvalidRequestError([Fault("/like", "not_both", "variables or like, not both")])
    reach = MailReach()
    if isinstance(caller, Caller):
        reach = MailReach(service_id=caller.service_id, kinds=caller.kinds_in_reach)
    try:
        async with open_change_transaction(request) as connection:
            actor = audit.get_actor(caller)
            past = await template_preview.load_past_values(
                connection, slug, body.like, source, reach=reach, actor=actor
            )
    except NotFoundError as error:
        raise InvalidRequestError([Fault("/like", "unknown_notification", str(error))]) from error
    return body.model_copy(update={"variables": past.variables, "locale": body.locale or past.locale})


async def render_preview(
    request: Request, caller: AuthenticatedKey, source: TemplateSource, body: PreviewIn
) -> PreviewedMail:
    """Render the mail in a child process. Raises `InvalidRequestError`."""
    dependencies = get_dependencies(request)
    values = template_preview.PreviewValues(
        variables=body.variables,
        locale=body.locale,
        recipient=body.to or PREVIEW_RECIPIENT,
        sender=dependencies.default_sender,
        at=dependencies.clock.now(),
    )
    return await template_preview.preview_source(dependencies.editors.get_renderer(caller.actor_name), source, values)


def _build_unsaved_source(body: RenderIn) -> TemplateSource:
    parts = {name: text for name, field in _FIELDS.items() if (text := getattr(body, field)) is not None}
    if body.files is not None and parts:
        raise InvalidRequestError([Fault("/files", "files_or_parts", "either files, or subject, html and text")])
    if body.files is None:
        missing = [name for name in (SUBJECT, HTML) if name not in parts]
        if missing:
            raise InvalidRequestError([Fault(f"/{_FIELDS[name]}", "missing_field", "needed") for name in missing])
    settings = body.settings.model_dump(mode="json", by_alias=True) if body.settings else {"name": "unsaved"}
    return TemplateSource(
        files=body.files if body.files is not None else parts,
        sample=body.variables,
        settings=msgspec.convert(settings, TemplateSettings),
    )


def _move_pointer(fault: Fault, body: RenderIn) -> Fault:
    """Change the pointer of a fault of the source into one of the request."""
    pointer = fault.pointer
    if pointer.startswith("/sample"):
        pointer = "/variables" + pointer.removeprefix("/sample")
    elif body.files is None and pointer.startswith("/files"):
        name = pointer.removeprefix("/files").removeprefix("/")
        pointer = f"/{_FIELDS[name]}" if name in _FIELDS else ""
    return replace(fault, pointer=pointer)

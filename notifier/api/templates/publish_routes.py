"""`/v1/templates/{slug}/publish`, `/restore` and `/test-send`: what leaves the desk, to all or to one."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from typing_extensions import TypeAliasType

from notifier.api.authentication import authenticate_key, recognise_service
from notifier.api.body.model_reader import document_body, read_model, read_optional_model
from notifier.api.dependencies import ApiDependencies, Dependencies, open_change_transaction
from notifier.api.notifications import models
from notifier.api.request_audit import AuditDependency
from notifier.api.templates.draft_routes import get_preview_source, render_preview
from notifier.api.templates.models import PublishedOut, TemplateOut, VersionOut, format_remarks
from notifier.api.templates.request_models import PublishIn, RestoreIn, Slug, TestSendIn
from notifier.audit import AuditAction
from notifier.auth.authenticated_key import AuthenticatedKey
from notifier.auth.key_scope import KeyScope
from notifier.rendering.protocol import PreviewedMail
from notifier.submission.notification_request import NotificationRequest as Mail
from notifier.submission.notification_writer import write_in_transaction
from notifier.template_language import image_functions
from notifier.template_language.template_source import TemplateSource
from notifier.templating import audit_records, source_preview, template_archive, template_queries
from notifier.templating.publishing import PublishRequest
from notifier.templating.version_store import Publication

router = APIRouter(prefix="/v1/templates", tags=["templates"])


@router.post(
    "/{slug}/publish",
    status_code=201,
    response_model=PublishedOut,
    operation_id="publish_template",
    summary="Publish a template",
    openapi_extra=document_body(PublishIn, required=True),
)
async def publish_template(
    request: Request, response: Response, slug: Slug, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Make the draft, with the layouts as they stand now, the version that new notifications get."""
    caller = await authenticate_key(request, doors, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    given = await read_model(request, PublishIn)
    wanted = PublishRequest(slug=slug, revision=given.seen, force_reason=given.force_reason)
    return await _publish(response, doors, audited, caller, wanted, given.note)


# As for a submit: many generated clients read 201 with the schema of 200.
RestoreResultOut = TypeAliasType("RestoreResultOut", TemplateOut | PublishedOut)


@router.post(
    "/{slug}/restore",
    status_code=201,
    response_model=PublishedOut,
    operation_id="restore_template",
    summary="Restore a template",
    openapi_extra=document_body(RestoreIn, required=False),
    responses={200: {"model": RestoreResultOut, "description": "Without a version: it is there again."}},
)
async def restore_template(
    request: Request, response: Response, slug: Slug, doors: Dependencies, audited: AuditDependency
) -> Any:
    """Publish an old version's very text as the next one, layouts as they were; or have a deleted template back."""
    caller = await authenticate_key(request, doors, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    given = await read_optional_model(request, RestoreIn)
    if given.version is not None:
        wanted = PublishRequest(slug=slug, revision=given.seen, version=given.version, force_reason=given.force_reason)
        return await _publish(response, doors, audited, caller, wanted, given.note)
    async with open_change_transaction(doors) as connection:
        id_, was_deleted = await template_archive.undelete_template(connection, slug)
        done = audit_records.build_template_record(AuditAction.TEMPLATE_RESTORED, id_, slug, note=given.note)
        await audited.record_all(connection, caller, [done] if was_deleted else [])
        view = await template_queries.get_template(connection, slug)
    doors.template_cache.forget_template(slug)
    return JSONResponse(TemplateOut.model_validate(view, from_attributes=True).model_dump(mode="json"))


@router.post(
    "/{slug}/test-send",
    status_code=202,
    response_model=models.AcceptedOut,
    operation_id="test_template",
    summary="Send a test mail of a template",
    openapi_extra=document_body(TestSendIn, required=True),
)
async def test_template(
    request: Request, response: Response, slug: Slug, doors: Dependencies, audited: AuditDependency
) -> Any:
    """Send one mail that says what the preview says, as your service."""
    caller = await recognise_service(request, doors)
    doors.rate_limits.count_notifications(request, caller, 1)
    caller.require_scope(KeyScope.TEMPLATES_EDIT)
    caller.require_scope(KeyScope.SEND)
    wanted = await read_model(request, TestSendIn)
    source = await get_preview_source(doors, slug, wanted)
    mail = await render_preview(doors, caller, source, wanted)
    literal = Mail(
        to=wanted.to,
        content={"subject": mail.subject, "html": mail.html, "text": mail.text},
        attachments=await _list_attachments(doors, source, mail),
        headers=source_preview.build_unsubscribe_header(source, wanted.variables),
        sender=source.settings.from_,
        reply_to=source.settings.reply_to,
    )
    accepted = await doors.submitter.prepare(caller, literal, None, [])
    doors.submitter.check_queue_time(accepted)
    async with open_change_transaction(doors) as connection:  # the mail and what is told of it: both, or neither
        submitted = await write_in_transaction(connection, accepted)
        id_ = (await template_queries.get_template(connection, slug)).id
        which = wanted.version if wanted.version is not None else "draft"
        done = audit_records.build_template_record(
            AuditAction.TEMPLATE_TESTED, id_, slug, version=which, notification=str(submitted.id)
        )
        await audited(connection, caller, done)
    doors.wake_sender()
    response.headers["Location"] = f"/v1/notifications/{submitted.id}"
    status = models.get_shown_status(submitted.status, submitted.send_at, doors.clock.now())
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


async def _list_attachments(
    doors: ApiDependencies, source: TemplateSource, mail: PreviewedMail
) -> list[dict[str, str]]:
    """The images that the mail shows, as a caller would attach them."""
    names = image_functions.list_shown_images(source.assets, mail.html)
    lines = await doors.images.load_base64([source.assets[name].sha256 for name in names])
    return [
        {
            "filename": file.filename,
            "content": lines[source.assets[name].sha256].replace(b"\r\n", b"").decode(),
            "content_type": file.content_type,
            "content_id": file.content_id or "",
        }
        for name, file in zip(names, image_functions.build_image_attachments(source.assets, names), strict=True)
    ]


async def _publish(
    response: Response,
    doors: ApiDependencies,
    audited: AuditDependency,
    caller: AuthenticatedKey,
    wanted: PublishRequest,
    note: str,
) -> dict[str, Any]:
    """Check, pass the gate, write, and say so."""
    if wanted.force_reason:
        caller.require_scope(KeyScope.ADMIN)
    async with doors.editors.hold_slot(caller.actor_name) as turn:
        turn.start()
        candidate = await doors.publisher.examine(wanted)
    is_old = wanted.version is not None
    publication = Publication(by=caller.actor_name, at=doors.clock.now(), note=note, keeps_draft=is_old)
    async with open_change_transaction(doors) as connection:
        version = await doors.publisher.publish(connection, candidate, publication)
        told: dict[str, Any] = {"number": version.number, "note": note}
        if is_old:
            told["restored"] = wanted.version
        if candidate.report.blocks:
            told["forced"] = wanted.force_reason
        action = AuditAction.TEMPLATE_RESTORED if is_old else AuditAction.TEMPLATE_PUBLISHED
        await audited(
            connection, caller, audit_records.build_template_record(action, version.template_id, wanted.slug, **told)
        )
    doors.template_cache.forget_template(wanted.slug)
    response.headers["Location"] = f"{router.prefix}/{wanted.slug}/versions/{version.number}"
    found = vars(version) | {"note": note, "published_by": caller.actor_name}
    return _select_version_fields(found) | {
        "remarks": format_remarks(candidate.checked.remarks),
        "report": candidate.report.as_json(),
    }


def _select_version_fields(version: dict[str, Any]) -> dict[str, Any]:
    return {name: version[name] for name in VersionOut.model_fields}

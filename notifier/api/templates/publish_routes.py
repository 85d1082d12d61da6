"""`/v1/templates/{slug}/publish`, `/restore` and `/test-send`."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from typing_extensions import TypeAliasType

from notifier.api.dependencies import (
    ApiDependencies,
    AuditDependency,
    Dependencies,
    authenticate_key,
    open_change_transaction,
    recognise_service,
)
from notifier.api.notifications import models
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.api.templates.draft_routes import render_preview
from notifier.api.templates.models import PublishedOut, TemplateOut, VersionOut, format_remarks
from notifier.api.templates.request_models import PublishIn, RestoreIn, Slug, TestSendIn
from notifier.auth.authenticated_key import AuthenticatedKey
from notifier.auth.key_scope import KeyScope
from notifier.submission.template_test_mail import TemplateTestMail, check_test_mail, send_test_mail
from notifier.templating import draft_store, publishing, template_archive, template_queries
from notifier.templating.publishing import PublishRequest

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
    request: Request, response: Response, slug: Slug, dependencies: Dependencies, audit: AuditDependency
) -> dict[str, Any]:
    """Publish the draft, with the current layouts, as the version that new notifications use."""
    caller = await authenticate_key(request, dependencies, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    body = await read_model(request, PublishIn)
    publish_request = PublishRequest(slug=slug, revision=body.revision, note=body.note, force_reason=body.force_reason)
    return await _publish(response, dependencies, audit, caller, publish_request)


# A union, as for a submit: many generated clients parse 201 with the schema of 200.
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
    request: Request, response: Response, slug: Slug, dependencies: Dependencies, audit: AuditDependency
) -> Any:
    """Publish the unchanged text of an old version as the next version, with its layouts; or undelete a template."""
    caller = await authenticate_key(request, dependencies, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    body = await read_optional_model(request, RestoreIn)
    if body.version is not None:
        publish_request = PublishRequest(slug=slug, **body.model_dump())
        return await _publish(response, dependencies, audit, caller, publish_request)
    async with open_change_transaction(dependencies) as connection:
        await template_archive.undelete_template(connection, slug, note=body.note, actor=audit.get_actor(caller))
        view = await template_queries.get_template(connection, slug)
    dependencies.template_cache.forget_template(slug)
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
    request: Request, response: Response, slug: Slug, dependencies: Dependencies, audit: AuditDependency
) -> Any:
    """Send one mail that is equal to the preview, as your service."""
    caller = await recognise_service(request, dependencies)
    dependencies.rate_limits.count_notifications(request, caller, 1)
    caller.require_scope(KeyScope.TEMPLATES_EDIT)
    caller.require_scope(KeyScope.SEND)
    body = await read_model(request, TestSendIn)
    source = await draft_store.load_source(dependencies.database, slug, body.version)
    mail = TemplateTestMail(
        slug=slug,
        version=body.version,
        to=body.to,
        source=source,
        variables=body.variables,
        preview=await render_preview(dependencies, caller, source, body),
    )
    accepted = await check_test_mail(dependencies.submitter, dependencies.images, caller, mail)
    async with open_change_transaction(dependencies) as connection:
        submitted = await send_test_mail(connection, accepted, mail, actor=audit.get_actor(caller))
    dependencies.wake_sender()
    response.headers["Location"] = f"/v1/notifications/{submitted.id}"
    status = models.get_shown_status(submitted.status, submitted.send_at, dependencies.clock.now())
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


async def _publish(
    response: Response,
    dependencies: ApiDependencies,
    audit: AuditDependency,
    caller: AuthenticatedKey,
    publish_request: PublishRequest,
) -> dict[str, Any]:
    """Check, pass the gate, write, and build the reply."""
    if publish_request.force_reason:
        caller.require_scope(KeyScope.ADMIN)
    async with dependencies.editors.hold_slot(caller.actor_name) as slot:
        slot.start()
        candidate = await dependencies.publisher.examine(publish_request)
    async with open_change_transaction(dependencies) as connection:
        version = await publishing.publish_template(connection, candidate, actor=audit.get_actor(caller))
    dependencies.template_cache.forget_template(publish_request.slug)
    response.headers["Location"] = f"{router.prefix}/{publish_request.slug}/versions/{version.number}"
    fields = vars(version) | {"note": publish_request.note, "published_by": caller.actor_name}
    return {
        **{name: fields[name] for name in VersionOut.model_fields},
        "remarks": format_remarks(candidate.checked.remarks),
        "report": candidate.report.as_json() if candidate.report else {},
    }

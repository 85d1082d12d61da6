"""`/v1/templates/{slug}/gate`, `/publish`, `/restore` and `/test-send`.

The gate changes nothing. Its diffs show values of recent requests; to show secret ones needs a scope, and is recorded.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from typing_extensions import TypeAliasType

from notifier.api.dependencies import (
    AuditDependency,
    RequestAudit,
    authenticate_key,
    get_dependencies,
    open_change_transaction,
    recognise_key,
)
from notifier.api.notifications import models
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.api.templates.draft_routes import fill_values, render_preview
from notifier.api.templates.models import GateOut, PublishedOut, TemplateOut, VersionOut, format_remarks
from notifier.api.templates.request_models import GateIn, PublishIn, RestoreIn, Slug, TestSendIn
from notifier.auth.authenticated_key import AuthenticatedKey, Caller, KeyScope
from notifier.errors import NotifierError
from notifier.sse import EventStream
from notifier.submission.notification_submitter import (
    TemplateTestMail,
    build_test_caller,
    check_test_mail,
    send_test_mail,
)
from notifier.telemetry.logging import get_logger
from notifier.templating import draft_store, publishing, template_store, template_usage, validation
from notifier.templating.gate_report import GateReport
from notifier.templating.publish_gate import ProgressCallback, record_unmasking
from notifier.templating.publishing import PublishRequest

router = APIRouter(prefix="/v1/templates", tags=["templates"])
STREAM = "text/event-stream"


@router.post(
    "/{slug}/gate",
    response_model=GateOut,
    summary="Try a template on recent requests",
    openapi_extra=document_body(GateIn, required=False),
    responses={
        200: {
            "content": {STREAM: {}},
            "description": "The report; as events, if they are what you accept: `done` and `total`, then `report`.",
        }
    },
)
async def try_template(request: Request, slug: Slug, audit: AuditDependency) -> Any:
    """Try the draft on the newest requests of each service: who would be refused, and which mails change."""
    dependencies = get_dependencies(request)
    caller = await authenticate_key(request, KeyScope.TEMPLATES_PUBLISH)
    body = await read_optional_model(request, GateIn)
    if body.unmasked:
        caller.require_scope(KeyScope.UNMASKED)
    caller.require_live("sees what live mail says")
    source = await draft_store.load_source(dependencies.database.read, slug, body.version, finished=True)
    checked = await dependencies.editors.get_renderer(caller.actor_name).check(source)
    validation.require_renderable(checked)
    if body.unmasked:
        async with open_change_transaction(request) as connection:
            await record_unmasking(connection, slug, actor=audit.get_actor(caller))
    audit.record_no_change()

    async def try_source(progress: ProgressCallback | None = None) -> GateReport:
        async with dependencies.editors.hold_slot(caller.actor_name) as slot:
            slot.start()
            return await dependencies.gate.try_source(
                slug, source, checked, masked=not body.unmasked, progress=progress
            )

    if STREAM in request.headers.get("accept", ""):
        return EventStream(_stream_report(try_source), dependencies.streams, caller.key_id)
    return (await try_source()).as_json()


@router.post(
    "/{slug}/publish",
    status_code=201,
    response_model=PublishedOut,
    summary="Publish a template",
    openapi_extra=document_body(PublishIn),
)
async def publish_template(request: Request, response: Response, slug: Slug, audit: AuditDependency) -> dict[str, Any]:
    """Publish the draft, with the current layouts, as the version that new notifications use."""
    caller = await authenticate_key(request, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    body = await read_model(request, PublishIn)
    publish_request = PublishRequest(slug=slug, **body.model_dump())
    return await _publish(request, response, audit, caller, publish_request)


# A union, as for a submit: many generated clients parse 201 with the schema of 200.
RestoreResultOut = TypeAliasType("RestoreResultOut", TemplateOut | PublishedOut)


@router.post(
    "/{slug}/restore",
    status_code=201,
    response_model=PublishedOut,
    summary="Restore a template",
    openapi_extra=document_body(RestoreIn, required=False),
    responses={200: {"model": RestoreResultOut, "description": "Without a version: it is there again."}},
)
async def restore_template(request: Request, response: Response, slug: Slug, audit: AuditDependency) -> Any:
    """Publish the unchanged text of an old version as the next version, with its layouts; or undelete a template."""
    caller = await authenticate_key(request, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    body = await read_optional_model(request, RestoreIn)
    if body.version is not None:
        publish_request = PublishRequest(slug=slug, **body.model_dump())
        return await _publish(request, response, audit, caller, publish_request)
    async with open_change_transaction(request) as connection:
        await template_store.undelete_template(connection, slug, note=body.note, actor=audit.get_actor(caller))
        view = await template_store.get_template(connection, slug)
        callers = (await template_usage.list_callers(connection, [view.id]))[view.id]
    get_dependencies(request).template_cache.forget_template(slug)
    fields = vars(view) | {"callers": [vars(caller) for caller in callers]}
    return JSONResponse(TemplateOut.model_validate(fields).model_dump(mode="json"))


@router.post(
    "/{slug}/test-send",
    status_code=202,
    response_model=models.AcceptedOut,
    summary="Send a test mail of a template",
    openapi_extra=document_body(TestSendIn),
)
async def test_template(request: Request, response: Response, slug: Slug, audit: AuditDependency) -> Any:
    """Send one mail that is equal to the preview, as your service; of an admin key as the instance itself."""
    dependencies = get_dependencies(request)
    key = await recognise_key(request)
    key.require_scope(KeyScope.TEMPLATES_EDIT)
    if isinstance(key, Caller):
        dependencies.rate_limits.count_notifications(request, key, 1)
        key.require_scope(KeyScope.SEND)
    else:
        dependencies.rate_limits.count_request(request, key)
    body = await read_model(request, TestSendIn)
    source = await draft_store.load_source(dependencies.database.read, slug, body.version, finished=True)
    filled = await fill_values(request, key, audit, slug, body, source)
    mail = TemplateTestMail(
        slug=slug,
        version=body.version,
        to=body.to,
        source=source,
        variables=filled.variables,
        preview=await render_preview(request, key, source, filled),
    )
    caller = key if isinstance(key, Caller) else build_test_caller(key.actor_name, mail)
    accepted = await check_test_mail(dependencies.submitter, dependencies.images, caller, mail)
    async with open_change_transaction(request) as connection:
        submitted = await send_test_mail(connection, accepted, mail, actor=audit.get_actor(key))
    dependencies.wake_sender()
    response.headers["Location"] = f"/v1/notifications/{submitted.id}"
    status = models.get_shown_status(submitted.status, submitted.send_at, dependencies.clock.now())
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


async def _publish(
    request: Request, response: Response, audit: RequestAudit, caller: AuthenticatedKey, publish_request: PublishRequest
) -> dict[str, Any]:
    """Check, pass the gate, write, and build the reply."""
    dependencies = get_dependencies(request)
    if publish_request.force_reason:
        caller.require_scope(KeyScope.ADMIN)
    async with dependencies.editors.hold_slot(caller.actor_name) as slot:
        slot.start()
        candidate = await dependencies.publisher.examine(publish_request)
    async with open_change_transaction(request) as connection:
        version = await publishing.publish_template(connection, candidate, actor=audit.get_actor(caller))
    dependencies.template_cache.forget_template(publish_request.slug)
    response.headers["Location"] = f"{router.prefix}/{publish_request.slug}/versions/{version.number}"
    fields = vars(version) | {"note": publish_request.note, "published_by": caller.actor_name}
    return {
        **{name: fields[name] for name in VersionOut.model_fields},
        "remarks": format_remarks(candidate.checked.remarks),
        "report": candidate.report.as_json() if candidate.report else {},
    }


async def _stream_report(
    try_source: Callable[[ProgressCallback], Coroutine[Any, Any, GateReport]],
) -> AsyncIterator[str]:
    """Yield the progress as events, and then the report; the work ends with the reader."""
    steps: asyncio.Queue[dict[str, int] | None] = asyncio.Queue()
    task = asyncio.create_task(try_source(lambda done, total: steps.put_nowait({"done": done, "total": total})))
    task.add_done_callback(lambda _: steps.put_nowait(None))
    try:
        while (step := await steps.get()) is not None:
            yield _encode_event(step)
        yield _encode_event({"report": (await task).as_json()})
    except NotifierError as error:
        get_logger().warning("gate_failed", error=type(error).__name__)
        yield _encode_event({"failed": str(error)})
    finally:
        task.cancel()


def _encode_event(event: dict[str, Any]) -> str:
    return msgspec.json.encode(event).decode()

"""`/v1/templates/{slug}/publish`, `/restore` and `/test-send`: what leaves the desk, to all or to one."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from typing_extensions import TypeAliasType

from notifier.api import reply
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.doors import Doors, TheDoors
from notifier.api.request import holder, recognised
from notifier.api.request_body import read_model, read_model_if_any
from notifier.api.template_draft import shown
from notifier.api.template_reply import PublishedOut, TemplateOut, VersionOut, remarks_of
from notifier.api.template_schema import PublishIn, RestoreIn, Slug, TestSendIn
from notifier.auth.keys import Keyholder
from notifier.auth.scope import Scope
from notifier.notification.template_test_mail import TemplateTestMail, check_test_mail, send_test_mail
from notifier.templating import archive, draft, find
from notifier.templating.publish import Wanted, publish_template

router = APIRouter(prefix="/v1/templates", tags=["templates"])


@router.post(
    "/{slug}/publish",
    status_code=201,
    response_model=PublishedOut,
    operation_id="publish_template",
    summary="Publish a template",
    openapi_extra=with_body(PublishIn, required=True),
)
async def publish(
    request: Request, response: Response, slug: Slug, doors: TheDoors, audited: Audited
) -> dict[str, Any]:
    """Make the draft, with the layouts as they stand now, the version that new notifications get."""
    caller = await holder(request, doors, Scope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    given = await read_model(request, PublishIn)
    wanted = Wanted(slug=slug, revision=given.revision, note=given.note, force_reason=given.force_reason)
    return await _published(response, doors, audited, caller, wanted)


# As for a submit: many generated clients read 201 with the schema of 200.
RestoreResultOut = TypeAliasType("RestoreResultOut", TemplateOut | PublishedOut)


@router.post(
    "/{slug}/restore",
    status_code=201,
    response_model=PublishedOut,
    operation_id="restore_template",
    summary="Restore a template",
    openapi_extra=with_body(RestoreIn, required=False),
    responses={200: {"model": RestoreResultOut, "description": "Without a version: it is there again."}},
)
async def restore(request: Request, response: Response, slug: Slug, doors: TheDoors, audited: Audited) -> Any:
    """Publish an old version's very text as the next one, layouts as they were; or have a deleted template back."""
    caller = await holder(request, doors, Scope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    given = await read_model_if_any(request, RestoreIn)
    if given.version is not None:
        wanted = Wanted(slug=slug, **given.model_dump())
        return await _published(response, doors, audited, caller, wanted)
    async with changing(doors) as connection:
        await archive.restore(connection, slug, note=given.note, actor=audited.doer(caller))
        view = await find.template(connection, slug)
    doors.shelf.changed(slug)
    return JSONResponse(TemplateOut.model_validate(view, from_attributes=True).model_dump(mode="json"))


@router.post(
    "/{slug}/test-send",
    status_code=202,
    response_model=reply.AcceptedOut,
    operation_id="test_template",
    summary="Send a test mail of a template",
    openapi_extra=with_body(TestSendIn, required=True),
)
async def test_send(request: Request, response: Response, slug: Slug, doors: TheDoors, audited: Audited) -> Any:
    """Send one mail that says what the preview says, as your service."""
    caller = await recognised(request, doors)
    doors.limits.submitting(request, caller, 1)
    caller.require(Scope.TEMPLATES_EDIT)
    caller.require(Scope.SEND)
    wanted = await read_model(request, TestSendIn)
    source = await draft.load_source(doors.database, slug, wanted.version)
    mail = TemplateTestMail(
        slug=slug,
        version=wanted.version,
        to=wanted.to,
        source=source,
        variables=wanted.variables,
        preview=await shown(doors, caller, source, wanted),
    )
    accepted = await check_test_mail(doors.submitter, doors.images, caller, mail)
    async with changing(doors) as connection:
        submitted = await send_test_mail(connection, accepted, mail, actor=audited.doer(caller))
    doors.wake()
    response.headers["Location"] = f"/v1/notifications/{submitted.id}"
    status = reply.shown_status(submitted.status, submitted.send_at, doors.clock.now())
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


async def _published(
    response: Response, doors: Doors, audited: Audited, caller: Keyholder, wanted: Wanted
) -> dict[str, Any]:
    """Check, pass the gate, write, and say so."""
    if wanted.force_reason:
        caller.require(Scope.ADMIN)
    async with doors.editors.turn(caller.actor) as turn:
        turn.begin()
        candidate = await doors.publisher.examine(wanted)
    async with changing(doors) as connection:
        version = await publish_template(connection, candidate, actor=audited.doer(caller))
    doors.shelf.changed(wanted.slug)
    response.headers["Location"] = f"{router.prefix}/{wanted.slug}/versions/{version.number}"
    fields = vars(version) | {"note": wanted.note, "published_by": caller.actor}
    return {
        **{name: fields[name] for name in VersionOut.model_fields},
        "remarks": remarks_of(candidate.checked.remarks),
        "report": candidate.report.as_json() if candidate.report else {},
    }

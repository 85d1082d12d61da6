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
from notifier.api.template_draft import shown, source_of
from notifier.api.template_reply import PublishedOut, TemplateOut, VersionOut, remarks_of
from notifier.api.template_schema import PublishIn, RestoreIn, Slug, TestSendIn
from notifier.audit import Action
from notifier.auth.keys import Keyholder
from notifier.auth.scope import Scope
from notifier.notification.check import Wanted as Mail
from notifier.notification.write import write_within
from notifier.rendering import images
from notifier.rendering.job import Shown
from notifier.rendering.source import TemplateSource
from notifier.templating import archive, find, look
from notifier.templating.deed import record_template
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
    source = await source_of(doors, slug, wanted)
    mail = await shown(doors, caller, source, wanted)
    literal = Mail(
        to=wanted.to,
        content={"subject": mail.subject, "html": mail.html, "text": mail.text},
        attachments=await _images(doors, source, mail),
        headers=look.way_out(source, wanted.variables),
        sender=source.settings.from_,
        reply_to=source.settings.reply_to,
    )
    accepted = await doors.submitter.draft(caller, literal, None, [])
    doors.submitter.foresee(accepted)
    async with changing(doors) as connection:  # the mail and what is told of it: both, or neither
        submitted = await write_within(connection, accepted)
        id_ = (await find.template(connection, slug)).id
        which = wanted.version if wanted.version is not None else "draft"
        actor, tested = audited.doer(caller), {"version": which, "notification": str(submitted.id)}
        await record_template(connection, Action.TEMPLATE_TESTED, (id_, slug), actor, **tested)
    doors.wake()
    response.headers["Location"] = f"/v1/notifications/{submitted.id}"
    status = reply.shown_status(submitted.status, submitted.send_at, doors.clock.now())
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


async def _images(doors: Doors, source: TemplateSource, mail: Shown) -> list[dict[str, str]]:
    """The images that the mail shows, as a caller would attach them."""
    names = images.shown(source.assets, mail.html)
    lines = await doors.images.base64([source.assets[name].sha256 for name in names])
    return [
        {
            "filename": file.filename,
            "content": lines[source.assets[name].sha256].replace(b"\r\n", b"").decode(),
            "content_type": file.content_type,
            "content_id": file.content_id or "",
        }
        for name, file in zip(names, images.attached(source.assets, names), strict=True)
    ]


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

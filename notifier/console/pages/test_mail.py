"""Test mails of a template, which a person sends to their own address only."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.console.act import act, get_actor, open_change
from notifier.console.context import get_console
from notifier.console.page import redirect, require_member
from notifier.console.pages.editor_preview import build_values, get_renderer
from notifier.errors import InvalidRequestError, NotFoundError
from notifier.submission.notification_submitter import (
    TemplateTestMail,
    build_test_caller,
    check_test_mail,
    send_test_mail,
)
from notifier.templating import draft_store, template_preview, template_store


@act("test_template", KeyScope.TEMPLATES_EDIT)
async def send_live_test(request: Request) -> Response:
    """Send the live version to the person as a mail."""
    slug = request.path_params["slug"]
    async with get_console(request).read_slots.open() as connection:
        template = await template_store.get_template(connection, slug)
    if not template.number or template.deleted_at is not None:
        raise NotFoundError
    said = await send_to_self(request, slug, template.number)
    return await redirect(request, f"/console/templates/{slug}", flash=said)


async def send_to_self(request: Request, slug: str, version: int | None) -> str:
    """Send a version, or None for the draft, with its sample values; return what to say about it."""
    console, member = get_console(request), (await require_member(request)).member
    source = await draft_store.load_source(console.read_slots.open, slug, version, finished=True)
    try:
        values = await build_values(request, None)
        mail = TemplateTestMail(
            slug=slug,
            version=version,
            to=member.email,
            source=source,
            variables=None,
            preview=await template_preview.preview_source(get_renderer(request), source, values),
        )
        accepted = await check_test_mail(
            console.submitter, console.images, build_test_caller(member.actor_name, mail), mail
        )
    except InvalidRequestError as error:
        get_actor(request).record_no_change()
        return f"Not sent: {'; '.join(fault.detail for fault in error.faults)}."
    async with open_change(request) as connection:
        await send_test_mail(connection, accepted, mail, actor=get_actor(request))
    return f"A test mail is on its way to {member.email}."


routes = [Route("/templates/{slug}/test", send_live_test, methods=["POST"])]

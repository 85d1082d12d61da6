"""The publish page: whom a draft or an old version would break, which mails it changes, and publishing it.

The draft is tried while the page loads, with its progress. What is published is what was tried: if anything has changed
since, the page is shown again.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.auth.password_hasher import MAX_PASSWORD_LENGTH
from notifier.console.act import act, get_actor, open_change
from notifier.console.actor_words import name_actors
from notifier.console.context import get_console
from notifier.console.form import FormErrors, read_form, read_number
from notifier.console.page import redirect, render_page, render_part, require_member
from notifier.console.pages import publish_trial
from notifier.console.pages.publish_trial import TrialResult
from notifier.console.password_again import PasswordNotConfirmedError, confirm_password, needs_password
from notifier.console.session_gate import set_session_cookie
from notifier.console.template_form import word_part, word_type
from notifier.console.template_remarks import list_remarks
from notifier.errors import InvalidRequestError, NotifierError
from notifier.templating import draft_store, publishing, template_store
from notifier.templating.draft_store import StaleDraftError
from notifier.templating.publishing import GateClosedError, NothingToPublishError, PublishRequest

MARKER = "<!--trying-->"
BAD_REQUEST, REFUSED = 400, 422
_CHANGED = "Something has changed since this was tried, so it was not published. This is what it would do now."


class PublishForm(BaseModel):
    """What is published, and why."""

    model_config = ConfigDict(extra="forbid")

    revision: str
    content_hash: str  # of the source that was tried
    version: int | None = None  # an old version; None: the draft
    note: Annotated[str, Field(title="why", max_length=500)] = ""
    force_reason: Annotated[str, Field(title="the reason", max_length=500)] = ""
    password: Annotated[str, Field(title="your password", max_length=MAX_PASSWORD_LENGTH)] = ""  # asked again


async def show_publish_page(request: Request) -> Response:
    """Show what publishing the draft, or the version that is named, would do."""
    (await require_member(request)).member.require_scope(KeyScope.TEMPLATES_PUBLISH)
    return await _show_trial(request, read_number(request, "version"))


@act("publish_template", KeyScope.TEMPLATES_PUBLISH)
async def publish_draft(request: Request) -> Response:
    """Publish the draft that was tried."""
    return await _take_form(request)


@act("restore_template", KeyScope.TEMPLATES_PUBLISH)
async def restore_version(request: Request) -> Response:
    """Publish an old version as the next one."""
    return await _take_form(request)


async def _show_trial(request: Request, version: int | None, errors: FormErrors | None = None) -> Response:
    """Show the page, which tries the source while it loads; `errors` are those of the form that was sent."""
    console, slug = get_console(request), request.path_params["slug"]
    async with console.read_slots.open() as connection:
        template = await template_store.get_template(connection, slug)
        draft = await draft_store.get_draft(connection, slug)
    source = await draft_store.load_source(console.read_slots.open, slug, version)
    asks_password = await needs_password(request)
    page = render_page(request, "template_publish", template=template, version=version)
    head, _, foot = bytes(page.body).decode().partition(MARKER)

    async def stream() -> AsyncIterator[str]:
        yield head
        result = TrialResult(source=source, remarks=list_remarks(draft.faults if version is None else ()))
        if not result.remarks:
            async for step in publish_trial.try_source(request, slug, result):
                yield step
        part = render_part(
            request,
            "gate_report",
            template=template,
            version=version,
            revision=draft.revision,
            result=result,
            ways=publish_trial.list_ways_out(result),
            key_names=await name_actors(request, publish_trial.list_keys(result)),
            examples=publish_trial.list_examples(result),
            errors=errors,
            asks_password=asks_password,
            provider=console.oidc.provider_name if console.oidc is not None else None,
            word_part=word_part,
            word_type=word_type,
        )
        yield bytes(part.body).decode()
        yield foot

    return StreamingResponse(stream(), REFUSED if errors else 200, media_type="text/html")


async def _take_form(request: Request) -> Response:
    """Publish what the form says; in spite of the gate only after the password was entered again."""
    form, token = await read_form(request, PublishForm), None
    if isinstance(form, FormErrors):
        raise HTTPException(BAD_REQUEST, "; ".join(form.messages.values()))
    if form.force_reason:
        (await require_member(request)).member.require_scope(KeyScope.ADMIN)
        try:
            token = await confirm_password(request, form.password)
        except PasswordNotConfirmedError as error:
            errors = FormErrors(values=form.model_dump(), messages={"password": str(error)})
            return await _show_trial(request, form.version, errors)
    response = await _publish(request, form)
    if token is not None:
        set_session_cookie(request, response, token)
    return response


async def _publish(request: Request, form: PublishForm) -> Response:
    console, slug = get_console(request), request.path_params["slug"]
    here = f"/console/templates/{slug}/publish" + (f"?version={form.version}" if form.version is not None else "")
    source = await draft_store.load_source(console.read_slots.open, slug, form.version)
    if source.content_hash() != form.content_hash:
        return await _show_again(request, here)
    wanted = PublishRequest(
        slug=slug, revision=form.revision, version=form.version, note=form.note, force_reason=form.force_reason
    )
    try:
        async with console.editors.hold_slot((await require_member(request)).member.actor_name) as slot:
            slot.start()
            candidate = await console.publisher.examine(wanted)
        if candidate.source.content_hash() != form.content_hash and form.version is None:
            return await _show_again(request, here)
        async with open_change(request) as connection:
            version = await publishing.publish_template(connection, candidate, actor=get_actor(request))
    except (StaleDraftError, GateClosedError, NothingToPublishError, InvalidRequestError):
        return await _show_again(request, here)
    except NotifierError as error:  # the session may have a new token, which an error page would not set
        return await _show_again(request, here, f"Not published: {error}")
    console.template_cache.forget_template(slug)
    said = f"Version {version.number} is live: mail that is asked for from now on uses it."
    return await redirect(request, f"/console/templates/{slug}", flash=said)


async def _show_again(request: Request, url: str, said: str = _CHANGED) -> Response:
    """Show the page again: what would be published is not what was tried."""
    get_actor(request).record_no_change()
    return await redirect(request, url, flash=said)


_PATH = "/templates/{slug}/publish"
routes = [
    Route(_PATH, show_publish_page),
    Route(_PATH, publish_draft, methods=["POST"]),
    Route("/templates/{slug}/restore", restore_version, methods=["POST"]),
]

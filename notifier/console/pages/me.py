"""One's own account: password, time zone, editor, and where one is signed in."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth import staff_admin, staff_session
from notifier.auth.password_hasher import (
    MAX_PASSWORD_LENGTH,
    MIN_PASSWORD_LENGTH,
    TooManySignInsError,
    WeakPasswordError,
)
from notifier.auth.staff_sign_in import SignInRefusedError
from notifier.console.act import account_act, get_actor, open_change
from notifier.console.context import get_console
from notifier.console.form import FormErrors, read_form
from notifier.console.page import list_time_zones, redirect, render_page, require_member
from notifier.console.session_gate import set_session_cookie
from notifier.errors import InvalidRequestError
from notifier.telemetry.request_observer import get_request_id

PATH = "/console/me"
REFUSED = 422


class PreferencesForm(BaseModel):
    """How a person sees the console."""

    model_config = ConfigDict(extra="forbid")

    time_zone: Annotated[str, Field(title="your time zone")]
    uses_plain_editor: bool = False


class PasswordForm(BaseModel):
    """A change of the password."""

    model_config = ConfigDict(extra="forbid")

    old_password: Annotated[str, Field(title="your present password", max_length=MAX_PASSWORD_LENGTH)]
    new_password: Annotated[str, Field(title="a new password", max_length=MAX_PASSWORD_LENGTH)]


async def show_account(request: Request) -> Response:
    """Show the account of who is signed in."""
    return await _show_page(request, None)


@account_act
async def save_preferences(request: Request) -> Response:
    """Save the time zone and the choice of editor."""
    session, form = await require_member(request), await read_form(request, PreferencesForm)
    if isinstance(form, FormErrors):
        return await _show_page(request, form)
    try:
        async with open_change(request) as connection:
            await staff_admin.set_preferences(connection, session.member.id, **dict(form), actor=get_actor(request))
    except InvalidRequestError as error:
        return await _show_page(request, FormErrors(values={}, messages={"time_zone": error.faults[0].detail}))
    return await redirect(request, PATH, flash="Saved.")


@account_act
async def change_password(request: Request) -> Response:
    """Change the password. Every other session of the person ends."""
    session, form = await require_member(request), await read_form(request, PasswordForm)
    if isinstance(form, FormErrors):
        return await _show_page(request, form)
    try:
        token = await get_console(request).authenticator.change_password(
            session, form.old_password, form.new_password, request_id=get_request_id(request)
        )
    except (SignInRefusedError, TooManySignInsError) as error:
        is_wrong = isinstance(error, SignInRefusedError) and not error.wait_seconds
        message = "This is not your present password." if is_wrong else str(error)
        return await _show_page(request, FormErrors(values={}, messages={"old_password": message}))
    except WeakPasswordError as error:
        return await _show_page(request, FormErrors(values={}, messages={"new_password": str(error)}))
    response = await redirect(request, PATH, flash="Your password was changed. Your other sessions have ended.")
    set_session_cookie(request, response, token)
    return response


@account_act
async def end_session(request: Request) -> Response:
    """Sign out another browser of the person."""
    session = await require_member(request)
    async with open_change(request) as connection:
        await staff_session.revoke_session(
            connection, session.member.id, request.path_params["session_id"], actor=get_actor(request)
        )
    return await redirect(request, f"{PATH}#sessions", flash="Signed out there.")


@account_act
async def end_other_sessions(request: Request) -> Response:
    """Sign out every other browser of the person."""
    session = await require_member(request)
    async with open_change(request) as connection:
        count = await staff_session.revoke_other_sessions(
            connection, session.member.id, session.id, actor=get_actor(request)
        )
    said = "Signed out everywhere else." if count else "You were signed in nowhere else."
    return await redirect(request, f"{PATH}#sessions", flash=said)


async def _show_page(request: Request, errors: FormErrors | None) -> Response:
    session, console = await require_member(request), get_console(request)
    async with console.read_slots.open() as connection:
        now, times = console.clock.now(), console.authenticator.times
        sessions = await staff_session.list_sessions(connection, session.member.id, now, times)
    time_zone = session.member.time_zone
    return render_page(
        request,
        "me",
        status=REFUSED if errors else 200,
        errors=errors,
        session_id=session.id,
        sessions=sessions,
        min_length=MIN_PASSWORD_LENGTH,
        time_zones=sorted({*list_time_zones(), time_zone}),
    )


routes = [
    Route("/me", show_account),
    Route("/me/preferences", save_preferences, methods=["POST"]),
    Route("/me/password", change_password, methods=["POST"]),
    Route("/me/sessions/end-others", end_other_sessions, methods=["POST"]),
    Route("/me/sessions/{session_id:uuid}/end", end_session, methods=["POST"]),
]

"""Signing in by password, and signing out."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from notifier.auth import staff_admin, staff_session
from notifier.auth.password_hasher import MAX_PASSWORD_LENGTH, TooManySignInsError
from notifier.auth.staff_session import SignedIn, SignInOrigin
from notifier.auth.staff_sign_in import SignInRefusedError
from notifier.console.act import account_act, get_actor, open_change
from notifier.console.client_address import find_client_address
from notifier.console.context import get_console
from notifier.console.form import FormErrors, read_form
from notifier.console.page import find_next_path, render_page, require_member
from notifier.console.session_gate import (
    SIGN_IN_PATH,
    delete_session_cookie,
    find_request_session,
    set_session_cookie,
)
from notifier.telemetry.request_observer import get_request_id

TOO_MANY, REFUSED = 429, 422
MAX_EMAIL_LENGTH = 320


class SignInForm(BaseModel):
    """The form of the sign-in page."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, Field(title="your e-mail address", max_length=MAX_EMAIL_LENGTH)]
    password: Annotated[str, Field(title="your password", max_length=MAX_PASSWORD_LENGTH)]
    next: str = ""


async def show_sign_in(request: Request) -> Response:
    """Show the form, or the console if one is signed in already."""
    next_path = request.query_params.get("next", "")
    if await find_request_session(request) is not None:
        return RedirectResponse(find_next_path(next_path), 303)
    return await show_form(request, next_path, None)


async def sign_in(request: Request) -> Response:
    """Sign in by e-mail address and password."""
    form = await read_form(request, SignInForm)
    if isinstance(form, FormErrors):
        return await show_form(request, str(form.values.get("next", "")), form)
    try:
        signed_in = await get_console(request).authenticator.sign_in(form.email, form.password, find_origin(request))
    except (SignInRefusedError, TooManySignInsError) as error:
        wait_seconds = getattr(error, "wait_seconds", 0) or getattr(error, "retry_after", 0)
        refused = FormErrors(values={"email": form.email}, messages={"": str(error)})
        response = await show_form(request, form.next, refused, status=TOO_MANY if wait_seconds else REFUSED)
        if wait_seconds:
            response.headers["Retry-After"] = str(wait_seconds)
        return response
    return begin_session(request, signed_in, find_next_path(form.next))


@account_act
async def sign_out(request: Request) -> Response:
    """End the session of this browser."""
    session = await require_member(request)
    async with open_change(request) as connection:
        await staff_session.sign_out(connection, session, actor=get_actor(request))
    response = RedirectResponse(f"{SIGN_IN_PATH}?signed-out", 303)
    delete_session_cookie(request, response)
    return response


def find_origin(request: Request) -> SignInOrigin:
    """Find where a session begins: the client's address and its browser."""
    peer = request.client.host if request.client is not None else ""
    forwarded_for = request.headers.getlist("x-forwarded-for")
    address = find_client_address(peer, forwarded_for, get_console(request).trusted_proxies)
    browser = request.headers.get("user-agent", "")
    return SignInOrigin(address=address, browser=browser, request_id=get_request_id(request))


def begin_session(request: Request, signed_in: SignedIn, path: str) -> Response:
    """Send the browser its token, and to a page."""
    response = RedirectResponse(path, 303)
    set_session_cookie(request, response, signed_in.token)
    return response


async def show_form(request: Request, next_path: str, errors: FormErrors | None, status: int = REFUSED) -> Response:
    """Show the form, and what went wrong."""
    oidc = get_console(request).oidc
    async with get_console(request).read_slots.open() as connection:
        has_staff = await staff_admin.count_staff(connection) > 0
    return render_page(
        request,
        "sign_in",
        status=status if errors else 200,
        errors=errors,
        next=next_path,
        has_staff=has_staff,
        oidc_name=oidc.provider_name if oidc is not None else None,
        is_signed_out="signed-out" in request.query_params,
    )


open_routes = [Route("/sign-in", show_sign_in), Route("/sign-in", sign_in, methods=["POST"])]
routes = [Route("/sign-out", sign_out, methods=["POST"])]

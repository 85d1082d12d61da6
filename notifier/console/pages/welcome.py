"""One-time links, by which a person chooses a password."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth import staff_admin, staff_link
from notifier.auth.password_hasher import (
    MAX_PASSWORD_LENGTH,
    MIN_PASSWORD_LENGTH,
    TooManySignInsError,
    WeakPasswordError,
)
from notifier.auth.staff_link import LinkEndedError, LinkView
from notifier.console.act import create_actor, open_change
from notifier.console.context import get_console
from notifier.console.form import FormErrors, read_form
from notifier.console.page import list_time_zones, render_page
from notifier.console.pages.sign_in import begin_session, find_origin
from notifier.errors import InvalidRequestError

GONE, REFUSED = 410, 422


class WelcomeForm(BaseModel):
    """The form of a one-time link."""

    model_config = ConfigDict(extra="forbid")

    password: Annotated[str, Field(title="a password", max_length=MAX_PASSWORD_LENGTH)]
    time_zone: Annotated[str, Field(title="your time zone")] = "UTC"


async def show_welcome(request: Request) -> Response:
    """Show the form of a link. Opening it changes nothing, because programs open links too."""
    console = get_console(request)
    try:
        async with console.read_slots.open() as connection:
            link = await staff_link.find_link(connection, request.path_params["link"], console.clock.now())
    except LinkEndedError:
        return render_page(request, "link_ended", status=GONE)
    return _show_form(request, link, None)


async def use_welcome(request: Request) -> Response:
    """Set the password, and sign in."""
    console, token = get_console(request), request.path_params["link"]
    form = await read_form(request, WelcomeForm)
    try:
        async with console.read_slots.open() as connection:
            link = await staff_link.find_link(connection, token, console.clock.now())
        if isinstance(form, FormErrors):
            return _show_form(request, link, form)
        signed_in = await console.authenticator.use_link(token, form.password, find_origin(request))
    except LinkEndedError:
        return render_page(request, "link_ended", status=GONE)
    except (WeakPasswordError, TooManySignInsError) as error:
        assert not isinstance(form, FormErrors)
        errors = FormErrors(values={"time_zone": form.time_zone}, messages={"password": str(error)})
        return _show_form(request, link, errors)
    if link.is_first:
        await _save_time_zone(request, signed_in.session.member.actor_name, link, form.time_zone)
    return begin_session(request, signed_in, "/console/")


async def _save_time_zone(request: Request, actor_name: str, link: LinkView, time_zone: str) -> None:
    """Save the time zone; an unknown one is not worth stopping somebody whose password was just set."""
    actor = create_actor(request, actor_name)
    try:
        async with open_change(request) as connection:
            await staff_admin.set_preferences(
                connection, link.member_id, time_zone=time_zone, uses_plain_editor=False, actor=actor
            )
    except InvalidRequestError:
        return


def _show_form(request: Request, link: LinkView, errors: FormErrors | None) -> Response:
    return render_page(
        request,
        "welcome",
        status=REFUSED if errors else 200,
        errors=errors,
        link=link,
        min_length=MIN_PASSWORD_LENGTH,
        time_zones=list_time_zones(),
        chosen_zone=errors.values.get("time_zone", "UTC") if errors else "UTC",
    )


open_routes = [Route("/welcome/{link}", show_welcome), Route("/welcome/{link}", use_welcome, methods=["POST"])]

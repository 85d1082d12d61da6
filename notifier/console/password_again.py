"""Asks for the password again before what does most harm in the hands of somebody who found a browser open."""

from datetime import timedelta

from starlette.requests import Request

from notifier.auth.password_hasher import TooManySignInsError
from notifier.auth.staff_sign_in import SignInRefusedError
from notifier.console.context import get_console
from notifier.console.page import require_member
from notifier.errors import NotifierError

PASSWORD_PERIOD = timedelta(minutes=5)
"""How long nothing is asked after somebody has proved who they are."""


class PasswordNotConfirmedError(NotifierError):
    """Enter your password: it is asked for again, because this can do harm."""


async def needs_password(request: Request) -> bool:
    """Whether the person has to enter the password again."""
    session = await require_member(request)
    return get_console(request).clock.now() - session.password_at > PASSWORD_PERIOD


async def confirm_password(request: Request, password: str) -> str | None:
    """Check the password if it has to be entered again; return the new token of the session, None if it has none.

    The response must set the token. Raises `PasswordNotConfirmedError` with what to say.
    """
    if not await needs_password(request):
        return None
    if not password:
        raise PasswordNotConfirmedError
    try:
        return await get_console(request).authenticator.confirm_password(await require_member(request), password)
    except SignInRefusedError as error:
        message = str(error) if error.wait_seconds else "This is not your password."
        raise PasswordNotConfirmedError(message) from error
    except TooManySignInsError as error:
        raise PasswordNotConfirmedError(str(error)) from error

"""Pages for what went wrong: what happened, and what to do now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from notifier.auth.authenticated_key import InsufficientScopeError, KeyScope
from notifier.auth.staff_roles import ROLE_SCOPES
from notifier.console.page import STATIC, render_page, render_part
from notifier.console.reading import ConsoleBusyError
from notifier.console.session_gate import SIGN_IN_PATH, SignedOutError, is_fragment
from notifier.errors import DatabaseUnavailableError, InvalidRequestError, NotFoundError, NotifierError
from notifier.telemetry.logging import get_logger
from notifier.telemetry.request_observer import get_request_id


@dataclass(frozen=True, kw_only=True)
class ErrorWords:
    """What an error page says."""

    status: int
    title: str
    reason: str
    advice: str


_NOT_FOUND = ErrorWords(
    status=404,
    title="There is no such page.",
    reason="What it showed may have been deleted, or the address may be mistyped.",
    advice="Search for an address, an id or a template above, or go back.",
)
_BUSY = ErrorWords(
    status=503,
    title="Busy. Try again in a moment.",
    reason="Several people load pages at the same time. Mail goes out all the while.",
    advice="Reload this page in a few seconds.",
)
_NO_DATABASE = ErrorWords(
    status=503,
    title="The database does not answer.",
    reason="Nothing was changed. Mail that was accepted is safe, and goes out when the database is back.",
    advice="Reload this page in a moment. If it lasts, tell an operator.",
)
_BROKEN = ErrorWords(
    status=500,
    title="Something went wrong on our side.",
    reason="It has been written into the log, and nothing was changed half.",
    advice="Go back and try again. If it happens again, tell an operator this number:",
)
_FOREIGN = ErrorWords(
    status=403,
    title="This did not come from a page of the console.",
    reason="Another site may have sent it with your browser, so nothing was changed.",
    advice="Open the page in the console, and do it there.",
)
_WORDS_OF_ERROR: dict[type[Exception], ErrorWords] = {
    NotFoundError: _NOT_FOUND,
    ConsoleBusyError: _BUSY,
    DatabaseUnavailableError: _NO_DATABASE,
}
_WORDS_OF_STATUS = {
    400: "This could not be read.",
    405: "This page does not take that.",
    413: "This is too large.",
}


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer an error of Notifier with a page."""
    if isinstance(error, InsufficientScopeError):
        return answer_missing_scope(request, error.scope)
    words = next((_WORDS_OF_ERROR[kind] for kind in type(error).__mro__ if kind in _WORDS_OF_ERROR), None)
    if words is None:
        status = 422 if isinstance(error, InvalidRequestError) else 409
        words = ErrorWords(
            status=status,
            title="That was not possible.",
            reason=_word_error(error),
            advice="Go back, reload the page, and look at what it says now.",
        )
    retry_after = getattr(error, "retry_after", None)
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return _answer(request, words, headers=headers)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer an error of the web framework with a page."""
    assert isinstance(error, HTTPException)
    if error.status_code == _NOT_FOUND.status:
        return _answer(request, _NOT_FOUND)
    title = _WORDS_OF_STATUS.get(error.status_code, "That was not possible.")
    words = ErrorWords(status=error.status_code, title=title, reason=str(error.detail), advice="Go back and try again.")
    return _answer(request, words, headers=error.headers)


async def answer_signed_out(request: Request, _error: Exception) -> Response:
    """Answer a request for a part of a page after the session has ended."""
    return render_part(request, "signed_out", status=401, url=SIGN_IN_PATH)


async def answer_disconnect(request: Request, _error: Exception) -> Response:
    """Answer a person who left while sending; nobody reads it."""
    words = ErrorWords(status=400, title="This could not be read.", reason="It was not complete.", advice="Try again.")
    return _answer(request, words)


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """Answer a fault of the program: it is logged under a number that the page shows."""
    number = get_request_id(request)
    get_logger().error("request_failed", error=type(error).__name__, exc_info=error)
    return _answer(request, _BROKEN, number=number)


def answer_foreign_request(request: Request) -> Response:
    """Refuse a change that another site asks for."""
    return _answer(request, _FOREIGN)


def answer_wrong_address(request: Request, url: str | None) -> Response:
    """Answer a request that reached the console at an address where it is not used."""
    return render_page(request, "wrong_address", status=421, url=url, style=STATIC.read_text("console.css"))


def answer_missing_scope(request: Request, scope: KeyScope) -> Response:
    """Tell a person which roles may do what they may not."""
    roles = sorted(role.value for role, scopes in ROLE_SCOPES.items() if scope in scopes)
    many = " or ".join([", ".join(roles[:-1]), roles[-1]] if len(roles) > 1 else roles)
    words = ErrorWords(
        status=403,
        title="Your roles do not allow this.",
        reason=f"It needs the role {many}." if roles else "No role allows it.",
        advice="Ask an admin for the role, or somebody who has it to do it.",
    )
    return _answer(request, words)


def _word_error(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def _answer(
    request: Request, words: ErrorWords, *, headers: Mapping[str, str] | None = None, number: str | None = None
) -> Response:
    values: dict[str, Any] = {"words": words, "number": number}
    render = render_part if is_fragment(request) else render_page
    response = render(request, "error", status=words.status, **values)
    response.headers.update(headers or {})
    return response


ERROR_HANDLERS: dict[Any, Any] = {
    NotifierError: answer_error,
    HTTPException: answer_http_error,
    SignedOutError: answer_signed_out,
    ClientDisconnect: answer_disconnect,
    Exception: answer_unexpected,
}

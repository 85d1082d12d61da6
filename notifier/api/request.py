"""What routes do with a request before they act: who asks, about which notification, and what the body says."""

import re
from uuid import UUID

from fastapi import Request
from starlette.convertors import Convertor, register_url_convertor

from notifier.api import body
from notifier.api.doors import Doors
from notifier.api.problems import BadRequestError
from notifier.auth.keys import Caller, Keyholder, of_service
from notifier.auth.scope import Scope
from notifier.errors import Fault, InvalidRequestError, NotFoundError

LONGEST_KEY = 255
_IN_QUOTES = r'(?:[!#-\[\]-~]|\\["\\])'
KEY_PATTERN = f'^(?:[!#-~](?:[ -~]*[!-~])?|"{_IN_QUOTES}(?:(?:{_IN_QUOTES}| )*{_IN_QUOTES})?")$'
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_ESCAPED = re.compile(r'\\(["\\])')
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";]*)', re.IGNORECASE)


class _Named(Convertor[str]):
    """What stands in a path for a notification: any text but the name of another thing there is."""

    regex = "(?!batch$)[^/]+"

    def convert(self, value: str) -> str:
        """As it is; whether it is an id is seen later."""
        return value

    def to_string(self, value: str) -> str:
        """The same."""
        return value


# At import, as routes are compiled where they are declared. Without it /batch would answer as a notification does.
register_url_convertor("notification", _Named())


async def authenticated(request: Request, doors: Doors, scope: Scope | None) -> Caller:
    """The service that calls, whose key has the scope, where one is needed, and may ask now."""
    caller = of_service(await holder(request, doors, None))
    if scope is not None:
        caller.require(scope)
    return caller


async def holder(request: Request, doors: Doors, scope: Scope | None) -> Keyholder:
    """Who asks for what is the instance's: a service or an admin, with the scope, who may ask now."""
    found = await doors.authenticator.holder_of(request.headers.get("authorization"))
    doors.limits.asking(request, found)
    if scope is not None:
        found.require(scope)
    return found


async def recognised(request: Request, doors: Doors) -> Caller:
    """The caller, of whom nothing else is known; for routes that count what is asked themselves."""
    return await doors.authenticator.caller_of(request.headers.get("authorization"))


def id_of(text: str, what: str = "notification") -> UUID:
    """The id of something in a path; anything else names nothing."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(f"there is no such {what}") from error


def idempotency_key(request: Request, *, room: int = 0) -> str | None:
    """The Idempotency-Key, which must leave `room` characters for what is put behind it."""
    fields = request.headers.getlist("idempotency-key")
    if not fields:
        return None
    key, problem = read_key(fields[0], room=room)
    if len(fields) > 1:
        problem = "there is more than one"
    if problem is not None:
        raise BadRequestError("invalid_idempotency_key", f"Idempotency-Key: {problem}")
    return key


def read_key(text: str, *, room: int = 0) -> tuple[str | None, str | None]:
    """The key that a text stands for, or what is wrong with it.

    A key in double quotes, which is how draft-ietf-httpapi-idempotency-key-header has it (a string of RFC 8941 §3.3.3),
    is the key within them.
    """
    key = text
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            return None, 'the quote at its beginning is not closed; within quotes, write \\" for " and \\\\ for \\'
        if quoted.end() < len(text):
            return None, "nothing may stand behind the closing quote, no parameters either"
        key = _ESCAPED.sub(r"\1", quoted[1])
    if not is_key(key) or len(key) + room > LONGEST_KEY:
        return None, f"it has 1 to {LONGEST_KEY - room} printable ASCII characters, the first and the last no space"
    return key, None


def is_key(text: str) -> bool:
    """True for 1 to 255 printable ASCII characters, the first and last no space."""
    return _KEY.fullmatch(text) is not None


async def json_text(request: Request, *, max_bytes: int) -> bytes:
    """A body that claims to be JSON, of no more than so many bytes once it is decoded."""
    _require_json(request)
    text = await body.read(request, max_bytes=max_bytes)
    if not text:
        raise InvalidRequestError([Fault("", "missing_body", "the body is empty")])
    return text


async def json_text_if_any(request: Request, *, max_bytes: int) -> bytes:
    """The same; empty for a request without a body."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return b""
    if "content-length" in headers:
        _require_json(request)
    text = await body.read(request, max_bytes=max_bytes)
    if text:  # or it was sent in chunks, of which there are none
        _require_json(request)
    return text


def _require_json(request: Request) -> None:
    """Raise `BadRequestError` for a body that does not claim to be JSON in UTF-8."""
    given = request.headers.get("content-type", "").strip()
    media_type, _, parameters = given.partition(";")
    if media_type.strip().lower() != "application/json":
        sent = f"this one is {given[:100]}" if given else "there is no Content-Type"
        detail = f"the body must be application/json, and {sent}"
        raise BadRequestError("unsupported_media_type", detail, {"Accept": "application/json"})
    if (charset := _CHARSET.search(f";{parameters}")) and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        detail = f"charset={charset[1][:50]} is not supported: JSON is sent in UTF-8 (RFC 8259 §8.1)"
        raise BadRequestError("unsupported_media_type", detail, {"Accept": "application/json"})

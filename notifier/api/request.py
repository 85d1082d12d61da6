"""What routes do first: authenticate the caller, then read the id, the Idempotency-Key and the JSON text."""

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
    """The id of a notification in a path: any text except `batch`, which is another route."""

    regex = "(?!batch$)[^/]+"

    def convert(self, value: str) -> str:
        """Return the text; `id_of` checks it later."""
        return value

    def to_string(self, value: str) -> str:
        """Return the text."""
        return value


# At import, because routes are compiled where they are declared. Without it /batch would be taken for a notification.
register_url_convertor("notification", _Named())


async def authenticated(request: Request, doors: Doors, scope: Scope | None) -> Caller:
    """Authenticate a service whose key has the scope (None: any), and count the request."""
    caller = of_service(await holder(request, doors, None))
    if scope is not None:
        caller.require(scope)
    return caller


async def holder(request: Request, doors: Doors, scope: Scope | None) -> Keyholder:
    """Authenticate a service's or an admin key that has the scope (None: any), and count the request."""
    key = await doors.authenticator.holder_of(request.headers.get("authorization"))
    doors.limits.asking(request, key)
    if scope is not None:
        key.require(scope)
    return key


async def recognised(request: Request, doors: Doors) -> Caller:
    """Authenticate a service without counting the request; for routes that count notifications."""
    return await doors.authenticator.caller_of(request.headers.get("authorization"))


def id_of(text: str, what: str = "notification") -> UUID:
    """Parse an id in a path. Raises `NotFoundError` for anything else."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(f"there is no such {what}") from error


def idempotency_key(request: Request, *, suffix_length: int = 0) -> str | None:
    """Get the Idempotency-Key, which must leave `suffix_length` characters for a suffix; None if there is none."""
    fields = request.headers.getlist("idempotency-key")
    if not fields:
        return None
    key, problem = read_key(fields[0], suffix_length=suffix_length)
    if len(fields) > 1:
        problem = "there is more than one"
    if problem is not None:
        raise BadRequestError("invalid_idempotency_key", f"Idempotency-Key: {problem}")
    return key


def read_key(text: str, *, suffix_length: int = 0) -> tuple[str | None, str | None]:
    """Parse an Idempotency-Key; returns the key, or None and what is wrong.

    It may be in double quotes as in draft-ietf-httpapi-idempotency-key-header (a string of RFC 8941 §3.3.3).
    """
    key = text
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            return None, 'the quote at its beginning is not closed; within quotes write \\" for " and \\\\ for \\'
        if quoted.end() < len(text):
            return None, "nothing may follow the closing quote, not even parameters"
        key = _ESCAPED.sub(r"\1", quoted[1])
    if not is_key(key) or len(key) + suffix_length > LONGEST_KEY:
        length = LONGEST_KEY - suffix_length
        return None, f"it has 1 to {length} printable ASCII characters, and no space at its beginning or end"
    return key, None


def is_key(text: str) -> bool:
    """Whether a text is 1 to 255 printable ASCII characters without a space at its ends."""
    return _KEY.fullmatch(text) is not None


async def json_text(request: Request, *, max_bytes: int) -> bytes:
    """Read a JSON body of at most `max_bytes` bytes after decompression. Raises `BadRequestError`."""
    _require_json(request)
    text = await body.read(request, max_bytes=max_bytes)
    if not text:
        raise InvalidRequestError([Fault("", "missing_body", "the body is empty")])
    return text


async def json_text_if_any(request: Request, *, max_bytes: int) -> bytes:
    """Read a JSON body, or an empty text if the request has none."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return b""
    if "content-length" in headers:
        _require_json(request)
    text = await body.read(request, max_bytes=max_bytes)
    if text:  # otherwise it was sent in chunks, and there were none
        _require_json(request)
    return text


def _require_json(request: Request) -> None:
    """Raise `BadRequestError` unless the Content-Type is JSON in UTF-8."""
    content_type = request.headers.get("content-type", "").strip()
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != "application/json":
        actual = f"this one is {content_type[:100]}" if content_type else "there is no Content-Type"
        detail = f"the body must be application/json, and {actual}"
        raise BadRequestError("unsupported_media_type", detail, {"Accept": "application/json"})
    if (charset := _CHARSET.search(f";{parameters}")) and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        detail = f"charset={charset[1][:50]} is not supported: JSON is sent in UTF-8 (RFC 8259 §8.1)"
        raise BadRequestError("unsupported_media_type", detail, {"Accept": "application/json"})

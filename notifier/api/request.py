"""What routes do with a request before they act: who asks, about which notification, and what the body says."""

import re
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.convertors import Convertor, register_url_convertor

from notifier import strict_json
from notifier.api.doors import Doors
from notifier.api.problems import BadRequestError
from notifier.auth.keys import Caller, Keyholder, Scope, of_service
from notifier.errors import Fault, InvalidRequestError, NotFoundError

LARGEST_NOTIFICATION = 512 * 1024
LARGEST_REQUEST = 15 * 1024 * 1024
LONGEST_KEY = 255
KEY_PATTERN = "^[!-~]([ -~]*[!-~])?$"
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


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
    key = request.headers.get("idempotency-key")
    if key is not None and (not is_key(key) or len(key) + room > LONGEST_KEY):
        detail = f"Idempotency-Key has 1 to {LONGEST_KEY - room} printable ASCII characters"
        raise BadRequestError(400, "invalid_idempotency_key", detail)
    return key


def is_key(text: str) -> bool:
    """True for 1 to 255 printable ASCII characters, the first and last no space."""
    return _KEY.fullmatch(text) is not None


async def json_body(request: Request, *, most: int = LARGEST_NOTIFICATION, has_sample: bool = False) -> Any:
    """The value in the body, if it claims to be JSON and has no more than `most` bytes.

    `has_sample`: a template's sample is in it, in which `2.0` says that fractions may come.
    """
    return strict_json.loads(await json_text(request, most=most), keep_fractions=has_sample)


async def json_text(request: Request, *, most: int) -> bytes:
    """A body that claims to be JSON, of no more than `most` bytes."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise BadRequestError(415, "unsupported_media_type", "the body must be application/json")
    announced = request.headers.get("content-length", "")
    body = bytearray()
    if not announced.isdecimal() or int(announced) <= most:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                break
        else:
            if not body:
                raise InvalidRequestError([Fault("", "missing_body", "the body is empty")])
            return bytes(body)
    raise too_large(most)


def too_large(most: int, but: str = "") -> BadRequestError:
    """The refusal of a body of more bytes than that."""
    return BadRequestError(413, "request_too_large", f"the body has at most {most} bytes{but}")


async def json_body_if_any(request: Request) -> Any:
    """The same, where a request without a body means an empty object."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return {}
    return await json_body(request)

"""What routes do with a request before they act: who asks, about which notification, and what the body says."""

from typing import Any
from uuid import UUID

from fastapi import Request

from notifier import strict_json
from notifier.api.doors import Doors
from notifier.api.problems import BadRequestError
from notifier.auth.keys import Caller, Scope
from notifier.errors import Fault, InvalidRequestError, NotFoundError

LARGEST_BODY = 512 * 1024


async def authenticated(request: Request, doors: Doors, scope: Scope) -> Caller:
    """The caller, who has the scope."""
    caller = await doors.authenticator.caller_of(request.headers.get("authorization"))
    caller.require(scope)
    return caller


def id_of(text: str) -> UUID:
    """The id in a path; anything else names nothing."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError("there is no such notification") from error


async def json_body(request: Request) -> Any:
    """The value in the body, if it claims to be JSON and is not too large for one notification."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise BadRequestError(415, "unsupported_media_type", "the body must be application/json")
    announced = request.headers.get("content-length", "")
    body = bytearray()
    if not announced.isdecimal() or int(announced) <= LARGEST_BODY:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                break
        else:
            if not body:
                raise InvalidRequestError([Fault("", "missing_body", "the body is empty")])
            return strict_json.loads(bytes(body))
    raise BadRequestError(413, "request_too_large", f"a notification has at most {LARGEST_BODY} bytes")


async def json_body_if_any(request: Request) -> Any:
    """The same, where a request without a body means an empty object."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return {}
    return await json_body(request)

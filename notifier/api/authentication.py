"""What routes do first: authenticate the caller, and parse the id in the path."""

from uuid import UUID

from fastapi import Request
from starlette.convertors import Convertor, register_url_convertor

from notifier.api.dependencies import ApiDependencies
from notifier.auth.authenticated_key import AuthenticatedKey, Caller, KeyScope, require_service
from notifier.errors import NotFoundError


class _NotificationConvertor(Convertor[str]):
    """The id of a notification in a path: any text except `batch`, which is another route."""

    regex = "(?!batch$)[^/]+"

    def convert(self, value: str) -> str:
        """Return the text; `parse_id` checks it later."""
        return value

    def to_string(self, value: str) -> str:
        """Return the text."""
        return value


# At import, because routes are compiled where they are declared. Without it /batch would be taken for a notification.
register_url_convertor("notification", _NotificationConvertor())


async def authenticate_service(request: Request, dependencies: ApiDependencies, scope: KeyScope | None) -> Caller:
    """Authenticate a service whose key has the scope (None: any), and count the request."""
    caller = require_service(await authenticate_key(request, dependencies, None))
    if scope is not None:
        caller.require_scope(scope)
    return caller


async def authenticate_key(request: Request, dependencies: ApiDependencies, scope: KeyScope | None) -> AuthenticatedKey:
    """Authenticate a service's or an admin key that has the scope (None: any), and count the request."""
    key = await dependencies.authenticator.authenticate_key(request.headers.get("authorization"))
    dependencies.rate_limits.count_request(request, key)
    if scope is not None:
        key.require_scope(scope)
    return key


async def recognise_service(request: Request, dependencies: ApiDependencies) -> Caller:
    """Authenticate a service without counting the request; for routes that count notifications."""
    return await dependencies.authenticator.authenticate_service(request.headers.get("authorization"))


def parse_id(text: str, what: str = "notification") -> UUID:
    """Parse an id in a path. Raises `NotFoundError` for anything else."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(f"there is no such {what}") from error

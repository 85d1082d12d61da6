"""Which service a request is about: a service's key is about its own, an admin key about the one that it names."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request

from notifier.api import pagination
from notifier.api.dependencies import authenticate_key, get_dependencies
from notifier.auth import service_admin
from notifier.auth.authenticated_key import AuthenticatedKey, Caller, KeyScope
from notifier.db.tables import INSTANCE
from notifier.errors import Fault, InvalidRequestError, NotFoundError


def _describe_parameter(description: str) -> Any:
    """Describe the parameter `service` of the query."""
    return Query(min_length=1, max_length=64, pattern=pagination.NO_NUL, description=description)


ServiceName = Annotated[
    str | None, _describe_parameter("Only of the service with this name; for admin keys. Default: all services.")
]
OwnerName = Annotated[
    str | None, _describe_parameter("Of the service with this name; for admin keys. Default: of the instance.")
]


async def authenticate_chooser(
    request: Request, scope: KeyScope, name: str | None
) -> tuple[AuthenticatedKey, UUID | None]:
    """Authenticate a service's or an admin key that has the scope; return it with the service that it is about.

    None: all services. The scope `admin` alone reads no mail, so that a key for templates shows nobody's mail. Raises
    `InvalidRequestError` if a service names one, or if there is none with this name.
    """
    key = await authenticate_key(request, scope)
    return key, await choose_service(request, key, name)


async def choose_service(request: Request, key: AuthenticatedKey, name: str | None) -> UUID | None:
    """Return the key's own service, or the one that an admin key names; None: all services."""
    if isinstance(key, Caller):
        if name is not None:
            raise _build_refusal("only an admin key names a service; a service sees its own")
        return key.service_id
    if name is None:
        return None
    async with get_dependencies(request).database.read() as connection:
        try:
            return await service_admin.find_service(connection, name)
        except NotFoundError as error:
            raise _build_refusal(str(error)) from error


async def choose_owner(request: Request, key: AuthenticatedKey, name: str | None) -> UUID:
    """Return what the key owns things for: its own service, the one that an admin key names, or else the instance.

    An admin key that names a service needs the scope `schedules:manage` as well, because mail may depend on it.
    """
    if name is not None:
        key.require_scope(KeyScope.SCHEDULES)
    return await choose_service(request, key, name) or INSTANCE


def _build_refusal(detail: str) -> InvalidRequestError:
    return InvalidRequestError([Fault("/query/service", "invalid_parameter", detail)])

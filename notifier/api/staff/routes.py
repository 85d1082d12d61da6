"""`/v1/staff`: people who sign in to the console. Only an admin key to which the operator gave `staff:manage` may."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from notifier import email_address
from notifier.api import pagination
from notifier.api.dependencies import AuditDependency, authenticate_key, get_dependencies, open_change_transaction
from notifier.api.fields import parse_id
from notifier.api.request_reader import document_body, read_model
from notifier.api.staff import models
from notifier.auth import staff_admin, staff_link, staff_session
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.staff_admin import NewStaff
from notifier.auth.staff_link import NewLink
from notifier.auth.staff_session import SessionTimes
from notifier.email_address import InvalidAddressError
from notifier.errors import Fault, InvalidRequestError

router = APIRouter(prefix="/v1", tags=["staff"])


@router.get("/staff", response_model=models.StaffPageOut, summary="List staff")
async def list_staff(
    request: Request, response: Response, query: Annotated[pagination.PageQuery, Query()]
) -> dict[str, Any]:
    """List the people who may sign in, newest first, with those who are disabled."""
    await authenticate_key(request, KeyScope.STAFF)
    async with get_dependencies(request).database.read() as connection:
        views = await staff_admin.list_staff(connection, before=query.before, limit=query.limit + 1)
    page, cursor = pagination.cut_page(request, response, views, query.limit)
    return {"staff": [vars(view) for view in page], "next": cursor}


@router.get("/staff/{staff_id}", response_model=models.StaffOut, summary="Get a person")
async def get_staff(request: Request, staff_id: str) -> dict[str, Any]:
    """Get a person who may sign in."""
    await authenticate_key(request, KeyScope.STAFF)
    async with get_dependencies(request).database.read() as connection:
        return vars(await staff_admin.get_staff(connection, parse_id(staff_id, "person")))


@router.post(
    "/staff",
    status_code=201,
    response_model=models.CreatedStaffOut,
    summary="Create a person",
    openapi_extra=document_body(models.StaffIn),
)
async def create_staff(request: Request, response: Response, audit: AuditDependency) -> dict[str, Any]:
    """Let a person sign in. The reply has a one-time link, valid for 72 hours, by which they set a password."""
    key = await authenticate_key(request, KeyScope.STAFF)
    person = _parse_new_staff(await read_model(request, models.StaffIn))
    async with open_change_transaction(request) as connection:
        view, link = await staff_admin.invite_staff(connection, person, actor=audit.get_actor(key))
    response.headers["Location"] = f"{router.prefix}/staff/{view.id}"
    response.headers["Cache-Control"] = "no-store"
    return vars(view) | {"link": _build_link_reply(request, link)}


@router.put(
    "/staff/{staff_id}/roles",
    response_model=models.StaffOut,
    summary="Set the roles of a person",
    openapi_extra=document_body(models.RolesIn),
)
async def set_staff_roles(request: Request, staff_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Replace the roles of a person; they apply at the next request. 409 if no admin would be left."""
    key = await authenticate_key(request, KeyScope.STAFF)
    roles = (await read_model(request, models.RolesIn)).roles
    id_ = parse_id(staff_id, "person")
    async with open_change_transaction(request) as connection:
        return vars(await staff_admin.set_roles(connection, id_, roles, actor=audit.get_actor(key)))


@router.post("/staff/{staff_id}/disable", response_model=models.StaffOut, summary="Disable a person")
async def disable_staff(request: Request, staff_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Disable a person: sessions and links end at once. 409 if no admin would be left; twice is no error."""
    key = await authenticate_key(request, KeyScope.STAFF)
    id_ = parse_id(staff_id, "person")
    async with open_change_transaction(request) as connection:
        return vars(await staff_admin.disable_staff(connection, id_, actor=audit.get_actor(key)))


@router.post("/staff/{staff_id}/enable", response_model=models.StaffOut, summary="Enable a person")
async def enable_staff(request: Request, staff_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Let a disabled person sign in again, with the password they had; twice is no error."""
    key = await authenticate_key(request, KeyScope.STAFF)
    id_ = parse_id(staff_id, "person")
    async with open_change_transaction(request) as connection:
        return vars(await staff_admin.enable_staff(connection, id_, actor=audit.get_actor(key)))


@router.post("/staff/{staff_id}/link", response_model=models.LinkOut, summary="Create a one-time link")
async def create_staff_link(
    request: Request, response: Response, staff_id: str, audit: AuditDependency
) -> dict[str, Any]:
    """Create a link by which the person sets a password, once; older links end. 409 if the person is disabled.

    It is valid for 72 hours if the person has no password yet, otherwise for one hour.
    """
    key = await authenticate_key(request, KeyScope.STAFF)
    id_ = parse_id(staff_id, "person")
    async with open_change_transaction(request) as connection:
        link = await staff_link.create_link(connection, id_, actor=audit.get_actor(key))
    response.headers["Cache-Control"] = "no-store"
    return _build_link_reply(request, link)


@router.get("/staff/{staff_id}/sessions", response_model=models.StaffSessionsOut, summary="List a person's sessions")
async def list_staff_sessions(request: Request, staff_id: str) -> dict[str, Any]:
    """List where a person is signed in, newest first."""
    await authenticate_key(request, KeyScope.STAFF)
    dependencies = get_dependencies(request)
    async with dependencies.database.read() as connection:
        view = await staff_admin.get_staff(connection, parse_id(staff_id, "person"))
        now, times = dependencies.clock.now(), SessionTimes.from_settings(dependencies.console)
        sessions = await staff_session.list_sessions(connection, view.id, now, times)
    return {"sessions": [vars(session) for session in sessions]}


@router.delete("/staff/{staff_id}/sessions", response_model=models.EndedSessionsOut, summary="Revoke all sessions")
async def revoke_staff_sessions(request: Request, staff_id: str, audit: AuditDependency) -> dict[str, Any]:
    """End every session of a person, at the next request."""
    key = await authenticate_key(request, KeyScope.STAFF)
    id_ = parse_id(staff_id, "person")
    async with open_change_transaction(request) as connection:
        await staff_admin.get_staff(connection, id_)
        actor = audit.get_actor(key)
        return {"ended": await staff_session.revoke_other_sessions(connection, id_, None, actor=actor)}


def _parse_new_staff(body: models.StaffIn) -> NewStaff:
    try:
        email = email_address.normalise_address(body.email)
    except InvalidAddressError as error:
        raise InvalidRequestError([Fault("/email", "invalid_address", str(error))]) from error
    return NewStaff(email=email, name=body.name, roles=frozenset(body.roles))


def _build_link_reply(request: Request, link: NewLink) -> dict[str, Any]:
    url = link.build_url(get_dependencies(request).console.url or "")
    return {"url": url, "purpose": link.purpose, "expires_at": link.expires_at}

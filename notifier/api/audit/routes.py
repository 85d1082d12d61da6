"""`GET /v1/audit`: who did what to the service's objects. No route writes or removes a record."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from notifier import audit
from notifier.api import pagination
from notifier.api.dependencies import authenticate_key, get_dependencies
from notifier.auth.authenticated_key import Caller, KeyScope

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class AuditQuery(pagination.PageQuery):
    """Which audit records are listed."""

    object_kind: Annotated[audit.ObjectKind | None, Query(description="Only records about this kind of object.")] = None
    object_id: UUID | None = None
    actor: Annotated[
        str | None,
        Query(max_length=64, pattern=pagination.NO_NUL, description="`key:<id>`, `staff:<id>` or `operator:<name>`."),
    ] = None


class AuditEntryOut(BaseModel):
    """Who did what to which object."""

    id: UUID
    at: datetime
    actor: str = Field(description="`key:<id>`, `staff:<id>`, or `operator:<name>`.")
    action: str
    object_kind: str
    object_id: str
    address: str | None = Field(description="Address of the person concerned; null once that person was forgotten.")
    before: dict[str, Any] | None = Field(description="The important fields before; null if the object did not exist.")
    after: dict[str, Any] | None = Field(
        description="The same fields afterwards, and the comment; null if the object no longer exists."
    )
    request_id: str | None


class AuditPageOut(BaseModel):
    """A page of entries, newest first."""

    entries: list[AuditEntryOut]
    next: UUID | None


@router.get("", response_model=AuditPageOut, summary="List audit entries")
async def list_audit(request: Request, response: Response, query: Annotated[AuditQuery, Query()]) -> dict[str, Any]:
    """List what keys and the operator did to the service's objects; for an admin key, to the instance's objects."""
    key = await authenticate_key(request, KeyScope.AUDIT)
    filters = audit.AuditFilter(
        object_kind=query.object_kind, object_id=str(query.object_id) if query.object_id else None, actor=query.actor
    )
    service_id = key.service_id if isinstance(key, Caller) else None
    async with get_dependencies(request).database.read() as connection:
        records = await audit.list_audit_records(
            connection, service_id, filters, before=query.before, limit=query.limit + 1
        )
    page, cursor = pagination.cut_page(request, response, records, query.limit)
    return {"entries": [vars(record) for record in page], "next": cursor}

"""`GET /v1/audit`: who did what to the service's objects. There is no route that writes or removes an entry."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from notifier import audit
from notifier.api import paging
from notifier.api.doors import TheDoors
from notifier.api.request import holder
from notifier.auth.keys import Caller
from notifier.auth.scope import Scope

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class Wanted(paging.PageQuery):
    """Which page of which entries."""

    object_kind: Annotated[audit.ObjectKind | None, Query(description="What it was done to.")] = None
    object_id: UUID | None = None
    actor: Annotated[
        str | None, Query(max_length=64, pattern=paging.NO_NUL, description="`key:<id>` or `operator:<name>`.")
    ] = None


class AuditEntryOut(BaseModel):
    """One deed."""

    id: UUID
    at: datetime
    actor: str = Field(description="`key:<id>` of the service, or `operator:<name>` of the instance.")
    action: str
    object_kind: str
    object_id: str
    address: str | None = Field(description="Whom it concerns; null as well once that person was forgotten.")
    before: dict[str, Any] | None = Field(description="The fields that matter; null if it was not there.")
    after: dict[str, Any] | None = Field(
        description="The same afterwards, and the comment, if any; null if it is gone."
    )
    request_id: str | None


class AuditPageOut(BaseModel):
    """A page of entries, newest first."""

    entries: list[AuditEntryOut]
    next: UUID | None


@router.get("", response_model=AuditPageOut, operation_id="list_audit", summary="List audit entries")
async def get_page(
    request: Request, response: Response, doors: TheDoors, wanted: Annotated[Wanted, Query()]
) -> dict[str, Any]:
    """What was done to the service's objects, by its keys and by the operator; for an admin key, to the instance's."""
    caller = await holder(request, doors, Scope.AUDIT)
    which = audit.Filter(
        object_kind=wanted.object_kind,
        object_id=str(wanted.object_id) if wanted.object_id else None,
        actor=wanted.actor,
    )
    owner = caller.service_id if isinstance(caller, Caller) else None
    async with doors.database.read() as connection:
        found = await audit.page(connection, owner, which, before=wanted.before, limit=wanted.limit + 1)
    page, cursor = paging.cut(request, response, found, wanted.limit)
    return {"entries": [vars(entry) for entry in page], "next": cursor}

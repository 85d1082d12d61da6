"""`GET /v1/audit`: who did what to the service's objects. No route writes or removes a record."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from notifier import audit
from notifier.api import pagination
from notifier.api.audit.models import AuditPageOut, AuditQuery
from notifier.api.dependencies import Dependencies, authenticate_key
from notifier.auth.authenticated_key import Caller
from notifier.auth.key_scope import KeyScope

router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("", response_model=AuditPageOut, summary="List audit entries")
async def list_audit(
    request: Request, response: Response, dependencies: Dependencies, query: Annotated[AuditQuery, Query()]
) -> dict[str, Any]:
    """List what keys and the operator did to the service's objects; for an admin key, to the instance's objects."""
    key = await authenticate_key(request, dependencies, KeyScope.AUDIT)
    filters = audit.AuditFilter(
        object_kind=query.object_kind, object_id=str(query.object_id) if query.object_id else None, actor=query.actor
    )
    service_id = key.service_id if isinstance(key, Caller) else None
    async with dependencies.database.read() as connection:
        records = await audit.list_audit_records(
            connection, service_id, filters, before=query.before, limit=query.limit + 1
        )
    page, cursor = pagination.cut_page(request, response, records, query.limit)
    return {"entries": [vars(record) for record in page], "next": cursor}

"""The query and reply models of the audit."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from notifier import audit
from notifier.api import pagination


class AuditQuery(pagination.PageQuery):
    """Which audit records are listed."""

    object_kind: Annotated[audit.ObjectKind | None, Query(description="Entries about this kind of object.")] = None
    object_id: UUID | None = None
    actor: Annotated[
        str | None, Query(max_length=64, pattern=pagination.NO_NUL, description="`key:<id>` or `operator:<name>`.")
    ] = None


class AuditEntryOut(BaseModel):
    """Who did what to which object."""

    id: UUID
    at: datetime
    actor: str = Field(description="`key:<id>` of the service, or `operator:<name>` of the instance.")
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

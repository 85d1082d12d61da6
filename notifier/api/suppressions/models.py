"""The request and reply models of suppressions."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from notifier import suppression
from notifier.api import fields, pagination
from notifier.api.request_model import RequestModel
from notifier.api.service_choice import ServiceName
from notifier.states import SuppressionReason, SuppressionScope

CALLER_REASONS = tuple(reason for reason in SuppressionReason if reason is not SuppressionReason.RECIPIENT_REFUSED)


class SuppressionIn(RequestModel):
    """An address that this service must not mail."""

    address: fields.Address = Field(description="Exactly one bare address.")
    scope: SuppressionScope = Field(
        strict=False, description="`all`, or `marketing`: an opt-out, which never stops a password reset."
    )
    reason: SuppressionReason = Field(
        SuppressionReason.REQUESTED,
        strict=False,
        description="Why. That there is no such mailbox is known from a relay only.",
        json_schema_extra={"enum": [reason.value for reason in CALLER_REASONS]},
    )
    detail: str = Field("", max_length=suppression.MAX_DETAIL_LENGTH, description="A comment on the reason.")
    expires_at: fields.Time | None = Field(
        None,
        description="When it ends, within the next hundred years. Default: never.",
        examples=["2099-12-31T23:59:59Z"],
    )


class SuppressionQuery(pagination.PageQuery):
    """Which suppressions are listed."""

    address: Annotated[
        str | None, Query(max_length=320, pattern=pagination.NO_NUL, description="This address, in any spelling.")
    ] = None
    scope: SuppressionScope | None = None
    reason: SuppressionReason | None = None
    include_expired: Annotated[bool, Query(description="List expired suppressions too.")] = False
    service: ServiceName = None


class SuppressionOut(BaseModel):
    """A suppression."""

    id: UUID
    address: str
    owner: str = Field(
        description="`service`: yours. `instance`: it stops every service's mail, and only the operator can lift it.",
        json_schema_extra={"enum": ["service", "instance"]},
    )
    service: str | None = Field(description="The name of the service; null: of the instance.")
    service_id: UUID | None = Field(description="Null: of the instance.")
    scope: SuppressionScope
    reason: SuppressionReason
    detail: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None


class SuppressionPageOut(BaseModel):
    """A page of suppressions, newest first."""

    suppressions: list[SuppressionOut]
    next: UUID | None

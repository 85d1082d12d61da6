"""The request and reply models of API keys, of team recipients and of `GET /v1/whoami`."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from notifier.api import fields, pagination, request_model
from notifier.api.request_model import RequestModel
from notifier.api.service_choice import ServiceName
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import DEFAULT_SCOPES, KeyScope
from notifier.states import KeyKind

_Scope = Annotated[KeyScope, Field(strict=False)]


class KeyIn(RequestModel):
    """A new key: of this service, or with an admin key of the service that it names, or else an admin key."""

    name: str = Field(max_length=key_admin.MAX_KEY_NAME_LENGTH, description="A name by which you recognise it.")
    kind: KeyKind = Field(
        KeyKind.LIVE, strict=False, description="`live`; `team`: mails your team only; `test`: mails nobody."
    )
    scopes: list[_Scope] = Field(
        default_factory=lambda: list(DEFAULT_SCOPES),
        min_length=1,
        max_length=len(KeyScope),
        description="What it may do; only scopes that your own key has. Default: `notifications:send` and "
        "`notifications:read`, or of an admin key `admin` and those for templates.",
    )
    expires_at: fields.Time | None = Field(
        None,
        description="The end of its validity, within a hundred years and no later than your own key's end. "
        "Default: that of your own key.",
        examples=["2099-12-31T23:59:59Z"],
    )
    rate_per_minute: fields.PositiveWholeNumber | None = Field(
        None, description="Notifications a minute, at most the rate of your own key; default: that rate."
    )


class RotateIn(RequestModel):
    """The overlap of the old key and the new one."""

    overlap_seconds: fields.WholeNumber = Field(
        int(key_admin.DEFAULT_OVERLAP.total_seconds()),
        ge=0,
        le=int(key_admin.MAX_OVERLAP.total_seconds()),
        description="How long the old key still works.",
    )


class KeyQuery(pagination.PageQuery):
    """Which keys are listed."""

    include_ended: Annotated[bool, Query(description="List revoked and expired keys too.")] = False
    service: ServiceName = None


class KeyOut(BaseModel):
    """A key without its secret."""

    id: UUID
    service: str | None = Field(description="The name of its service; null: an admin key.")
    name: str
    prefix: str = Field(description="The beginning of the key.")
    kind: KeyKind
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To within a minute.")
    replaced_by: UUID | None = Field(description="The key that replaced it in a rotation.")
    rate_per_minute: int | None


class CreatedKeyOut(KeyOut):
    """A key that was just created."""

    key: str = Field(description="The key itself, which is shown only here.")


class RotatedOut(CreatedKeyOut):
    """The new key, and the old one with its end."""

    replaces: KeyOut


class KeyPageOut(BaseModel):
    """A page of keys, newest first."""

    keys: list[KeyOut]
    next: UUID | None


class TeamIn(RequestModel):
    """The recipients that team keys may mail."""

    limits = request_model.VARIABLES_LIMITS
    recipients: list[fields.Text] = Field(
        max_length=service_admin.MAX_TEAM_RECIPIENTS,
        description="Addresses, and domains as `@example.org`; an empty list: nobody.",
        examples=[["ada@example.com", "@example.org"]],
    )


class TeamOut(BaseModel):
    """The recipients that team keys may mail."""

    recipients: list[str]


class OwnKeyOut(BaseModel):
    """The key of this request."""

    id: UUID
    name: str
    kind: KeyKind
    scopes: list[str]
    expires_at: datetime | None
    created_at: datetime


class LimitsOut(BaseModel):
    """Notifications a minute that the key, and all keys of the service, may submit; null: unlimited."""

    key_per_minute: int | None
    service_per_minute: int | None


class WhoamiOut(BaseModel):
    """The key of this request, and what it may do."""

    service: str | None = Field(description="Null for an admin key, which belongs to no service.")
    key: OwnKeyOut
    scopes: list[str] = Field(description="The scopes of the key.")
    limits: LimitsOut
    from_domains: list[str] = Field(description="Domains of its senders; empty: the instance's address only.")
    team_recipients: list[str] | None = Field(
        None, description="For a team key: the addresses, and domains as `@example.org`, that it may mail."
    )

"""The reply model of `GET /v1/whoami`."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from notifier.states import KeyKind


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

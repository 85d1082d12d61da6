"""Who may call: services and their API keys."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import Field

from notifier.db.columns import UtcDateTime, closed_set, json_type
from notifier.db.tables.base import Table


class KeyKind(StrEnum):
    """What a key may do with the mail it submits."""

    LIVE = "live"


class Service(Table, table=True):
    """A calling application: owns keys and notifications, and is the unit of fairness."""

    __tablename__ = "service"

    id: UUID = Field(primary_key=True)
    name: str = Field(max_length=64, unique=True)
    from_domains: list[str] = Field(sa_type=json_type())
    created_at: datetime = Field(sa_type=UtcDateTime)


class ApiKey(Table, table=True):
    """An API key: the secret half stands here only as a SHA-256."""

    __tablename__ = "api_key"

    id: UUID = Field(primary_key=True)
    service_id: UUID | None = Field(default=None, foreign_key="service.id", index=True)
    prefix: str = Field(max_length=24, unique=True)
    secret_hash: bytes
    kind: KeyKind = Field(sa_type=closed_set(KeyKind, "kind"))
    scopes: list[str] = Field(sa_type=json_type())
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

"""Services and their API keys."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field

from notifier.db.column_types import UtcDateTime, build_enum_type, build_json_type
from notifier.db.tables.base import Table
from notifier.states import KeyKind


class Service(Table, table=True):
    """A calling application: owns keys and notifications, and is the unit of fairness."""

    __tablename__ = "service"

    id: UUID = Field(primary_key=True)
    name: str = Field(max_length=64, unique=True)
    from_domains: list[str] = Field(sa_type=build_json_type())
    # Whom its team keys may mail: addresses, and domains as "@example.org". None: nobody.
    team_recipients: list[str] | None = Field(default=None, sa_type=build_json_type())
    rate_per_minute: int | None = None  # notifications; None: as the settings say
    created_at: datetime = Field(sa_type=UtcDateTime)


class ApiKey(Table, table=True):
    """An API key. Only the SHA-256 of its secret part is stored."""

    __tablename__ = "api_key"

    id: UUID = Field(primary_key=True)
    service_id: UUID | None = Field(default=None, foreign_key="service.id", index=True)
    name: str = Field(default="", max_length=64)
    prefix: str = Field(max_length=24, unique=True)
    secret_hash: bytes
    kind: KeyKind = Field(sa_type=build_enum_type(KeyKind, "kind"))
    scopes: list[str] = Field(sa_type=build_json_type())
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # to within a minute
    replaced_by: UUID | None = None  # the key that a rotation made
    rate_per_minute: int | None = None  # notifications; None: as the settings say

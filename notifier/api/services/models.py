"""The reply models of services."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from notifier.auth.service_admin import ServiceView


class ServiceOut(BaseModel):
    """A service that calls Notifier."""

    id: UUID
    name: str
    from_domains: list[str]
    team_size: int = Field(description="Addresses and domains that its team keys may mail.")
    rate_per_minute: int | None = Field(description="Notifications; null: as the settings say. 0: unlimited.")
    keep_content_days: int | None = Field(description="After the end; null: as the settings say.")
    keep_notification_days: int | None = Field(description="After the end; null: as the settings say.")
    created_at: datetime


class ServicesOut(BaseModel):
    """All services, by name."""

    services: list[ServiceOut]


def build_service_reply(view: ServiceView) -> dict[str, Any]:
    """Build the reply for a service."""
    return vars(view) | {"team_size": len(view.team_recipients or [])}

"""The request and reply models of services."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from notifier.api import fields, request_model
from notifier.api.fields import describe_optional
from notifier.api.request_model import PatchModel, RequestModel
from notifier.auth import service_admin
from notifier.auth.service_admin import ServiceView

MAX_DOMAINS = 100
_Domains = Annotated[list[fields.Text], Field(max_length=MAX_DOMAINS)]
_Recipients = Annotated[list[fields.Text], Field(max_length=service_admin.MAX_TEAM_RECIPIENTS)]
_DOMAINS = "Domains that it may send from; empty: the instance's address only."
_RECIPIENTS = "Whom its team keys may mail: addresses, and domains as `@example.org`."
_RATE = "Notifications a minute of all its keys; 0: unlimited."
_CONTENT_DAYS = "Days that content is kept after the end."
_NOTIFICATION_DAYS = "Days that notifications are kept after the end."
_DEFAULT = " Left out: as the settings say."
_OF_SETTINGS = " Null: as the settings say."


class ServiceIn(RequestModel):
    """A new service."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "shop", "from_domains": ["shop.example"]}]})
    limits = request_model.VARIABLES_LIMITS

    name: str = Field(
        max_length=service_admin.MAX_NAME_LENGTH,
        pattern=service_admin.NAME_PATTERN,
        description="Letters, digits, `-` and `_`; it cannot be changed.",
    )
    from_domains: _Domains = Field(default_factory=list, description=_DOMAINS)
    team_recipients: _Recipients = Field(default_factory=list, description=_RECIPIENTS)
    rate_per_minute: fields.NotNegativeWholeNumber | None = Field(None, description=_RATE + _DEFAULT)
    keep_content_days: fields.KeepDays | None = Field(None, description=_CONTENT_DAYS + _DEFAULT)
    keep_notification_days: fields.KeepDays | None = Field(None, description=_NOTIFICATION_DAYS + _DEFAULT)


def _describe_patch(json_schema: dict[str, Any]) -> None:
    fields.describe_patch(json_schema)
    json_schema["examples"] = [{"rate_per_minute": 600}]


class ServicePatchIn(PatchModel):
    """The fields that are to change; nothing else changes, and each list is replaced as a whole."""

    model_config = ConfigDict(json_schema_extra=_describe_patch)
    limits = request_model.VARIABLES_LIMITS

    from_domains: _Domains = describe_optional(_DOMAINS)
    team_recipients: _Recipients = describe_optional(_RECIPIENTS)
    rate_per_minute: fields.NotNegativeWholeNumber = describe_optional(_RATE)
    keep_content_days: fields.KeepDays = describe_optional(_CONTENT_DAYS)
    keep_notification_days: fields.KeepDays = describe_optional(_NOTIFICATION_DAYS)
    default_days: bool = describe_optional("True: keep both as the settings say, unless a number is sent as well.")


class ServiceOut(BaseModel):
    """A service that calls Notifier."""

    id: UUID
    name: str
    from_domains: list[str]
    team_recipients: list[str] = Field(description=_RECIPIENTS)
    rate_per_minute: int | None = Field(description=_RATE + _OF_SETTINGS)
    keep_content_days: int | None = Field(description=_CONTENT_DAYS + _OF_SETTINGS)
    keep_notification_days: int | None = Field(description=_NOTIFICATION_DAYS + _OF_SETTINGS)
    created_at: datetime


class ServicesOut(BaseModel):
    """All services, by name."""

    services: list[ServiceOut]


def build_service_reply(view: ServiceView) -> dict[str, Any]:
    """Build the reply for a service."""
    return vars(view) | {"team_recipients": view.team_recipients or []}

"""The request and reply models of team recipients."""

from pydantic import BaseModel, ConfigDict, Field

from notifier.api import fields
from notifier.api.body import body_limits
from notifier.api.body.request_model import RequestModel
from notifier.auth import service_admin


class TeamIn(RequestModel):
    """The recipients that team keys may mail."""

    limits = body_limits.VARIABLES_LIMITS
    model_config = ConfigDict(extra="forbid", strict=True)

    recipients: list[fields.Text] = Field(
        max_length=service_admin.MAX_TEAM_RECIPIENTS,
        description="Addresses, and domains as `@example.org`; an empty list: nobody.",
        examples=[["ada@example.com", "@example.org"]],
    )


class TeamOut(BaseModel):
    """The recipients that team keys may mail."""

    recipients: list[str]

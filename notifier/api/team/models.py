"""The request and reply models of team recipients."""

from pydantic import BaseModel, Field

from notifier.api import fields, request_model
from notifier.api.request_model import RequestModel
from notifier.auth import service_admin


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

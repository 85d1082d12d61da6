"""The request and reply models of people who sign in to the console."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from notifier.api import fields
from notifier.api.request_model import RequestModel
from notifier.auth import staff_admin
from notifier.auth.staff_roles import StaffRole
from notifier.db.tables import LinkPurpose

_Roles = Annotated[
    list[Annotated[StaffRole, Field(strict=False)]],
    Field(max_length=len(StaffRole), description="What the person may do; everybody reads mail and templates."),
]


class StaffIn(RequestModel):
    """A person who may sign in."""

    email: fields.Text = Field(description="With which the person signs in.", examples=["ana@example.com"])
    name: str = Field(min_length=1, max_length=staff_admin.MAX_STAFF_NAME_LENGTH, description="What colleagues see.")
    roles: _Roles = Field(default_factory=list)


class RolesIn(RequestModel):
    """The new roles of a person."""

    roles: _Roles


class StaffOut(BaseModel):
    """A person who may sign in."""

    id: UUID
    email: str
    name: str
    roles: list[StaffRole]
    time_zone: str = Field(description="In which times are shown to this person.")
    has_password: bool = Field(description="False: not set yet, or the person signs in by OpenID only.")
    created_by: str
    created_at: datetime
    disabled_at: datetime | None = Field(description="Since when the person cannot sign in.")
    seen_at: datetime | None = Field(description="The last use in the last 30 days, to within a minute.")


class LinkOut(BaseModel):
    """A one-time link by which the person sets a password; it is shown only here."""

    url: str = Field(description="For the person alone. A path, if the operator has set no `NOTIFIER_CONSOLE__URL`.")
    purpose: LinkPurpose = Field(description="`welcome`: the first password; `reset`: a new one.")
    expires_at: datetime


class CreatedStaffOut(StaffOut):
    """A person who was just created, with their one-time link."""

    link: LinkOut


class StaffPageOut(BaseModel):
    """A page of people, newest first."""

    staff: list[StaffOut]
    next: UUID | None


class StaffSessionOut(BaseModel):
    """A session of a person."""

    id: UUID
    created_at: datetime
    seen_at: datetime = Field(description="The last use, to within a minute.")
    expires_at: datetime
    from_address: str = Field(description="The client address; of IPv6 its /64.")
    browser: str


class StaffSessionsOut(BaseModel):
    """Where a person is signed in."""

    sessions: list[StaffSessionOut]


class EndedSessionsOut(BaseModel):
    """How many sessions were ended."""

    ended: int

"""Requests and replies of the publish gate."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from notifier.api import fields
from notifier.api.request_model import RequestModel


class GateIn(RequestModel):
    """What is to be tried."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: fields.PositiveWholeNumber | None = Field(
        None, description="An old version, as `restore` would publish it; default: the draft."
    )
    unmasked: bool = Field(
        default=False, description="Show secret values; needs the scope `content:unmasked`, is recorded."
    )


class RefusalOut(BaseModel):
    """A reason for which requests would be answered 422."""

    pointer: str = Field(description="JSON pointer; `*` stands for any place in a list.")
    code: str
    detail: str
    requests: int = Field(description="How many of those that were tried.")
    keys: list[str] = Field(description="Ids of the keys that made them.")


class FailureOut(BaseModel):
    """A place where rendering fails."""

    part: str
    line: int | None
    message: str
    requests: int
    keys: list[str]


class TriedOut(BaseModel):
    """The outcome for the requests of one service."""

    service_id: UUID
    service: str
    looked: int = Field(description="Requests that were tried: its newest ones, at most 200.")
    refused: int = Field(description="Would be answered 422, and are not today.")
    failing: int = Field(description="Could not be rendered, and can today.")
    broken_already: int = Field(description="Are refused or fail today as well.")
    changed: int = Field(description="Mails that differ.")
    untried: int = Field(description="Were not rendered: another one took too long, or this machine had no time.")
    refusals: list[RefusalOut]
    failures: list[FailureOut]


class ExampleOut(BaseModel):
    """A mail that changes, for one kind of change."""

    service: str
    locale: str | None
    changed: list[str] = Field(description="Of `subject`, `html`, `text`.")
    alike: int = Field(description="How many mails change like this.")
    diffs: dict[str, str] = Field(description="A unified diff of each part.")
    note: str = Field(description="Why there is none.")


class VariableOut(BaseModel):
    """A variable of a template."""

    path: str = Field(description="Dotted; an item of a list has the path of the list.")
    required: bool
    type: str = Field(description="Of JSON; empty: any.")


class AlteredOut(BaseModel):
    """A variable that differs."""

    before: VariableOut
    after: VariableOut


class UsingOut(BaseModel):
    """A key that has used the template lately."""

    key_id: UUID
    key: str = Field(description="Its name.")
    service: str
    last_used_at: datetime = Field(description="To within a minute.")


class GateOut(BaseModel):
    """What publishing would do to those who use the template."""

    slug: str
    content_hash: str = Field(description="Of the source that was tried.")
    number: int | None = Field(description="Of the version that it was compared with; null: nothing is published.")
    blocks: bool = Field(description="Something that works today would not work any more.")
    reasons: list[str]
    looked: int
    changed: int
    services: list[TriedOut]
    examples: list[ExampleOut]
    added: list[VariableOut]
    removed: list[VariableOut]
    altered: list[AlteredOut]
    keys: list[UsingOut] = Field(description="That have used the template within thirty days.")
    masked: bool = Field(description="Secret values are hidden in the diffs.")

"""The shapes of requests and replies about webhooks."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from notifier.api import fields
from notifier.api.body.request_model import PatchModel, RequestModel
from notifier.db.tables import DeliveryState
from notifier.webhooks.event_body import EVENT_TYPES

MAX_OVERLAP_SECONDS = 7 * 86400
_EXAMPLE = "https://shop.example/notifier"
_STRICT = ConfigDict(extra="forbid", strict=True)
_Url = Annotated[str, StringConstraints(max_length=2048), fields.document_field(format="iri", examples=[_EXAMPLE])]
_Description = Annotated[str, StringConstraints(max_length=256)]
_Events = Annotated[
    list[Annotated[str, StringConstraints(max_length=64), fields.document_field(enum=list(EVENT_TYPES))]],
    Field(max_length=len(EVENT_TYPES), description=f"Types to be told of; none means all: {', '.join(EVENT_TYPES)}."),
]


class EndpointIn(RequestModel):
    """Where to tell what became of notifications."""

    model_config = _STRICT

    url: _Url = Field(description="An https:// URL with a public host name, on port 443 or 8443.")
    description: _Description = Field("", description="Yours.")
    events: _Events = Field([])


class EndpointPatchIn(PatchModel):
    """What is to be different; nothing else changes."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=fields.describe_patch)

    url: _Url = Field("", description="As when it was made.")
    description: _Description = Field("", description="Yours.")
    events: _Events = Field([])
    disabled: bool = Field(
        default=False,
        description="True: it is told nothing; false: it is told again.",
    )


class RotateSecretIn(RequestModel):
    """How long the old secret goes on signing beside the new one."""

    model_config = _STRICT

    overlap_seconds: fields.WholeNumber = Field(
        86400, ge=0, le=MAX_OVERLAP_SECONDS, description="0: the old one is worth nothing now."
    )


class ReplayIn(RequestModel):
    """Which failed deliveries to put in again."""

    model_config = _STRICT

    since: fields.AwareTime = Field(description="Those that were made since then.")


class EndpointOut(BaseModel):
    """An endpoint."""

    id: UUID
    url: str
    description: str
    events: list[str]
    created_at: datetime
    failing_since: datetime | None = Field(description="No try has succeeded since then.")
    disabled_at: datetime | None
    disabled_because: str | None
    previous_until: datetime | None = Field(description="Until then the secret before this one signs as well.")


class EndpointWithSecretOut(EndpointOut):
    """An endpoint and its secret: this is the only time that it can be read."""

    secret: str = Field(description="For a Standard Webhooks library.")


class EndpointsOut(BaseModel):
    """Every endpoint of the service."""

    webhooks: list[EndpointOut]


class DeliveryOut(BaseModel):
    """The telling of one event."""

    id: UUID
    event_id: UUID = Field(description="The `webhook-id`: the same at every try and every replay.")
    type: str
    state: DeliveryState
    tries: int
    created_at: datetime
    ended_at: datetime | None
    next_attempt_at: datetime | None


class DeliveriesOut(BaseModel):
    """A page, newest first; `next` is the cursor of the following one, null on the last."""

    deliveries: list[DeliveryOut]
    next: UUID | None


class WebhookAttemptOut(BaseModel):
    """One try."""

    number: int
    at: datetime
    duration_ms: int
    code: int | None = Field(description="The status of the reply; null: there was none.")
    detail: str = Field(description="The beginning of the reply, or what went wrong.")


class DeliveryDetailOut(DeliveryOut):
    """The telling of one event, with what was sent and every try."""

    body: str
    attempts: list[WebhookAttemptOut]


class ReplayedOut(BaseModel):
    """What was put in again."""

    replayed: int
    more: bool = Field(description="There are others: ask again.")

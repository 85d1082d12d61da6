"""The request and reply models of webhooks."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from notifier.api import fields
from notifier.api.request_model import PatchModel, RequestModel
from notifier.db.tables import DeliveryState
from notifier.webhooks.webhook_event import EVENT_TYPES

MAX_OVERLAP_SECONDS = 7 * 86400
_EXAMPLE = "https://shop.example/notifier"
_Url = Annotated[str, StringConstraints(max_length=2048), fields.document_field(format="iri", examples=[_EXAMPLE])]
_Description = Annotated[str, StringConstraints(max_length=256)]
_Events = Annotated[
    list[Annotated[str, StringConstraints(max_length=64), fields.document_field(enum=list(EVENT_TYPES))]],
    Field(
        max_length=len(EVENT_TYPES),
        description=f"The types of events to send; an empty list means all: {', '.join(EVENT_TYPES)}.",
    ),
]


class EndpointIn(RequestModel):
    """A new webhook endpoint."""

    url: _Url = Field(description="An https:// URL with a public host name, on port 443 or 8443.")
    description: _Description = Field("", description="Your own description.")
    events: _Events = Field([])


class EndpointPatchIn(PatchModel):
    """The fields to change; other fields keep their values."""

    model_config = ConfigDict(json_schema_extra=fields.describe_patch)

    url: _Url = Field("", description="An https:// URL with a public host name, on port 443 or 8443.")
    description: _Description = Field("", description="Your own description.")
    events: _Events = Field([])
    disabled: bool = Field(
        default=False,
        description="True: no events are sent; false: the endpoint is enabled again.",
    )


class RotateSecretIn(RequestModel):
    """How long the old secret signs as well as the new one."""

    overlap_seconds: fields.WholeNumber = Field(
        86400, ge=0, le=MAX_OVERLAP_SECONDS, description="0: the old secret ends at once."
    )


class ReplayIn(RequestModel):
    """Which failed deliveries to replay."""

    since: fields.AwareTime = Field(description="Deliveries created since then.")


class EndpointOut(BaseModel):
    """A webhook endpoint."""

    id: UUID
    url: str
    description: str
    events: list[str]
    created_at: datetime
    failing_since: datetime | None = Field(description="No attempt has succeeded since then.")
    disabled_at: datetime | None
    disabled_because: str | None
    previous_until: datetime | None = Field(description="Until then the previous secret signs as well.")


class EndpointWithSecretOut(EndpointOut):
    """A webhook endpoint with its secret, which is returned only once."""

    secret: str = Field(description="For a Standard Webhooks library.")


class EndpointsOut(BaseModel):
    """All webhook endpoints of the service."""

    webhooks: list[EndpointOut]


class DeliveryOut(BaseModel):
    """The delivery of one event to one endpoint."""

    id: UUID
    event_id: UUID = Field(description="The `webhook-id`: the same at every attempt and every replay.")
    type: str
    state: DeliveryState
    tries: int
    created_at: datetime
    ended_at: datetime | None
    next_attempt_at: datetime | None


class DeliveriesOut(BaseModel):
    """A page of deliveries, newest first; `next` is the cursor of the next page, null on the last."""

    deliveries: list[DeliveryOut]
    next: UUID | None


class WebhookAttemptOut(BaseModel):
    """One attempt to deliver an event."""

    number: int
    at: datetime
    duration_ms: int
    code: int | None = Field(description="The status of the reply; null: there was no reply.")
    detail: str = Field(description="The beginning of the reply, or what went wrong.")


class DeliveryDetailOut(DeliveryOut):
    """A delivery with the body that was sent and every attempt."""

    body: str
    attempts: list[WebhookAttemptOut]


class ReplayedOut(BaseModel):
    """How many deliveries were replayed."""

    replayed: int
    more: bool = Field(description="True: there are others; repeat the request.")

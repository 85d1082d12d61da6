"""The shapes of requests and replies: pydantic models, apart from the tables, with unknown fields refused."""

from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from notifier.errors import Fault, InvalidRequestError
from notifier.notification.change import LONGEST_COMMENT
from notifier.notification.check import Wanted
from notifier.notification.find import NotificationView
from notifier.notification.timeline import Item
from notifier.rendering.variables import escape_pointer
from notifier.states import Priority, Reason, Resolution, Status

SCHEDULED = "scheduled"
"""How `queued` is shown while `send_at` is ahead."""


def _only_text(value: Any) -> Any:
    if not isinstance(value, str | None):
        raise ValueError("a time is a string, such as 2026-01-31T12:00:00Z (RFC 3339)")  # noqa: TRY004 - pydantic's way
    return value


Model = TypeVar("Model", bound=BaseModel)
_Time = Annotated[datetime, BeforeValidator(_only_text), Field(strict=False)]
_Text = Annotated[str, StringConstraints(max_length=998)]


class NotificationIn(BaseModel):
    """A notification to send."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
            ]
        },
    )

    to: str = Field(description="The recipient: exactly one bare address.", max_length=320)
    template: str = Field(description="Slug of a published template.", max_length=64)
    template_version: int | None = Field(None, ge=1, le=2**31 - 1, description="A version other than the current one.")
    variables: dict[str, Any] = Field(default_factory=dict, description="Values for the template's variables.")
    from_: _Text | None = Field(None, alias="from", description="Sender, as an address or `Name <address>`.")
    reply_to: _Text | None = Field(None, description="Where replies go, as an address or `Name <address>`.")
    locale: str | None = Field(None, max_length=35, description="Language tag; falls back: fr-CA, fr, default.")
    headers: dict[str, str] = Field(default_factory=dict, description="Custom headers from an allow-list.")
    send_at: _Time | None = Field(None, description="Not before this time. Default: now.")
    expires_at: _Time | None = Field(None, description="Not after this time. Default: 72 h later.")
    priority: Priority | None = Field(None, strict=False, description="Default: the template's.")


class ChangeIn(BaseModel):
    """A word on why something is changed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    comment: str = Field("", description="Kept in the timeline.", max_length=LONGEST_COMMENT)


class ResolveIn(ChangeIn):
    """What is decided about a mail whose status is `unknown`."""

    as_: Resolution = Field(alias="as", strict=False, description="It was sent, it failed, or send it again.")


class SubmittedOut(BaseModel):
    """What became of a submit: the row is committed."""

    id: UUID
    status: str
    created_at: datetime


class AttemptOut(BaseModel):
    """One try at delivering."""

    number: int
    started_at: datetime
    duration_ms: int | None = Field(description="Null, as the relay, where the sender died.")
    relay: str | None
    phase: str
    outcome: str
    code: int | None
    enhanced_code: str | None
    reply: str


class NotificationOut(BaseModel):
    """A notification and where it stands."""

    id: UUID
    status: str
    reason: Reason | None
    detail: str | None
    to: str
    template: str
    template_version: int
    locale: str | None
    priority: Priority
    message_id: str
    created_at: datetime
    updated_at: datetime
    send_at: datetime
    expires_at: datetime
    uncertain_at: datetime | None
    next_attempt_at: datetime | None


class NotificationWithAttemptsOut(NotificationOut):
    """A notification, where it stands, and every try."""

    attempts: list[AttemptOut]


class HappenedOut(BaseModel):
    """One thing that happened to a notification."""

    at: datetime
    kind: str = Field(
        description="`accepted`, `scheduled`, `attempt`, `uncertain`, what was done to it (`cancelled`, `retried`, "
        "`resolved`), or the status in which it ended."
    )
    detail: str | None
    actor: str | None = Field(description="Who did it: `key:<id>` or `operator:<name>`.")
    attempt: AttemptOut | None


class TimelineOut(BaseModel):
    """What happened to a notification, oldest first."""

    events: list[HappenedOut]


class PageOut(BaseModel):
    """A page, newest first; `next` is the cursor of the following one, null on the last."""

    notifications: list[NotificationOut]
    next: UUID | None


_FAULT_CODES = {"extra_forbidden": "unknown_field", "missing": "missing_field", "string_too_long": "too_long"}
_FIELDS = {"from": "sender"}


def parse(body: Any) -> tuple[Wanted, list[Fault]]:
    """The request in the domain's words, and what is wrong with its shape; fields at fault keep their defaults."""
    if not isinstance(body, dict):
        return Wanted(), [Fault("", "invalid_type", "the body must be a JSON object")]
    faults: list[Fault] = []
    try:
        parsed = NotificationIn.model_validate(body)
    except ValidationError as error:
        faults = [_fault(one) for one in error.errors(include_url=False, include_context=False)]
        broken = {str(one["loc"][0]) for one in error.errors() if one["loc"]}
        sound = {name: value for name, value in body.items() if name not in broken}
        placeholders = {"to": "", "template": ""} | sound
        parsed = NotificationIn.model_validate(placeholders)
        body = sound
    values = parsed.model_dump(by_alias=False)
    values["sender"] = values.pop("from_")
    given = {_FIELDS.get(name, name) for name in body}
    wanted = {name: value for name, value in values.items() if name in given}
    if any(fault.pointer.split("/")[1] == "variables" for fault in faults):
        wanted["variables"] = None
    return Wanted(**wanted), faults


def parse_strictly(model: type[Model], body: Any) -> Model:
    """The body as this model. Raises `InvalidRequestError` with every fault."""
    if not isinstance(body, dict):
        raise InvalidRequestError([Fault("", "invalid_type", "the body must be a JSON object")])
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        raise InvalidRequestError([_fault(one) for one in faults]) from error


def _fault(error: Any) -> Fault:
    pointer = "".join(f"/{escape_pointer(str(part))}" for part in error["loc"])
    return Fault(pointer, _FAULT_CODES.get(error["type"], "invalid_type"), error["msg"])


def shown_status(status: Status, send_at: datetime, now: datetime) -> str:
    """The status in the caller's words."""
    return SCHEDULED if status is Status.QUEUED and send_at > now else status.value


def show(view: NotificationView, now: datetime) -> dict[str, Any]:
    """A notification as the reply's fields."""
    fields = {name: value for name, value in vars(view).items() if name in NotificationOut.model_fields}
    return fields | {
        "to": view.recipient,
        "status": shown_status(view.status, view.send_at, now),
        "next_attempt_at": view.due_at,
        "attempts": [vars(attempt) for attempt in view.attempts],
    }


def show_item(item: Item) -> dict[str, Any]:
    """One thing that happened, as the reply's fields."""
    return vars(item) | {"attempt": vars(item.attempt) if item.attempt else None}

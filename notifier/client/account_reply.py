"""The replies about keys, suppressions, webhooks and the audit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notifier.client.reply_reader import Reply


@dataclass(frozen=True, kw_only=True)
class Limits(Reply):
    """How many notifications may be submitted in a minute; None: no limit."""

    key_per_minute: int | None = None
    service_per_minute: int | None = None  # all keys of the service together


@dataclass(frozen=True, kw_only=True)
class ApiKey(Reply):
    """A key without its secret."""

    id: str
    name: str
    kind: str  # live, team or test
    prefix: str | None = None  # the first characters of the key; `whoami` does not return it
    scopes: tuple[str, ...] = ()
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  # exact to a minute
    replaced_by: str | None = None  # the key that a rotation created
    rate_per_minute: int | None = None


@dataclass(frozen=True, kw_only=True)
class NewApiKey(ApiKey):
    """A key that was just created."""

    key: str = field(repr=False)  # the secret, which is returned only once
    replaces: ApiKey | None = None  # after `rotate`: the old key, with its end


@dataclass(frozen=True, kw_only=True)
class Caller(Reply):
    """The service and the rights of a key."""

    service: str | None  # None: an admin key
    key: ApiKey
    scopes: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    from_domains: tuple[str, ...] = ()  # empty: mail is sent from the address of the instance only
    team_recipients: tuple[str, ...] | None = None  # whom a team key may mail; None: another kind of key


@dataclass(frozen=True, kw_only=True)
class Team(Reply):
    """The recipients that team keys may mail."""

    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AuditEntry(Reply):
    """An audit record of your service."""

    id: str
    at: datetime
    actor: str
    action: str
    object_kind: str
    object_id: str
    address: str | None = None  # of the person concerned
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Suppression(Reply):
    """A suppressed address, and the reason."""

    id: str
    address: str
    owner: str | None = None  # service: yours; instance: only the operator can lift it
    scope: str | None = None  # all, or marketing
    reason: str | None = None
    detail: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookEndpoint(Reply):
    """A URL of yours that receives the events of your notifications."""

    id: str
    url: str
    events: tuple[str, ...] = ()  # empty: all
    description: str | None = None
    secret: str | None = field(default=None, repr=False)  # returned only at creation and rotation
    created_at: datetime | None = None
    failing_since: datetime | None = None  # no attempt has succeeded since then
    disabled_at: datetime | None = None
    disabled_because: str | None = None
    previous_until: datetime | None = None  # until then the previous secret signs as well


@dataclass(frozen=True, kw_only=True)
class WebhookAttempt(Reply):
    """One attempt to deliver an event."""

    number: int
    at: datetime
    duration_ms: int | None = None
    code: int | None = None  # None: there was no reply
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookDelivery(Reply):
    """The delivery of one event to one endpoint."""

    id: str
    event_id: str  # the `webhook-id`
    type: str
    state: str
    tries: int = 0
    created_at: datetime | None = None
    ended_at: datetime | None = None
    next_attempt_at: datetime | None = None
    body: str | None = field(default=None, repr=False)  # None in a list, where attempts are missing too
    attempts: tuple[WebhookAttempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replayed(Reply):
    """How many failed deliveries were replayed."""

    replayed: int
    more: bool = False  # True: there are others, replay again

"""What Notifier answers about keys, suppressions, webhooks and the audit, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notifier.client.reply_reader import Reply


@dataclass(frozen=True, kw_only=True)
class Limits(Reply):
    """How many notifications a minute may be submitted; None: any number."""

    key_per_minute: int | None = None
    service_per_minute: int | None = None  # all keys of the service together


@dataclass(frozen=True, kw_only=True)
class ApiKey(Reply):
    """A key as it stands, without its secret."""

    id: str
    name: str
    kind: str  # live, team or test
    prefix: str | None = None  # how the key begins; `whoami` does not say it
    scopes: tuple[str, ...] = ()
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  # to within a minute
    replaced_by: str | None = None  # the key that a rotation has put in its place
    rate_per_minute: int | None = None


@dataclass(frozen=True, kw_only=True)
class NewApiKey(ApiKey):
    """A key that was just made."""

    key: str = field(repr=False)  # the key itself, told here and never again
    replaces: ApiKey | None = None  # after `rotate`: the old one, and when it ends


@dataclass(frozen=True, kw_only=True)
class Caller(Reply):
    """Whose key this is, and what it may do."""

    service: str | None  # None: an admin key, which belongs to none
    key: ApiKey
    scopes: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    from_domains: tuple[str, ...] = ()  # empty: it sends from the instance's address only
    team_recipients: tuple[str, ...] | None = None  # whom a team key may mail; None: it is none


@dataclass(frozen=True, kw_only=True)
class Team(Reply):
    """Whom team keys may mail."""

    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AuditEntry(Reply):
    """Who did what to which object of yours."""

    id: str
    at: datetime
    actor: str
    action: str
    object_kind: str
    object_id: str
    address: str | None = None  # whom it concerns
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Suppression(Reply):
    """An address that is not mailed, and why."""

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
    """A URL of yours that is told about your notifications."""

    id: str
    url: str
    events: tuple[str, ...] = ()  # empty: all
    description: str | None = None
    secret: str | None = field(default=None, repr=False)  # told once, when it is made
    created_at: datetime | None = None
    failing_since: datetime | None = None  # no try has succeeded since then
    disabled_at: datetime | None = None
    disabled_because: str | None = None
    previous_until: datetime | None = None  # until then the secret before this one signs as well


@dataclass(frozen=True, kw_only=True)
class WebhookAttempt(Reply):
    """One try at telling."""

    number: int
    at: datetime
    duration_ms: int | None = None
    code: int | None = None  # None: there was no reply
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookDelivery(Reply):
    """The telling of one event to one endpoint."""

    id: str
    event_id: str  # the `webhook-id`
    type: str
    state: str
    tries: int = 0
    created_at: datetime | None = None
    ended_at: datetime | None = None
    next_attempt_at: datetime | None = None
    body: str | None = field(default=None, repr=False)  # None in a list, as the attempts are none
    attempts: tuple[WebhookAttempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replayed(Reply):
    """How many failed deliveries were put in again."""

    replayed: int
    more: bool = False  # True: there are others, ask again

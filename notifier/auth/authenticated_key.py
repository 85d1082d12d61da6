"""The API key of a request, and what it may do: its scopes, its reach, and its rights over mail."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from notifier import email_address
from notifier.db.tables import Notification, get_columns
from notifier.email_address import RecipientPolicy
from notifier.errors import Fault, InvalidRequestError, NotifierError
from notifier.states import KeyKind

_notification = get_columns(Notification)


class KeyScope(StrEnum):
    """What a key may do."""

    SEND = "notifications:send"
    ACT = "notifications:act"  # cancel, retry and resolve; a part of `notifications:send`
    READ = "notifications:read"
    CONTENT = "content:read"
    SUPPRESSIONS = "suppressions:manage"
    WEBHOOKS = "webhooks:manage"
    SCHEDULES = "schedules:manage"
    KEYS = "keys:manage"
    AUDIT = "audit:read"
    TEMPLATES_READ = "templates:read"
    TEMPLATES_EDIT = "templates:edit"
    TEMPLATES_PUBLISH = "templates:publish"
    UNMASKED = "content:unmasked"
    STAFF = "staff:manage"
    ADMIN = "admin"


DEFAULT_SCOPES = (KeyScope.SEND, KeyScope.READ)
ADMIN_SCOPES = (KeyScope.TEMPLATES_READ, KeyScope.TEMPLATES_EDIT, KeyScope.TEMPLATES_PUBLISH, KeyScope.ADMIN)
"""The default of an admin key."""
SERVICE_SCOPES = tuple(scope for scope in KeyScope if scope not in {KeyScope.ADMIN, KeyScope.STAFF})
"""The scopes that a key of a service can have."""
KINDS_BY_REACH = (KeyKind.TEST, KeyKind.TEAM, KeyKind.LIVE)
"""The kinds of keys by whom their mail reaches: nobody, the team, anybody."""


class UnauthenticatedError(NotifierError):
    """The request carries no valid API key."""


class InsufficientScopeError(NotifierError):
    """The API key lacks a scope."""

    def __init__(self, scope: KeyScope) -> None:
        self.scope = scope
        super().__init__(f"this key lacks the scope {scope.value}")


class StrongerKindError(NotifierError):
    """Only a key of a stronger kind may do this."""


class NotOfServiceError(NotifierError):
    """An admin key belongs to no service and cannot use a service's routes."""


@dataclass(frozen=True, kw_only=True)
class AuthenticatedKey:
    """The key of a request: a service's or an admin key."""

    key_id: UUID
    kind: KeyKind
    scopes: frozenset[str]
    expires_at: datetime | None
    key_rate: int | None  # notifications a minute; None: as the settings say

    @property
    def actor_name(self) -> str:
        """The name under which records are written."""
        return f"key:{self.key_id}"

    def require_scope(self, scope: KeyScope) -> None:
        """Raise `InsufficientScopeError` unless the key has the scope."""
        is_implied = scope is KeyScope.ACT and KeyScope.SEND.value in self.scopes  # who may submit may also stop it
        if scope.value not in self.scopes and not is_implied:
            raise InsufficientScopeError(scope)

    @property
    def kinds_in_reach(self) -> tuple[KeyKind, ...]:
        """Its own kind and all weaker kinds: the key may change what keys of these kinds submitted."""
        return KINDS_BY_REACH[: KINDS_BY_REACH.index(self.kind) + 1]

    def require_live(self, action: str) -> None:
        """Raise `StrongerKindError` unless the key is live or an admin key; `action` completes "only a live key"."""
        if self.kind is not KeyKind.LIVE:
            raise StrongerKindError(f"only a live key {action}; this is a {self.kind.value} key")


@dataclass(frozen=True, kw_only=True)
class Caller(AuthenticatedKey):
    """The key of a service, and what the service may do."""

    service_id: UUID
    service_name: str
    from_domains: tuple[str, ...]  # empty: only the instance's own From address
    team_recipients: frozenset[str]  # whom a team key may mail: keys of addresses, and domains as "@example.org"
    service_rate: int | None  # notifications a minute; None: as the settings say

    def may_mail(self, recipient: str) -> bool:
        """Whether the key may mail the recipient: a team key mails the team and simulated recipients only."""
        if self.kind is not KeyKind.TEAM or email_address.is_simulated_address(recipient):
            return True
        return email_address.is_address_listed(recipient, self.team_recipients)


def require_service(key: AuthenticatedKey) -> Caller:
    """Return the key as a service's. Raises `NotOfServiceError` for an admin key."""
    if not isinstance(key, Caller):
        raise NotOfServiceError
    return key


def may_send_from(sender: str, default: str, domains: Collection[str]) -> bool:
    """Whether a service with these domains may use the address in From; `default` is the instance's own address."""
    return sender == default or email_address.get_address_domain(sender) in domains


@dataclass(frozen=True, kw_only=True)
class MailRights:
    """The rights of one caller over mail: checked at submit, and before a change after which a mail could leave."""

    caller: Caller
    policy: RecipientPolicy
    own_sender: str  # the instance's address, from which every service may send

    def get_conditions(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        """SQL conditions for the notifications that the caller may change: its service's, of kinds within its reach."""
        return _notification.service_id == self.caller.service_id, _notification.kind.in_(self.caller.kinds_in_reach)

    def find_recipient_fault(self, recipient: str, kind: KeyKind, pointer: str = "") -> Fault | None:
        """Why mail of this kind of key must not go to the address; mail of a test key never leaves."""
        if kind is KeyKind.TEST:
            return None
        if not self.policy.allows(recipient):
            return Fault(pointer, "recipient_not_allowed", self.policy.explain_refusal())
        if not self.caller.may_mail(recipient):
            service = self.caller.service_name
            detail = f"a team key only mails the service's own people; {service} has not named this address"
            return Fault(pointer, "recipient_not_allowed", detail)
        return None

    def find_sender_fault(self, sender: str, pointer: str = "", because: str = "") -> Fault | None:
        """Why the service must not send from the address; `because` is added at the end."""
        if may_send_from(sender, self.own_sender, self.caller.from_domains):
            return None
        domain = email_address.get_address_domain(sender)
        detail = f"the service {self.caller.service_name} may not send from {domain}{because}"
        return Fault(pointer, "from_not_allowed", detail)

    def require_sendable(self, rows: Iterable[Any]) -> None:
        """Raise `InvalidRequestError` if one of these notifications could not be submitted by the caller today.

        Each row has `recipient`, `from_address` and `kind`.
        """
        for row in rows:
            fault = self.find_recipient_fault(row.recipient, row.kind) or self.find_sender_fault(row.from_address)
            if fault is not None:
                raise InvalidRequestError([fault])

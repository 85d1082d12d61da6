"""Recent requests with a template: the newest of each service, their variables, and the mask of secret ones.

Requests with other templates, copies, and deleted content are not read.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Text, bindparam, cast, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import ApiKey, Notification, NotificationContent, Service, TemplateUse, TemplateVersion, columns
from notifier.errors import Fault
from notifier.rendering import subject
from notifier.rendering.variables import faults_in
from notifier.states import Role
from notifier.templating.gate.report import Using

PAYLOADS = 200
"""How many requests of each service a draft is tried on, newest first."""
HIDDEN = "•••"
"""What is shown in place of a secret value, whatever its type and length."""

_notification, _content = columns(Notification), columns(NotificationContent)
_service, _use, _key, _version = columns(Service), columns(TemplateUse), columns(ApiKey), columns(TemplateVersion)
# Neither a join nor EXISTS, which a planner may take for a reason to read all notifications: one look into the index
# for each service, in no order, or it might walk through those of all services.
_ANY = (
    select(_notification.id)
    .where(_notification.service_id == _service.id, _notification.template_id == bindparam("template"))
    .limit(1)
    .scalar_subquery()
)
_SERVICES = select(_service.id, _service.name, _service.from_domains).where(_ANY.is_not(None)).order_by(_service.name)
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, kw_only=True)
class CallingService:
    """A service that has used the template."""

    id: UUID
    name: str
    from_domains: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, without its variables."""

    id: UUID
    version_id: UUID | None
    created_by: str  # actor
    locale: str | None
    from_address: str


async def services(connection: AsyncConnection, template_id: UUID) -> list[CallingService]:
    """List the services that have used the template, by name."""
    rows = await connection.execute(_SERVICES, {"template": template_id})
    return [CallingService(id=row.id, name=row.name, from_domains=tuple(row.from_domains)) for row in rows]


async def newest(connection: AsyncConnection, service_id: UUID, template_id: UUID) -> list[Asked]:
    """List the service's newest requests with the template, newest first; copies of a mail say nothing new."""
    names = (_notification.service_id, _notification.template_id, _notification.id)
    first, last = (_bound(service_id, template_id, id_) for id_ in (_FIRST, _LAST))
    # One row compared with another, and an order by all of it, which only one index can do: see decisions/status-index.
    query = (
        select(*(_notification[name] for name in ("id", "created_by", "locale", "from_address")))
        .add_columns(_notification.template_version_id.label("version_id"))
        .where(tuple_(*names) >= first, tuple_(*names) <= last, _notification.role == Role.TO)
        .order_by(*(name.desc() for name in names))
        .limit(PAYLOADS)
    )
    return [Asked(**row) for row in (await connection.execute(query)).mappings()]


def _bound(*values: UUID) -> Any:
    return tuple_(*(bindparam(None, value, type_=_notification.id.type, unique=True) for value in values))


async def variables(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, str]:
    """Get the variables of these requests as JSON; those whose content was deleted are left out."""
    query = select(_content.notification_id, cast(_content.variables, Text).label("text"))
    rows = await connection.execute(query.where(_content.notification_id.in_(ids)))
    return {row.notification_id: row.text for row in rows}


async def settings(connection: AsyncConnection, versions: Collection[UUID]) -> list[dict[str, Any]]:
    """Get the settings that these versions were published with, in no order."""
    rows = await connection.execute(select(_version.source["settings"]).where(_version.id.in_(versions)))
    return [*rows.scalars()]


async def uses(connection: AsyncConnection, template_id: UUID, since: datetime) -> list[Using]:
    """List the keys that have used the template since then, the latest first."""
    query = (
        select(_use.key_id, _key.name.label("key"), _service.name.label("service"), _use.last_used_at)
        .join(ApiKey, _key.id == _use.key_id)
        .join(Service, _service.id == _use.service_id)
        .where(_use.template_id == template_id, _use.last_used_at >= since)
        .order_by(_use.last_used_at.desc(), _use.key_id)
    )
    return [Using(**row) for row in (await connection.execute(query)).mappings()]


def faults_of(schema: Mapping[str, Any], subject_paths: Iterable[list[str]], values: Mapping[str, Any]) -> list[Fault]:
    """Find what a submit would say about these variables; their size was accepted when they were sent."""
    return faults_in(schema, values) + subject.faults_in(subject_paths, values)


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Hides the variables that people who edit templates must not see."""

    paths: frozenset[tuple[str, ...]]
    names: frozenset[str]  # of keys that the samples have; others may be values themselves

    def applied(self, text: str) -> str:
        """Return the variables as JSON, with each secret value replaced."""
        return msgspec.json.encode(self._masked(msgspec.json.decode(text), ())).decode() if self.paths else text

    def pointer(self, pointer: str) -> str:
        """Cut a pointer below `/variables` where it enters what is secret; `*` stands for any place in a list."""
        tokens: list[str] = []
        path: tuple[str, ...] = ()
        for token in pointer.split("/")[1:]:
            tokens.append("*" if token.isdecimal() else token)
            if len(tokens) > 1 and tokens[-1] != "*":
                path += (token.replace("~1", "/").replace("~0", "~"),)
                if path in self.paths:
                    break
        return "".join(f"/{token}" for token in tokens)

    def _masked(self, value: Any, path: tuple[str, ...]) -> Any:
        if path in self.paths:
            return self._hidden(value)
        if isinstance(value, Mapping):
            return {key: self._masked(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._masked(item, path) for item in value]
        return value

    def _hidden(self, value: Any) -> Any:
        """Return the same shape without the values, so that a template can still iterate over it."""
        if isinstance(value, Mapping):
            return {key: self._hidden(inner) for key, inner in value.items() if key in self.names}
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        return HIDDEN


def mask_of(secret: Collection[str], samples: Sequence[Mapping[str, Any]]) -> Mask:
    """Build the mask for these dotted paths."""
    return Mask(
        paths=frozenset(tuple(path.split(".")) for path in secret),
        names=frozenset(name for sample in samples for name in _names(sample)),
    )


def _names(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set(value).union(*(_names(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_names(item) for item in value))
    return set()

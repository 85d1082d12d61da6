"""Recent requests with a template: the newest of each service, their variables, and the mask of secret ones.

Requests with other templates, copies, and deleted content are not read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Text, bindparam, cast, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import (
    ApiKey,
    Notification,
    NotificationContent,
    Service,
    Template,
    TemplateUse,
    TemplateVersion,
    get_columns,
)
from notifier.states import Role
from notifier.template_language.template_source import TemplateSource
from notifier.templating import version_store
from notifier.templating.version_store import PublishedVersion

MAX_REQUESTS_PER_SERVICE = 200
"""How many requests of each service a draft is tried on, newest first."""
MAX_BATCH_CHARACTERS = 256 * 1024
"""Characters of variables in one batch for a child: more would take as long as a hostile draft."""
HIDDEN = "•••"
"""What is shown in place of a secret value, whatever its type and length."""

_notification, _content = get_columns(Notification), get_columns(NotificationContent)
_template, _version, _use = get_columns(Template), get_columns(TemplateVersion), get_columns(TemplateUse)
_service, _key = get_columns(Service), get_columns(ApiKey)
# One search in the index for each service. With a join or EXISTS a planner may read all notifications, and with an
# ORDER BY it may read those of all services.
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
class RecentRequest:
    """A request, without its variables."""

    id: UUID
    version_id: UUID | None
    created_by: str  # actor
    locale: str | None
    from_address: str


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """A key that has used the template lately."""

    key_id: UUID
    key: str  # its name
    service: str
    last_used_at: datetime  # to within a minute


@dataclass(frozen=True, kw_only=True)
class GateInput:
    """What the gate reads from the database to try a draft."""

    current: PublishedVersion | None = None
    source: TemplateSource | None = None  # of the current version
    settings: Sequence[dict[str, Any]] = ()  # of the versions that were used
    requests: Sequence[tuple[CallingService, list[RecentRequest]]] = ()
    keys: Sequence[KeyUse] = ()

    @property
    def total(self) -> int:
        """How many requests there are."""
        return sum(len(requests) for _, requests in self.requests)


async def load_gate_input(connection: AsyncConnection, slug: str, since: datetime) -> GateInput:
    """Load the current version, recent requests, and the keys that have used the template since then."""
    id_ = (await connection.execute(select(_template.id).where(_template.slug == slug))).scalar_one_or_none()
    if id_ is None:
        return GateInput()
    current = await version_store.get_current_version(connection, slug)
    requests = await _list_by_service(connection, id_, MAX_REQUESTS_PER_SERVICE)
    versions = {request.version_id for _, of_service in requests for request in of_service if request.version_id}
    settings = await connection.execute(select(_version.source["settings"]).where(_version.id.in_(versions)))
    sources = await version_store.get_sources(connection, [current.id]) if current else {}
    return GateInput(
        current=current,
        source=sources[current.id] if current else None,
        settings=[*settings.scalars()],
        requests=requests,
        keys=await _list_key_uses(connection, id_, since),
    )


async def list_newest_requests(
    connection: AsyncConnection, slug: str, limit: int
) -> list[tuple[CallingService, list[RecentRequest]]]:
    """List the newest requests of each service with the template, at most `limit` of each."""
    id_ = (await connection.execute(select(_template.id).where(_template.slug == slug))).scalar_one_or_none()
    return await _list_by_service(connection, id_, limit) if id_ is not None else []


async def _list_by_service(
    connection: AsyncConnection, template_id: UUID, limit: int
) -> list[tuple[CallingService, list[RecentRequest]]]:
    rows = await connection.execute(_SERVICES, {"template": template_id})
    services = [CallingService(id=row.id, name=row.name, from_domains=tuple(row.from_domains)) for row in rows]
    return [
        (service, await _list_requests_of_service(connection, service.id, template_id, limit)) for service in services
    ]


async def _list_requests_of_service(
    connection: AsyncConnection, service_id: UUID, template_id: UUID, limit: int
) -> list[RecentRequest]:
    """List the service's newest requests with the template, newest first, without copies."""
    names = (_notification.service_id, _notification.template_id, _notification.id)
    first, last = (
        tuple_(*(bindparam(None, value, type_=_notification.id.type, unique=True) for value in row))
        for row in ((service_id, template_id, _FIRST), (service_id, template_id, _LAST))
    )
    # Whole rows are compared and ordered, for which only one index can be used: see decisions/status-index.
    query = (
        select(*(_notification[name] for name in ("id", "created_by", "locale", "from_address")))
        .add_columns(_notification.template_version_id.label("version_id"))
        .where(tuple_(*names) >= first, tuple_(*names) <= last, _notification.role == Role.TO)
        .order_by(*(name.desc() for name in names))
        .limit(limit)
    )
    return [RecentRequest(**row) for row in (await connection.execute(query)).mappings()]


async def get_variables(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, str]:
    """Get the variables of these requests as JSON; those whose content was deleted are left out."""
    query = select(_content.notification_id, cast(_content.variables, Text).label("text"))
    rows = await connection.execute(query.where(_content.notification_id.in_(ids)))
    return {row.notification_id: row.text for row in rows}


async def _list_key_uses(connection: AsyncConnection, template_id: UUID, since: datetime) -> list[KeyUse]:
    query = (
        select(_use.key_id, _key.name.label("key"), _service.name.label("service"), _use.last_used_at)
        .join(ApiKey, _key.id == _use.key_id)
        .join(Service, _service.id == _use.service_id)
        .where(_use.template_id == template_id, _use.last_used_at >= since)
        .order_by(_use.last_used_at.desc(), _use.key_id)
    )
    return [KeyUse(**row) for row in (await connection.execute(query)).mappings()]


def split_batches(requests: Iterable[tuple[RecentRequest, str]]) -> Iterator[list[tuple[RecentRequest, str]]]:
    """Split requests, with their variables, into batches that a child can take at once."""
    batch: list[tuple[RecentRequest, str]] = []
    size = 0
    for request, text in requests:
        if batch and size + len(text) > MAX_BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append((request, text))
        size += len(text)
    if batch:
        yield batch


@dataclass(frozen=True, kw_only=True)
class SecretMask:
    """Hides the secret variables from people who edit templates."""

    paths: frozenset[tuple[str, ...]]
    names: frozenset[str]  # of keys in the samples; other keys may be secret values themselves

    def apply(self, text: str) -> str:
        """Return the variables as JSON, with each secret value replaced."""
        return msgspec.json.encode(self._masked(msgspec.json.decode(text), ())).decode() if self.paths else text

    def mask_pointer(self, pointer: str) -> str:
        """Cut a pointer below `/variables` at the first secret variable; `*` stands for any place in a list."""
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


def build_mask(secret: Collection[str], samples: Sequence[Mapping[str, Any]]) -> SecretMask:
    """Build the mask for these dotted paths."""
    return SecretMask(
        paths=frozenset(tuple(path.split(".")) for path in secret),
        names=frozenset(name for sample in samples for name in _collect_names(sample)),
    )


def _collect_names(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set(value).union(*(_collect_names(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_collect_names(item) for item in value))
    return set()

"""From a draft, or an old version, to the next version: checked, let through the gate, and written.

Nobody's connection is held while it is checked. What is written is what was checked, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.errors import NotFoundError, NotifierError
from notifier.rendering.job import Checked
from notifier.rendering.source import TemplateSource
from notifier.templating import draft, find, form, store
from notifier.templating.look import Checker
from notifier.templating.store import Publication, Published


class GateClosedError(NotifierError):
    """Callers would be refused, or their mail could not be made."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.report = report  # JSON
        super().__init__()


class NothingToPublishError(NotifierError):
    """It is what the current version is."""


class Finding(Protocol):
    """What would become of those who use the template."""

    @property
    def blocks(self) -> bool:
        """True if something that works today would not."""

    def as_json(self) -> dict[str, Any]:
        """All of it, for a person to look at."""


class Gate(Protocol):
    """Tries a draft on what callers really ask for."""

    async def look(self, slug: str, source: TemplateSource, report: Checked, /) -> Finding:
        """What publishing the source would do; `report` is of this very source."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be published."""

    slug: str
    seen: str | None  # None: whatever is there
    version: int | None = None  # an old one that shall be the next; None: the draft
    force_reason: str = ""  # publish though callers would break


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What has passed, and may be written."""

    wanted: Wanted
    source: TemplateSource
    checked: Checked
    finding: Finding


class Publisher:
    """Makes versions."""

    def __init__(self, database: Database, checker: Checker, gate: Gate) -> None:
        self._database = database
        self._checker = checker
        self._gate = gate

    async def examine(self, wanted: Wanted) -> Candidate:
        """Check it and show it to the gate.

        Raises `NotFoundError`, `StaleDraftError`, `TemplateDeletedError`, `NothingToPublishError`, `GateClosedError`,
        and `InvalidRequestError` for what does not render or may not be sent.
        """
        async with self._database.read() as connection:
            there = await draft.look(connection, wanted.slug)
            source = await _source(connection, wanted, there)
            current = await store.current(connection, wanted.slug)
        if current is not None and current.content_hash == source.content_hash():
            raise NothingToPublishError(f"it is the same as version {current.number}, which is current")
        checked = await self._checker.check(source)
        form.require_publishable(checked)
        finding = await self._gate.look(wanted.slug, source, checked)
        if finding.blocks and not wanted.force_reason:
            raise GateClosedError(finding.as_json())
        return Candidate(wanted=wanted, source=source, checked=checked, finding=finding)

    async def publish(self, connection: AsyncConnection, candidate: Candidate, publication: Publication) -> Published:
        """Write it as the next version, if nothing has changed meanwhile. Raises `StaleDraftError`."""
        wanted = candidate.wanted
        there = await draft.look(connection, wanted.slug, lock=True)
        if wanted.seen is not None:
            draft.require(there, wanted.seen)
        return await store.publish(connection, wanted.slug, candidate.source, candidate.checked, publication)


async def _source(connection: AsyncConnection, wanted: Wanted, there: draft.DraftView) -> TemplateSource:
    if wanted.version is not None:
        pinned = (await find.version(connection, wanted.slug, wanted.version)).source
        if wanted.seen is not None:
            draft.require(there, wanted.seen)
        return replace(pinned, strict=True)  # it is published by the rules of today
    if there.source is None:
        raise NotFoundError(f"there is no template {wanted.slug!r}")
    draft.require(there, wanted.seen or "")
    return await draft.assembled(connection, there.source, wanted.slug)

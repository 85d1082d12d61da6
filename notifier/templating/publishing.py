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
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, template_queries, validation, version_store
from notifier.templating.source_preview import SourceChecker
from notifier.templating.version_store import Publication, PublishedVersion


class GateClosedError(NotifierError):
    """Callers would be refused, or their mail could not be made."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.report = report  # JSON
        super().__init__()


class NothingToPublishError(NotifierError):
    """It is what the current version is."""


class GateFinding(Protocol):
    """What would become of those who use the template."""

    @property
    def blocks(self) -> bool:
        """True if something that works today would not."""

    def as_json(self) -> dict[str, Any]:
        """All of it, for a person to look at."""


class DraftGate(Protocol):
    """Tries a draft on what callers really ask for."""

    async def try_source(self, slug: str, source: TemplateSource, report: SourceCheck, /) -> GateFinding:
        """What publishing the source would do; `report` is of this very source."""


@dataclass(frozen=True, kw_only=True)
class PublishRequest:
    """What is to be published."""

    slug: str
    revision: str | None  # None: whatever is there
    version: int | None = None  # an old one that shall be the next; None: the draft
    force_reason: str = ""  # publish though callers would break


@dataclass(frozen=True, kw_only=True)
class PublishCandidate:
    """What has passed, and may be written."""

    request: PublishRequest
    source: TemplateSource
    checked: SourceCheck
    report: GateFinding


class Publisher:
    """Makes versions."""

    def __init__(self, database: Database, checker: SourceChecker, gate: DraftGate) -> None:
        self._database = database
        self._checker = checker
        self._gate = gate

    async def examine(self, wanted: PublishRequest) -> PublishCandidate:
        """Check it and show it to the gate.

        Raises `NotFoundError`, `StaleDraftError`, `TemplateDeletedError`, `NothingToPublishError`, `GateClosedError`,
        and `InvalidRequestError` for what does not render or may not be sent.
        """
        async with self._database.read() as connection:
            there = await draft_store.get_draft(connection, wanted.slug)
            source = await _get_publish_source(connection, wanted, there)
            current = await version_store.get_current_version(connection, wanted.slug)
        if current is not None and current.content_hash == source.content_hash():
            raise NothingToPublishError(f"it is the same as version {current.number}, which is current")
        checked = await self._checker.check(source)
        validation.require_publishable(checked)
        finding = await self._gate.try_source(wanted.slug, source, checked)
        if finding.blocks and not wanted.force_reason:
            raise GateClosedError(finding.as_json())
        return PublishCandidate(request=wanted, source=source, checked=checked, report=finding)

    async def publish(
        self, connection: AsyncConnection, candidate: PublishCandidate, publication: Publication
    ) -> PublishedVersion:
        """Write it as the next version, if nothing has changed meanwhile. Raises `StaleDraftError`."""
        wanted = candidate.request
        there = await draft_store.get_draft(connection, wanted.slug, lock=True)
        if wanted.revision is not None:
            draft_store.require_revision(there, wanted.revision)
        return await version_store.write_version(
            connection, wanted.slug, candidate.source, candidate.checked, publication
        )


async def _get_publish_source(
    connection: AsyncConnection, wanted: PublishRequest, there: draft_store.DraftView
) -> TemplateSource:
    if wanted.version is not None:
        pinned = (await template_queries.get_version(connection, wanted.slug, wanted.version)).source
        if wanted.revision is not None:
            draft_store.require_revision(there, wanted.revision)
        return replace(pinned, strict=True)  # it is published by the rules of today
    if there.source is None:
        raise NotFoundError(f"there is no template {wanted.slug!r}")
    draft_store.require_revision(there, wanted.revision or "")
    return await draft_store.assemble_source(connection, there.source, wanted.slug)

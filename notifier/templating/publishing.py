"""Publishing: a draft, or an old version, is checked, passes the gate, and is written as the next version.

No connection is held while it is checked. Only the checked text is ever written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db.engine import OpenReader
from notifier.errors import NotFoundError, NotifierError
from notifier.rendering.preview_pool import EditorRenderer, PreviewPool
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, template_store, validation, version_store
from notifier.templating.edit_rules import record_template
from notifier.templating.gate_report import GateReport
from notifier.templating.publish_gate import PublishGate
from notifier.templating.version_store import Publication, PublishedVersion


class GateClosedError(NotifierError):
    """The gate has found requests that would be refused, or mails that could not be rendered."""

    def __init__(self, report: Mapping[str, Any], message: str | None = None) -> None:
        self.report = report  # JSON
        super().__init__(message)


class NothingToPublishError(NotifierError):
    """The source is the same as the current version."""


@dataclass(frozen=True, kw_only=True)
class PublishRequest:
    """A request to publish a draft or an old version."""

    slug: str
    revision: str | None  # that the editor has loaded; None: any
    version: int | None = None  # an old version to publish again; None: the draft
    note: str = ""
    force_reason: str = ""  # why it is published although callers would break


@dataclass(frozen=True, kw_only=True)
class PublishCandidate:
    """A checked source that has passed the gate, or is published in spite of its report."""

    request: PublishRequest
    source: TemplateSource
    checked: SourceCheck
    report: GateReport | None  # None: the gate has not tried it


class Publisher:
    """Examines a draft or an old version before it is published."""

    def __init__(self, open_reader: OpenReader, checker: EditorRenderer | PreviewPool, gate: PublishGate) -> None:
        self._open_reader = open_reader
        self._checker = checker
        self._gate = gate

    async def examine(self, request: PublishRequest) -> PublishCandidate:
        """Check the source, and let the gate try it on recent requests.

        Raises `NotFoundError`, `StaleDraftError`, `TemplateDeletedError`, `NothingToPublishError`, `GateClosedError`,
        and `InvalidRequestError` if it does not render or a lint rule forbids it.
        """
        async with self._open_reader() as connection:
            source = await _get_publish_source(connection, request)
            current = await version_store.get_current_version(connection, request.slug)
        if current is not None and current.content_hash == source.content_hash():
            raise NothingToPublishError(f"it is the same as version {current.number}, which is current")
        checked = await self._checker.check(source)
        validation.require_publishable(checked)
        report = await self._gate.try_source(request.slug, source, checked)
        if report.blocks and not request.force_reason:
            raise GateClosedError(report.as_json())
        return PublishCandidate(request=request, source=source, checked=checked, report=report)


async def publish_template(
    connection: AsyncConnection, candidate: PublishCandidate, *, actor: Actor
) -> PublishedVersion:
    """Write the candidate as the next version, if nothing has changed meanwhile. Raises `StaleDraftError`."""
    request = candidate.request
    stored = await draft_store.get_draft(connection, request.slug, lock=True)
    if request.revision is not None:
        draft_store.require_revision(stored, request.revision)
    is_old = request.version is not None
    publication = Publication(by=actor.name, at=actor.at, note=request.note, keeps_draft=is_old)
    version = await version_store.write_version(
        connection, request.slug, candidate.source, candidate.checked, publication
    )
    fields: dict[str, Any] = {"number": version.number, "note": request.note}
    if is_old:
        fields["restored"] = request.version
    if candidate.report is not None and candidate.report.blocks:
        fields["forced"] = request.force_reason
        fields["breaks"] = [outcome.service for outcome in candidate.report.services if outcome.blocks]
    action = AuditAction.TEMPLATE_RESTORED if is_old else AuditAction.TEMPLATE_PUBLISHED
    await record_template(connection, action, (version.template_id, request.slug), actor, **fields)
    return version


async def _get_publish_source(connection: AsyncConnection, request: PublishRequest) -> TemplateSource:
    stored = await draft_store.get_draft(connection, request.slug)
    if request.version is not None:
        pinned = (await template_store.get_version(connection, request.slug, request.version)).source
        if request.revision is not None:
            draft_store.require_revision(stored, request.revision)
        return replace(pinned, strict=True)  # today's rules apply to it
    if stored.source is None:
        raise NotFoundError(f"there is no template {request.slug!r}")
    draft_store.require_revision(stored, request.revision or "")
    draft_store.require_finished(stored)
    return await draft_store.assemble_source(connection, stored.source, request.slug)

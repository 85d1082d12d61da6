"""Publishing: a draft, or an old version, is checked, passes the gate, and is written as the next version.

No connection is held while it is checked. What is written is what was checked, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Action, Doer
from notifier.db.engine import Database
from notifier.errors import NotFoundError, NotifierError
from notifier.rendering.job import Checked
from notifier.rendering.source import TemplateSource
from notifier.templating import draft, find, form, store
from notifier.templating.deed import record_template
from notifier.templating.gate.gate import Gate
from notifier.templating.gate.report import GateReport
from notifier.templating.look import Checker
from notifier.templating.store import Publication, Published


class GateClosedError(NotifierError):
    """Requests would be refused, or their mail could not be rendered."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.report = report  # JSON
        super().__init__()


class NothingToPublishError(NotifierError):
    """It is the same as the current version."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be published."""

    slug: str
    revision: str | None  # that the editor has seen; None: whatever it is now
    version: int | None = None  # an old one that shall be the next; None: the draft
    note: str = ""
    force_reason: str = ""  # publish though callers would break


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What was checked, and passed the gate, or is to be forced through it."""

    request: Wanted
    source: TemplateSource
    checked: Checked
    report: GateReport | None  # None: the gate was not asked


class Publisher:
    """Examines what is to be published."""

    def __init__(self, database: Database, checker: Checker, gate: Gate) -> None:
        self._database = database
        self._checker = checker
        self._gate = gate

    async def examine(self, request: Wanted) -> Candidate:
        """Check it, and let the gate try it on recent requests.

        Raises `NotFoundError`, `StaleDraftError`, `TemplateDeletedError`, `NothingToPublishError`, `GateClosedError`,
        and `InvalidRequestError` for what does not render or may not be sent.
        """
        async with self._database.read() as connection:
            source = await _source(connection, request)
            current = await store.current(connection, request.slug)
        if current is not None and current.content_hash == source.content_hash():
            raise NothingToPublishError(f"it is the same as version {current.number}, which is current")
        checked = await self._checker.check(source)
        form.require_publishable(checked)
        report = await self._gate.look(request.slug, source, checked)
        if report.blocks and not request.force_reason:
            raise GateClosedError(report.as_json())
        return Candidate(request=request, source=source, checked=checked, report=report)


async def publish_template(connection: AsyncConnection, candidate: Candidate, *, actor: Doer) -> Published:
    """Write the candidate as the next version, if nothing has changed meanwhile. Raises `StaleDraftError`."""
    request = candidate.request
    stored = await draft.look(connection, request.slug, lock=True)
    if request.revision is not None:
        draft.require(stored, request.revision)
    is_old = request.version is not None
    publication = Publication(by=actor.actor, at=actor.at, note=request.note, keeps_draft=is_old)
    version = await store.publish(connection, request.slug, candidate.source, candidate.checked, publication)
    fields: dict[str, Any] = {"number": version.number, "note": request.note}
    if is_old:
        fields["restored"] = request.version
    if candidate.report is not None and candidate.report.blocks:
        fields["forced"] = request.force_reason
    action = Action.TEMPLATE_RESTORED if is_old else Action.TEMPLATE_PUBLISHED
    await record_template(connection, action, (version.template_id, request.slug), actor, **fields)
    return version


async def _source(connection: AsyncConnection, request: Wanted) -> TemplateSource:
    stored = await draft.look(connection, request.slug)
    if request.version is not None:
        pinned = (await find.version(connection, request.slug, request.version)).source
        if request.revision is not None:
            draft.require(stored, request.revision)
        return replace(pinned, strict=True)  # it is published by the rules of today
    if stored.source is None:
        raise NotFoundError(f"there is no template {request.slug!r}")
    draft.require(stored, request.revision or "")
    return await draft.assembled(connection, stored.source, request.slug)

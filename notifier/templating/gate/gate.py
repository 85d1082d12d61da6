"""The publish gate: a draft is tried on what callers have really asked for, before any of them meets it.

It says who would be refused, whose mails could not be made, and which mails change and how. It never changes anything,
and a draft that overruns costs no more than its batch and itself.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import address
from notifier.address import InvalidAddressError
from notifier.audit import Action, Doer
from notifier.auth.keys import may_send_from
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import Template, columns
from notifier.errors import Fault
from notifier.rendering.job import Checked, Payload, RenderFault
from notifier.rendering.pool import LARGEST_BATCH, OVERRAN
from notifier.rendering.source import TemplateSource
from notifier.templating import find, store
from notifier.templating.deed import record_template
from notifier.templating.gate import payloads
from notifier.templating.gate import report as gate_report
from notifier.templating.gate.compare import Comparer, Comparison
from notifier.templating.gate.payloads import Asked, CallingService, Mask
from notifier.templating.gate.report import Example, GateReport, Using
from notifier.templating.gate.tally import Counted, Kind, Place, Specimen, Tally, frequent
from notifier.templating.store import Published
from notifier.templating.variable import differing

USED_WITHIN = timedelta(days=30)
MOST_EXAMPLES = 4
"""Kinds of change that are shown, those of most mails first."""
LARGEST_REQUEST = 256 * 1024
"""Characters of values in one request to a child, if it has several: more would take as long as a hostile draft."""
TOO_LONG = "The two versions of this mail take too long to compare."
UNMAKEABLE = "Without its secret values this mail cannot be made, so that there is no difference to show."
ONLY_SECRETS = "It differs in nothing but what depends on secret values."
FAILS_UNSEEN = "it cannot be made of these values; the message might show a secret one"

_template = columns(Template)
Progress = Callable[[int, int], None]
"""Told how many requests were looked at, of how many."""


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """What the draft is tried on."""

    template_id: UUID | None
    current: Published | None
    source: TemplateSource | None  # of the current version
    settings: list[dict[str, Any]]  # of the versions that were asked for
    asked: list[tuple[CallingService, list[Asked]]]
    keys: list[Using]

    @property
    def total(self) -> int:
        """Requests to look at."""
        return sum(len(requests) for _, requests in self.asked)


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """What is tried."""

    source: TemplateSource
    report: Checked
    mask: Mask  # empty for who may see everything
    senders: frozenset[str]  # addresses that a request has in From when it names none itself
    comparison: Comparison


class Gate:
    """Tries drafts on what was asked for."""

    def __init__(self, database: Database, pool: Comparer, clock: Clock, sender: str) -> None:
        self._database = database
        self._pool = pool
        self._clock = clock
        self._sender = sender  # the instance's own From address

    async def look(
        self,
        slug: str,
        source: TemplateSource,
        report: Checked,
        *,
        masked: bool = True,
        progress: Progress | None = None,
    ) -> GateReport:
        """What publishing the source would do; `report` is of this very source. Tells `progress` as it goes on."""
        ground = await self._ground(slug)
        draft = self._draft(source, report, ground, masked=masked)
        kinds: dict[Kind, Counted] = {}
        tallies = [Tally(service=service, mask=draft.mask) for service, _ in ground.asked]
        done = 0
        for tally, (_, requests) in zip(tallies, ground.asked, strict=True):
            for start in range(0, len(requests), LARGEST_BATCH):
                if progress is not None:
                    progress(done, ground.total)
                chunk = requests[start : start + LARGEST_BATCH]
                await self._try(chunk, tally, kinds, draft, ground.current)
                done += len(chunk)
        tried = tuple([tally.result(await self._messages(tally, draft)) for tally in tallies])
        examples = [
            await self._example(kind, counted, draft) for kind, counted in frequent(kinds.items(), MOST_EXAMPLES)
        ]
        if progress is not None:
            progress(done, ground.total)
        current = ground.current
        variables = differing(current.variables_schema if current else {}, report.variables_schema)
        return GateReport(
            slug=slug,
            content_hash=source.content_hash(),
            number=current.number if current else None,
            blocks=any(one.blocks for one in tried),
            reasons=gate_report.sentences(tried),
            looked=sum(one.looked for one in tried),
            changed=sum(one.changed for one in tried),
            services=tried,
            examples=tuple(examples),
            added=variables.added,
            removed=variables.removed,
            altered=variables.altered,
            keys=tuple(ground.keys),
            masked=masked,
        )

    # -- details, in call order -------------------------------------------------------------------

    async def _ground(self, slug: str) -> _Ground:
        async with self._database.read() as connection:
            found = await connection.execute(select(_template.id).where(_template.slug == slug))
            id_: UUID | None = found.scalar_one_or_none()
            if id_ is None:
                return _Ground(template_id=None, current=None, source=None, settings=[], asked=[], keys=[])
            current = await store.current(connection, slug)
            calling = await payloads.services(connection, id_)
            asked = [(service, await payloads.newest(connection, service.id, id_)) for service in calling]
            versions = {one.version_id for _, requests in asked for one in requests if one.version_id is not None}
            sources = await store.sources(connection, [current.id]) if current else {}
            return _Ground(
                template_id=id_,
                current=current,
                source=sources[current.id] if current else None,
                settings=await payloads.settings(connection, versions),
                asked=asked,
                keys=await payloads.uses(connection, id_, self._clock.now() - USED_WITHIN),
            )

    def _draft(self, source: TemplateSource, report: Checked, ground: _Ground, *, masked: bool) -> _Draft:
        after, before = f"draft:{source.content_hash()}", str(ground.current.id) if ground.current else None
        sources = {after: source}
        if ground.source is not None and before is not None:
            sources[before] = ground.source
        # Whatever was secret when it was asked for stays so, whoever takes the mark away.
        marked = [one.get("secret", ()) for one in ground.settings] + [one.settings.secret for one in sources.values()]
        secret = {path for paths in marked for path in paths} if masked else set()
        defaults = [one.get("from") for one in ground.settings] + [ground.current.sender if ground.current else None]
        return _Draft(
            source=source,
            report=report,
            mask=payloads.mask_of(secret, [one.sample for one in sources.values()]),
            senders=frozenset({self._sender, *filter(None, map(_address, defaults))}),
            comparison=Comparison(pool=self._pool, before=before, after=after, sources=sources),
        )

    async def _try(
        self, chunk: Sequence[Asked], tally: Tally, kinds: dict[Kind, Counted], draft: _Draft, current: Published | None
    ) -> None:
        """Some requests of one service: those that would be refused are counted, the others are rendered."""
        async with self._database.read() as connection:
            texts = await payloads.variables(connection, [asked.id for asked in chunk])
        there = [(asked, texts[asked.id]) for asked in chunk if asked.id in texts]
        tally.counts["looked"] += len(there)
        taken = []
        for asked, text in there:
            await asyncio.sleep(0)  # others have a turn; values may be large
            values = msgspec.json.decode(text)
            faults = self._refused(asked, values, draft, tally.service)
            if not faults:
                taken.append((asked, text))
                continue
            today = current is None or self._refused_today(asked, values, current, draft, tally.service)
            tally.refused(asked, faults, today=today)
        for batch in _batches(taken):
            found = await draft.comparison.of([Payload(locale=asked.locale, variables=text) for asked, text in batch])
            for (asked, _), one in zip(batch, found, strict=True):
                tally.compared(asked, one, kinds)

    def _refused(self, asked: Asked, values: Any, draft: _Draft, service: CallingService) -> list[Fault]:
        """What submit would say with the draft."""
        faults = payloads.faults_of(draft.report.variables_schema, draft.report.subject_paths, values)
        return faults + self._sender_fault(asked, draft.source.settings.from_, draft, service)

    def _refused_today(
        self, asked: Asked, values: Any, current: Published, draft: _Draft, service: CallingService
    ) -> bool:
        """True if submit says no without the draft, too."""
        faults = payloads.faults_of(current.variables_schema, current.subject_variables, values)
        return bool(faults or self._sender_fault(asked, current.sender, draft, service))

    def _sender_fault(self, asked: Asked, text: str | None, draft: _Draft, service: CallingService) -> list[Fault]:
        """The service may not send from the template's own address, and its request names no other."""
        sender = _address(text)
        if sender is None or asked.from_address not in draft.senders:
            return []
        if may_send_from(sender, self._sender, service.from_domains):
            return []
        detail = f"the service {service.name} may not send from {address.domain(sender)}, the template's own sender"
        return [Fault("/from", "from_not_allowed", detail)]

    async def _messages(self, tally: Tally, draft: _Draft) -> dict[Place, str]:
        """What is wrong at each place where mails fail, in words without secrets: those of a mail without any."""
        messages = {}
        for place, counted in tally.failing_places():
            fault, _ = tally.failures[place]
            if draft.mask.paths and fault != OVERRAN:
                payload = await self._masked(counted.specimen, draft)
                found = await draft.comparison.diffs(payload) if payload else None
                fault = _unseen(fault, found.after if found else None)
            messages[place] = f"{fault.message} {fault.advice}".rstrip()
        return messages

    async def _example(self, kind: Kind, counted: Counted, draft: _Draft) -> Example:
        locale, changed, _ = kind
        payload = await self._masked(counted.specimen, draft)
        found = await draft.comparison.diffs(payload) if payload else None
        if found is None:
            note = TOO_LONG
        elif found.before or found.after:
            note = UNMAKEABLE
        else:
            note = "" if found.diffs else ONLY_SECRETS
        return Example(
            service=counted.specimen.service,
            locale=locale,
            changed=changed,
            alike=counted.requests,
            diffs=found.diffs if found else {},
            note=note,
        )

    async def _masked(self, specimen: Specimen, draft: _Draft) -> Payload | None:
        """The request's values without the secret ones; None: they were deleted meanwhile."""
        async with self._database.read() as connection:
            texts = await payloads.variables(connection, [specimen.id])
        if specimen.id not in texts:
            return None
        return Payload(locale=specimen.locale, variables=draft.mask.applied(texts[specimen.id]))


async def record_unmasking(connection: AsyncConnection, slug: str, *, actor: Doer) -> None:
    """Record that the actor looks at secret values of recent requests. Raises `NotFoundError`."""
    id_ = (await find.template(connection, slug)).id
    await record_template(connection, Action.TEMPLATE_UNMASKED, (id_, slug), actor)


def _address(text: str | None) -> str | None:
    """The address of a template's own sender; None: there is none, or one that nobody could send from."""
    try:
        return address.with_name(text)[1] if text else None
    except InvalidAddressError:
        return None


def _batches(taken: Iterable[tuple[Asked, str]]) -> Iterator[list[tuple[Asked, str]]]:
    """Runs for one request each."""
    batch: list[tuple[Asked, str]] = []
    size = 0
    for asked, text in taken:
        if batch and size + len(text) > LARGEST_REQUEST:
            yield batch
            batch, size = [], 0
        batch.append((asked, text))
        size += len(text)
    if batch:
        yield batch


def _unseen(fault: RenderFault, masked: RenderFault | None) -> RenderFault:
    """The fault as it is without secret values, if it is the same; else its place alone."""
    if masked is not None and (masked.part, masked.line) == (fault.part, fault.line):
        return masked
    return RenderFault(part=fault.part, line=fault.line, message=FAILS_UNSEEN)

"""The publish gate: a draft is tried on recent requests before it is published.

It reports which requests would be refused, which mails could not be rendered, and which mails change and how. It
changes nothing, and a draft that overruns its time costs no more than its batch and itself.
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
"""Kinds of change that are shown, the most frequent first."""
LARGEST_REQUEST = 256 * 1024
"""Characters of variables in one batch for a child: more would take as long as a hostile draft."""
TOO_LONG = "The two versions of this mail take too long to compare."
UNMAKEABLE = "Without its secret values this mail cannot be made, so that there is no difference to show."
ONLY_SECRETS = "It differs in nothing but what depends on secret values."
FAILS_UNSEEN = "it cannot be made of these values; the message might show a secret one"

_template = columns(Template)
Progress = Callable[[int, int], None]
"""Is called with how many requests were tried, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """What the draft is tried on, as the database has it."""

    template_id: UUID | None
    current: Published | None
    source: TemplateSource | None  # of the current version
    settings: list[dict[str, Any]]  # of the versions that were used
    asked: list[tuple[CallingService, list[Asked]]]
    keys: list[Using]

    @property
    def total(self) -> int:
        """How many requests there are."""
        return sum(len(requests) for _, requests in self.asked)


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """The draft that is tried, and how."""

    source: TemplateSource
    report: Checked
    mask: Mask  # empty for who may see everything
    senders: frozenset[str]  # addresses that a request has in From when it names none itself
    comparison: Comparison


class Gate:
    """Tries drafts on recent requests."""

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
        """Report what publishing the source would do; `report` is of this very source."""
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
        outcomes = tuple([tally.result(await self._messages(tally, draft)) for tally in tallies])
        examples = [await self._example(kind, count, draft) for kind, count in frequent(kinds.items(), MOST_EXAMPLES)]
        if progress is not None:
            progress(done, ground.total)
        current = ground.current
        variables = differing(current.variables_schema if current else {}, report.variables_schema)
        return GateReport(
            slug=slug,
            content_hash=source.content_hash(),
            number=current.number if current else None,
            blocks=any(outcome.blocks for outcome in outcomes),
            reasons=gate_report.sentences(outcomes),
            looked=sum(outcome.looked for outcome in outcomes),
            changed=sum(outcome.changed for outcome in outcomes),
            services=outcomes,
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
            rows = await connection.execute(select(_template.id).where(_template.slug == slug))
            id_: UUID | None = rows.scalar_one_or_none()
            if id_ is None:
                return _Ground(template_id=None, current=None, source=None, settings=[], asked=[], keys=[])
            current = await store.current(connection, slug)
            calling = await payloads.services(connection, id_)
            recent = [(service, await payloads.newest(connection, service.id, id_)) for service in calling]
            requests = [request for _, of_service in recent for request in of_service]
            versions = {request.version_id for request in requests if request.version_id is not None}
            sources = await store.sources(connection, [current.id]) if current else {}
            return _Ground(
                template_id=id_,
                current=current,
                source=sources[current.id] if current else None,
                settings=await payloads.settings(connection, versions),
                asked=recent,
                keys=await payloads.uses(connection, id_, self._clock.now() - USED_WITHIN),
            )

    def _draft(self, source: TemplateSource, report: Checked, ground: _Ground, *, masked: bool) -> _Draft:
        after, before = f"draft:{source.content_hash()}", str(ground.current.id) if ground.current else None
        sources = {after: source}
        if ground.source is not None and before is not None:
            sources[before] = ground.source
        # What was secret at the time of a request stays secret, whoever removes the mark later.
        marked = [settings.get("secret", ()) for settings in ground.settings]
        marked += [source.settings.secret for source in sources.values()]
        secret = {path for paths in marked for path in paths} if masked else set()
        defaults = [settings.get("from") for settings in ground.settings]
        defaults.append(ground.current.sender if ground.current else None)
        return _Draft(
            source=source,
            report=report,
            mask=payloads.mask_of(secret, [source.sample for source in sources.values()]),
            senders=frozenset({self._sender, *filter(None, map(_address, defaults))}),
            comparison=Comparison(pool=self._pool, before=before, after=after, sources=sources),
        )

    async def _try(
        self, chunk: Sequence[Asked], tally: Tally, kinds: dict[Kind, Counted], draft: _Draft, current: Published | None
    ) -> None:
        """Try some requests of one service: those that would be refused are counted, the others are rendered."""
        async with self._database.read() as connection:
            texts = await payloads.variables(connection, [request.id for request in chunk])
        requests = [(request, texts[request.id]) for request in chunk if request.id in texts]
        tally.counts["looked"] += len(requests)
        accepted = []
        for request, text in requests:
            await asyncio.sleep(0)  # let other tasks run: the variables may be large
            values = msgspec.json.decode(text)
            faults = self._refused(request, values, draft, tally.service)
            if not faults:
                accepted.append((request, text))
                continue
            today = current is None or self._refused_today(request, values, current, draft, tally.service)
            tally.refused(request, faults, today=today)
        for batch in _batches(accepted):
            batch_payloads = [Payload(locale=request.locale, variables=text) for request, text in batch]
            results = await draft.comparison.of(batch_payloads)
            for (request, _), result in zip(batch, results, strict=True):
                tally.compared(request, result, kinds)

    def _refused(self, request: Asked, values: Any, draft: _Draft, service: CallingService) -> list[Fault]:
        """Find why a submit would refuse the request with the draft."""
        faults = payloads.faults_of(draft.report.variables_schema, draft.report.subject_paths, values)
        return faults + self._sender_fault(request, draft.source.settings.from_, draft, service)

    def _refused_today(
        self, request: Asked, values: Any, current: Published, draft: _Draft, service: CallingService
    ) -> bool:
        """Whether a submit refuses the request without the draft, too."""
        faults = payloads.faults_of(current.variables_schema, current.subject_variables, values)
        return bool(faults or self._sender_fault(request, current.sender, draft, service))

    def _sender_fault(self, request: Asked, text: str | None, draft: _Draft, service: CallingService) -> list[Fault]:
        """Find whether the service may not send from the template's own address, and its request names no other."""
        sender = _address(text)
        if sender is None or request.from_address not in draft.senders:
            return []
        if may_send_from(sender, self._sender, service.from_domains):
            return []
        detail = f"the service {service.name} may not send from {address.domain(sender)}, the template's own sender"
        return [Fault("/from", "from_not_allowed", detail)]

    async def _messages(self, tally: Tally, draft: _Draft) -> dict[Place, str]:
        """Describe each place where rendering fails, in the words of a mail without secret values."""
        messages = {}
        for place, count in tally.failing_places():
            fault, _ = tally.failures[place]
            if draft.mask.paths and fault != OVERRAN:
                payload = await self._masked(count.specimen, draft)
                result = await draft.comparison.diffs(payload) if payload else None
                fault = _unseen(fault, result.after if result else None)
            messages[place] = f"{fault.message} {fault.advice}".rstrip()
        return messages

    async def _example(self, kind: Kind, count: Counted, draft: _Draft) -> Example:
        locale, changed, _ = kind
        payload = await self._masked(count.specimen, draft)
        result = await draft.comparison.diffs(payload) if payload else None
        if result is None:
            note = TOO_LONG
        elif result.before or result.after:
            note = UNMAKEABLE
        else:
            note = "" if result.diffs else ONLY_SECRETS
        return Example(
            service=count.specimen.service,
            locale=locale,
            changed=changed,
            alike=count.requests,
            diffs=result.diffs if result else {},
            note=note,
        )

    async def _masked(self, specimen: Specimen, draft: _Draft) -> Payload | None:
        """Load the variables of a request without the secret ones; None: they were deleted meanwhile."""
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
    """Parse the address of a template's own sender; None: there is none, or it is invalid."""
    try:
        return address.with_name(text)[1] if text else None
    except InvalidAddressError:
        return None


def _batches(requests: Iterable[tuple[Asked, str]]) -> Iterator[list[tuple[Asked, str]]]:
    """Split the requests into batches that a child can take at once."""
    batch: list[tuple[Asked, str]] = []
    size = 0
    for request, text in requests:
        if batch and size + len(text) > LARGEST_REQUEST:
            yield batch
            batch, size = [], 0
        batch.append((request, text))
        size += len(text)
    if batch:
        yield batch


def _unseen(fault: RenderFault, masked: RenderFault | None) -> RenderFault:
    """Return the fault of the masked mail if it is at the same place; else the place without the message."""
    if masked is not None and (masked.part, masked.line) == (fault.part, fault.line):
        return masked
    return RenderFault(part=fault.part, line=fault.line, message=FAILS_UNSEEN)

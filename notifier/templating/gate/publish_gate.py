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

from notifier import email_address
from notifier.audit import Actor, AuditAction
from notifier.auth.service_admin import may_send_from
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import Template, get_columns
from notifier.email_address import InvalidAddressError
from notifier.errors import Fault
from notifier.rendering.pool import MAX_BATCH_MAILS, TOO_SLOW_FAULT
from notifier.rendering.protocol import MailVariables, SourceCheck
from notifier.template_language.render_fault import RenderFault
from notifier.template_language.template_source import TemplateSource
from notifier.templating import template_queries, version_store
from notifier.templating.audit_records import record_template
from notifier.templating.gate import gate_report, recent_requests
from notifier.templating.gate.gate_report import GateReport, KeyUse, MailExample
from notifier.templating.gate.outcome_counts import (
    ChangeKind,
    FailurePlace,
    RequestCount,
    SampleRequest,
    ServiceTally,
    sort_by_frequency,
)
from notifier.templating.gate.recent_requests import CallingService, RecentRequest, SecretMask
from notifier.templating.gate.version_comparison import MailComparer, VersionComparison
from notifier.templating.variable_diff import compare_variables
from notifier.templating.version_store import PublishedVersion

KEY_USE_PERIOD = timedelta(days=30)
MAX_EXAMPLES = 4
"""Kinds of change that are shown, the most frequent first."""
MAX_REQUEST_CHARACTERS = 256 * 1024
"""Characters of variables in one batch for a child: more would take as long as a hostile draft."""
TOO_LONG = "The two versions of this mail take too long to compare."
UNMAKEABLE = "Without its secret values this mail cannot be made, so that there is no difference to show."
ONLY_SECRETS = "It differs in nothing but what depends on secret values."
FAILS_UNSEEN = "it cannot be made of these values; the message might show a secret one"

_template = get_columns(Template)
ProgressCallback = Callable[[int, int], None]
"""Is called with how many requests were tried, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class _GateInput:
    """What the draft is tried on, as the database has it."""

    template_id: UUID | None
    current: PublishedVersion | None
    source: TemplateSource | None  # of the current version
    settings: list[dict[str, Any]]  # of the versions that were used
    requests: list[tuple[CallingService, list[RecentRequest]]]
    keys: list[KeyUse]

    @property
    def total(self) -> int:
        """How many requests there are."""
        return sum(len(requests) for _, requests in self.requests)


@dataclass(frozen=True, kw_only=True)
class _TriedDraft:
    """The draft that is tried, and how."""

    source: TemplateSource
    report: SourceCheck
    mask: SecretMask  # empty for who may see everything
    senders: frozenset[str]  # addresses that a request has in From when it names none itself
    comparison: VersionComparison


class PublishGate:
    """Tries drafts on recent requests."""

    def __init__(self, database: Database, pool: MailComparer, clock: Clock, sender: str) -> None:
        self._database = database
        self._pool = pool
        self._clock = clock
        self._sender = sender  # the instance's own From address

    async def try_source(
        self,
        slug: str,
        source: TemplateSource,
        report: SourceCheck,
        *,
        masked: bool = True,
        progress: ProgressCallback | None = None,
    ) -> GateReport:
        """Report what publishing the source would do; `report` is of this very source."""
        ground = await self._load_input(slug)
        draft = self._prepare_draft(source, report, ground, masked=masked)
        kinds: dict[ChangeKind, RequestCount] = {}
        tallies = [ServiceTally(service=service, mask=draft.mask) for service, _ in ground.requests]
        done = 0
        for tally, (_, requests) in zip(tallies, ground.requests, strict=True):
            for start in range(0, len(requests), MAX_BATCH_MAILS):
                if progress is not None:
                    progress(done, ground.total)
                chunk = requests[start : start + MAX_BATCH_MAILS]
                await self._try_requests(chunk, tally, kinds, draft, ground.current)
                done += len(chunk)
        outcomes = tuple([tally.build_outcome(await self._describe_failures(tally, draft)) for tally in tallies])
        examples = [
            await self._build_example(kind, count, draft)
            for kind, count in sort_by_frequency(kinds.items(), MAX_EXAMPLES)
        ]
        if progress is not None:
            progress(done, ground.total)
        current = ground.current
        variables = compare_variables(current.variables_schema if current else {}, report.variables_schema)
        return GateReport(
            slug=slug,
            content_hash=source.content_hash(),
            number=current.number if current else None,
            blocks=any(outcome.blocks for outcome in outcomes),
            reasons=gate_report.format_reasons(outcomes),
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

    async def _load_input(self, slug: str) -> _GateInput:
        async with self._database.read() as connection:
            rows = await connection.execute(select(_template.id).where(_template.slug == slug))
            id_: UUID | None = rows.scalar_one_or_none()
            if id_ is None:
                return _GateInput(template_id=None, current=None, source=None, settings=[], requests=[], keys=[])
            current = await version_store.get_current_version(connection, slug)
            calling = await recent_requests.list_calling_services(connection, id_)
            recent = [
                (service, await recent_requests.list_newest_requests(connection, service.id, id_))
                for service in calling
            ]
            requests = [request for _, of_service in recent for request in of_service]
            versions = {request.version_id for request in requests if request.version_id is not None}
            sources = await version_store.get_sources(connection, [current.id]) if current else {}
            return _GateInput(
                template_id=id_,
                current=current,
                source=sources[current.id] if current else None,
                settings=await recent_requests.get_version_settings(connection, versions),
                requests=recent,
                keys=await recent_requests.list_key_uses(connection, id_, self._clock.now() - KEY_USE_PERIOD),
            )

    def _prepare_draft(
        self, source: TemplateSource, report: SourceCheck, ground: _GateInput, *, masked: bool
    ) -> _TriedDraft:
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
        return _TriedDraft(
            source=source,
            report=report,
            mask=recent_requests.build_mask(secret, [source.sample for source in sources.values()]),
            senders=frozenset({self._sender, *filter(None, map(_parse_address, defaults))}),
            comparison=VersionComparison(pool=self._pool, before=before, after=after, sources=sources),
        )

    async def _try_requests(
        self,
        chunk: Sequence[RecentRequest],
        tally: ServiceTally,
        kinds: dict[ChangeKind, RequestCount],
        draft: _TriedDraft,
        current: PublishedVersion | None,
    ) -> None:
        """Try some requests of one service: those that would be refused are counted, the others are rendered."""
        async with self._database.read() as connection:
            texts = await recent_requests.get_variables(connection, [request.id for request in chunk])
        requests = [(request, texts[request.id]) for request in chunk if request.id in texts]
        tally.counts["looked"] += len(requests)
        accepted = []
        for request, text in requests:
            await asyncio.sleep(0)  # let other tasks run: the variables may be large
            values = msgspec.json.decode(text)
            faults = self._find_refusals(request, values, draft, tally.service)
            if not faults:
                accepted.append((request, text))
                continue
            today = current is None or self._is_refused_today(request, values, current, draft, tally.service)
            tally.count_refused(request, faults, today=today)
        for batch in _split_batches(accepted):
            batch_payloads = [MailVariables(locale=request.locale, variables=text) for request, text in batch]
            results = await draft.comparison.compare(batch_payloads)
            for (request, _), result in zip(batch, results, strict=True):
                tally.count_compared(request, result, kinds)

    def _find_refusals(
        self, request: RecentRequest, values: Any, draft: _TriedDraft, service: CallingService
    ) -> list[Fault]:
        """Find why a submit would refuse the request with the draft."""
        faults = recent_requests.find_value_faults(draft.report.variables_schema, draft.report.subject_paths, values)
        return faults + self._find_sender_faults(request, draft.source.settings.from_, draft, service)

    def _is_refused_today(
        self,
        request: RecentRequest,
        values: Any,
        current: PublishedVersion,
        draft: _TriedDraft,
        service: CallingService,
    ) -> bool:
        """Whether a submit refuses the request without the draft, too."""
        faults = recent_requests.find_value_faults(current.variables_schema, current.subject_variables, values)
        return bool(faults or self._find_sender_faults(request, current.sender, draft, service))

    def _find_sender_faults(
        self, request: RecentRequest, text: str | None, draft: _TriedDraft, service: CallingService
    ) -> list[Fault]:
        """Find whether the service may not send from the template's own address, and its request names no other."""
        sender = _parse_address(text)
        if sender is None or request.from_address not in draft.senders:
            return []
        if may_send_from(sender, self._sender, service.from_domains):
            return []
        domain = email_address.get_address_domain(sender)
        detail = f"the service {service.name} may not send from {domain}, the template's own sender"
        return [Fault("/from", "from_not_allowed", detail)]

    async def _describe_failures(self, tally: ServiceTally, draft: _TriedDraft) -> dict[FailurePlace, str]:
        """Describe each place where rendering fails, in the words of a mail without secret values."""
        messages = {}
        for place, count in tally.list_failing_places():
            fault, _ = tally.failures[place]
            if draft.mask.paths and fault != TOO_SLOW_FAULT:
                payload = await self._load_masked(count.specimen, draft)
                result = await draft.comparison.compare_with_diffs(payload) if payload else None
                fault = _hide_values(fault, result.after if result else None)
            messages[place] = f"{fault.message} {fault.advice}".rstrip()
        return messages

    async def _build_example(self, kind: ChangeKind, count: RequestCount, draft: _TriedDraft) -> MailExample:
        locale, changed, _ = kind
        payload = await self._load_masked(count.specimen, draft)
        result = await draft.comparison.compare_with_diffs(payload) if payload else None
        if result is None:
            note = TOO_LONG
        elif result.before or result.after:
            note = UNMAKEABLE
        else:
            note = "" if result.diffs else ONLY_SECRETS
        return MailExample(
            service=count.specimen.service,
            locale=locale,
            changed=changed,
            alike=count.requests,
            diffs=result.diffs if result else {},
            note=note,
        )

    async def _load_masked(self, specimen: SampleRequest, draft: _TriedDraft) -> MailVariables | None:
        """Load the variables of a request without the secret ones; None: they were deleted meanwhile."""
        async with self._database.read() as connection:
            texts = await recent_requests.get_variables(connection, [specimen.id])
        if specimen.id not in texts:
            return None
        return MailVariables(locale=specimen.locale, variables=draft.mask.apply(texts[specimen.id]))


async def record_unmasking(connection: AsyncConnection, slug: str, *, actor: Actor) -> None:
    """Record that the actor looks at secret values of recent requests. Raises `NotFoundError`."""
    id_ = (await template_queries.get_template(connection, slug)).id
    await record_template(connection, AuditAction.TEMPLATE_UNMASKED, (id_, slug), actor)


def _parse_address(text: str | None) -> str | None:
    """Parse the address of a template's own sender; None: there is none, or it is invalid."""
    try:
        return email_address.parse_named_address(text)[1] if text else None
    except InvalidAddressError:
        return None


def _split_batches(requests: Iterable[tuple[RecentRequest, str]]) -> Iterator[list[tuple[RecentRequest, str]]]:
    """Split the requests into batches that a child can take at once."""
    batch: list[tuple[RecentRequest, str]] = []
    size = 0
    for request, text in requests:
        if batch and size + len(text) > MAX_REQUEST_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append((request, text))
        size += len(text)
    if batch:
        yield batch


def _hide_values(fault: RenderFault, masked: RenderFault | None) -> RenderFault:
    """Return the fault of the masked mail if it is at the same place; else the place without the message."""
    if masked is not None and (masked.part, masked.line) == (fault.part, fault.line):
        return masked
    return RenderFault(part=fault.part, line=fault.line, message=FAILS_UNSEEN)

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

from notifier import email_address
from notifier.auth.service_admin import may_send_from
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import Template, get_columns
from notifier.email_address import InvalidAddressError
from notifier.errors import Fault
from notifier.rendering.pool import MAX_BATCH_MAILS, TOO_SLOW_FAULT
from notifier.rendering.protocol import MailVariables, RenderFault, SourceCheck
from notifier.template_language.template_source import TemplateSource
from notifier.templating import version_store
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
"""Kinds of change that are shown, those of most mails first."""
MAX_REQUEST_CHARACTERS = 256 * 1024
"""Characters of values in one request to a child, if it has several: more would take as long as a hostile draft."""
TOO_LONG = "The two versions of this mail take too long to compare."
UNMAKEABLE = "Without its secret values this mail cannot be made, so that there is no difference to show."
ONLY_SECRETS = "It differs in nothing but what depends on secret values."
FAILS_UNSEEN = "it cannot be made of these values; the message might show a secret one"

_template = get_columns(Template)
ProgressCallback = Callable[[int, int], None]
"""Told how many requests were looked at, of how many."""


@dataclass(frozen=True, kw_only=True)
class _GateInput:
    """What the draft is tried on."""

    template_id: UUID | None
    current: PublishedVersion | None
    source: TemplateSource | None  # of the current version
    settings: list[dict[str, Any]]  # of the versions that were asked for
    requests: list[tuple[CallingService, list[RecentRequest]]]
    keys: list[KeyUse]

    @property
    def total(self) -> int:
        """Requests to look at."""
        return sum(len(requests) for _, requests in self.requests)


@dataclass(frozen=True, kw_only=True)
class _TriedDraft:
    """What is tried."""

    source: TemplateSource
    report: SourceCheck
    mask: SecretMask  # empty for who may see everything
    senders: frozenset[str]  # addresses that a request has in From when it names none itself
    comparison: VersionComparison


class PublishGate:
    """Tries drafts on what was asked for."""

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
        """What publishing the source would do; `report` is of this very source. Tells `progress` as it goes on."""
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
        tried = tuple([tally.build_outcome(await self._describe_failures(tally, draft)) for tally in tallies])
        examples = [
            await self._build_example(kind, counted, draft)
            for kind, counted in sort_by_frequency(kinds.items(), MAX_EXAMPLES)
        ]
        if progress is not None:
            progress(done, ground.total)
        current = ground.current
        variables = compare_variables(current.variables_schema if current else {}, report.variables_schema)
        return GateReport(
            slug=slug,
            content_hash=source.content_hash(),
            number=current.number if current else None,
            blocks=any(one.blocks for one in tried),
            reasons=gate_report.format_reasons(tried),
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

    async def _load_input(self, slug: str) -> _GateInput:
        async with self._database.read() as connection:
            found = await connection.execute(select(_template.id).where(_template.slug == slug))
            id_: UUID | None = found.scalar_one_or_none()
            if id_ is None:
                return _GateInput(template_id=None, current=None, source=None, settings=[], requests=[], keys=[])
            current = await version_store.get_current_version(connection, slug)
            calling = await recent_requests.list_calling_services(connection, id_)
            asked = [
                (service, await recent_requests.list_newest_requests(connection, service.id, id_))
                for service in calling
            ]
            versions = {one.version_id for _, requests in asked for one in requests if one.version_id is not None}
            sources = await version_store.get_sources(connection, [current.id]) if current else {}
            return _GateInput(
                template_id=id_,
                current=current,
                source=sources[current.id] if current else None,
                settings=await recent_requests.get_version_settings(connection, versions),
                requests=asked,
                keys=await recent_requests.list_key_uses(connection, id_, self._clock.now() - KEY_USE_PERIOD),
            )

    def _prepare_draft(
        self, source: TemplateSource, report: SourceCheck, ground: _GateInput, *, masked: bool
    ) -> _TriedDraft:
        after, before = f"draft:{source.content_hash()}", str(ground.current.id) if ground.current else None
        sources = {after: source}
        if ground.source is not None and before is not None:
            sources[before] = ground.source
        # Whatever was secret when it was asked for stays so, whoever takes the mark away.
        marked = [one.get("secret", ()) for one in ground.settings] + [one.settings.secret for one in sources.values()]
        secret = {path for paths in marked for path in paths} if masked else set()
        defaults = [one.get("from") for one in ground.settings] + [ground.current.sender if ground.current else None]
        return _TriedDraft(
            source=source,
            report=report,
            mask=recent_requests.build_mask(secret, [one.sample for one in sources.values()]),
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
        """Some requests of one service: those that would be refused are counted, the others are rendered."""
        async with self._database.read() as connection:
            texts = await recent_requests.get_variables(connection, [asked.id for asked in chunk])
        there = [(asked, texts[asked.id]) for asked in chunk if asked.id in texts]
        tally.counts["looked"] += len(there)
        taken = []
        for asked, text in there:
            await asyncio.sleep(0)  # others have a turn; values may be large
            values = msgspec.json.decode(text)
            faults = self._find_refusals(asked, values, draft, tally.service)
            if not faults:
                taken.append((asked, text))
                continue
            today = current is None or self._is_refused_today(asked, values, current, draft, tally.service)
            tally.count_refused(asked, faults, today=today)
        for batch in _split_batches(taken):
            found = await draft.comparison.compare(
                [MailVariables(locale=asked.locale, variables=text) for asked, text in batch]
            )
            for (asked, _), one in zip(batch, found, strict=True):
                tally.count_compared(asked, one, kinds)

    def _find_refusals(
        self, asked: RecentRequest, values: Any, draft: _TriedDraft, service: CallingService
    ) -> list[Fault]:
        """What submit would say with the draft."""
        faults = recent_requests.find_value_faults(draft.report.variables_schema, draft.report.subject_paths, values)
        return faults + self._find_sender_faults(asked, draft.source.settings.from_, draft, service)

    def _is_refused_today(
        self, asked: RecentRequest, values: Any, current: PublishedVersion, draft: _TriedDraft, service: CallingService
    ) -> bool:
        """True if submit says no without the draft, too."""
        faults = recent_requests.find_value_faults(current.variables_schema, current.subject_variables, values)
        return bool(faults or self._find_sender_faults(asked, current.sender, draft, service))

    def _find_sender_faults(
        self, asked: RecentRequest, text: str | None, draft: _TriedDraft, service: CallingService
    ) -> list[Fault]:
        """The service may not send from the template's own address, and its request names no other."""
        sender = _parse_address(text)
        if sender is None or asked.from_address not in draft.senders:
            return []
        if may_send_from(sender, self._sender, service.from_domains):
            return []
        detail = f"the service {service.name} may not send from {email_address.get_address_domain(sender)}, the template's own sender"
        return [Fault("/from", "from_not_allowed", detail)]

    async def _describe_failures(self, tally: ServiceTally, draft: _TriedDraft) -> dict[FailurePlace, str]:
        """What is wrong at each place where mails fail, in words without secrets: those of a mail without any."""
        messages = {}
        for place, counted in tally.list_failing_places():
            fault, _ = tally.failures[place]
            if draft.mask.paths and fault != TOO_SLOW_FAULT:
                payload = await self._load_masked(counted.specimen, draft)
                found = await draft.comparison.compare_with_diffs(payload) if payload else None
                fault = _hide_values(fault, found.after if found else None)
            messages[place] = f"{fault.message} {fault.advice}".rstrip()
        return messages

    async def _build_example(self, kind: ChangeKind, counted: RequestCount, draft: _TriedDraft) -> MailExample:
        locale, changed, _ = kind
        payload = await self._load_masked(counted.specimen, draft)
        found = await draft.comparison.compare_with_diffs(payload) if payload else None
        if found is None:
            note = TOO_LONG
        elif found.before or found.after:
            note = UNMAKEABLE
        else:
            note = "" if found.diffs else ONLY_SECRETS
        return MailExample(
            service=counted.specimen.service,
            locale=locale,
            changed=changed,
            alike=counted.requests,
            diffs=found.diffs if found else {},
            note=note,
        )

    async def _load_masked(self, specimen: SampleRequest, draft: _TriedDraft) -> MailVariables | None:
        """The request's values without the secret ones; None: they were deleted meanwhile."""
        async with self._database.read() as connection:
            texts = await recent_requests.get_variables(connection, [specimen.id])
        if specimen.id not in texts:
            return None
        return MailVariables(locale=specimen.locale, variables=draft.mask.apply(texts[specimen.id]))


def _parse_address(text: str | None) -> str | None:
    """The address of a template's own sender; None: there is none, or one that nobody could send from."""
    try:
        return email_address.parse_named_address(text)[1] if text else None
    except InvalidAddressError:
        return None


def _split_batches(taken: Iterable[tuple[RecentRequest, str]]) -> Iterator[list[tuple[RecentRequest, str]]]:
    """Runs for one request each."""
    batch: list[tuple[RecentRequest, str]] = []
    size = 0
    for asked, text in taken:
        if batch and size + len(text) > MAX_REQUEST_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append((asked, text))
        size += len(text)
    if batch:
        yield batch


def _hide_values(fault: RenderFault, masked: RenderFault | None) -> RenderFault:
    """The fault as it is without secret values, if it is the same; else its place alone."""
    if masked is not None and (masked.part, masked.line) == (fault.part, fault.line):
        return masked
    return RenderFault(part=fault.part, line=fault.line, message=FAILS_UNSEEN)

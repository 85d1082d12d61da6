"""The publish gate: a draft is tried on recent requests before it is published.

It reports which requests would be refused, which mails could not be rendered, and which mails change and how. It
changes nothing, and a draft that overruns its time costs no more than its batch and itself.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.audit import Actor, AuditAction
from notifier.auth.authenticated_key import may_send_from
from notifier.clock import Clock
from notifier.db.engine import OpenReader
from notifier.email_address import InvalidAddressError
from notifier.errors import Fault
from notifier.rendering import subject_values
from notifier.rendering.pool import MAX_BATCH_MAILS, TOO_SLOW_FAULT, RenderingPool
from notifier.rendering.preview_pool import PreviewPool
from notifier.rendering.protocol import MailVariables, SourceCheck
from notifier.template_language.template_source import RenderFault, TemplateSource
from notifier.template_language.variable_schema import find_variable_faults
from notifier.templating import recent_requests, template_store
from notifier.templating.edit_rules import record_template
from notifier.templating.gate_report import (
    ChangeKind,
    FailurePlace,
    GateReport,
    MailExample,
    RequestCount,
    ServiceTally,
    sort_by_frequency,
)
from notifier.templating.mail_comparison import VersionComparison
from notifier.templating.recent_requests import CallingService, GateInput, RecentRequest, SecretMask
from notifier.templating.source_diff import compare_variables

KEY_USE_PERIOD = timedelta(days=30)
MAX_EXAMPLES = 4
"""Kinds of change that are shown, the most frequent first."""
TOO_LONG = "The two versions of this mail take too long to compare."
UNMAKEABLE = "Without its secret values this mail cannot be rendered, so no difference is shown."
ONLY_SECRETS = "Only parts that depend on secret values differ."
FAILS_UNSEEN = "it cannot be rendered with these values; the message is hidden, because it may show a secret value"

ProgressCallback = Callable[[int, int], None]
"""Gets the number of requests that were tried, and of all."""


@dataclass(frozen=True, kw_only=True)
class _SubmitRules:
    schema: Mapping[str, Any]
    subject_paths: list[list[str]]
    sender: str | None  # the template's own


@dataclass(frozen=True, kw_only=True)
class _TriedDraft:
    rules: _SubmitRules
    current_rules: _SubmitRules | None  # None: nothing is published
    mask: SecretMask  # empty for a caller who may see secret values
    senders: frozenset[str]  # From addresses of requests that name no sender themselves
    comparison: VersionComparison


class PublishGate:
    """Tries drafts on recent requests."""

    def __init__(self, open_reader: OpenReader, pool: PreviewPool | RenderingPool, clock: Clock, sender: str) -> None:
        self._open_reader = open_reader
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
        async with self._open_reader() as connection:
            stored = await recent_requests.load_gate_input(connection, slug, self._clock.now() - KEY_USE_PERIOD)
        draft = self._prepare_draft(source, report, stored, masked=masked)
        kinds: dict[ChangeKind, RequestCount] = {}
        tallies = [ServiceTally(service=service, mask=draft.mask) for service, _ in stored.requests]
        done = 0
        for tally, (_, requests) in zip(tallies, stored.requests, strict=True):
            for start in range(0, len(requests), MAX_BATCH_MAILS):
                if progress is not None:
                    progress(done, stored.total)
                chunk = requests[start : start + MAX_BATCH_MAILS]
                await self._try_requests(chunk, tally, kinds, draft)
                done += len(chunk)
        outcomes = tuple([tally.build_outcome(await self._describe_failures(tally, draft)) for tally in tallies])
        examples = [
            await self._build_example(kind, count, draft)
            for kind, count in sort_by_frequency(kinds.items(), MAX_EXAMPLES)
        ]
        if progress is not None:
            progress(done, stored.total)
        current = stored.current
        variables = compare_variables(current.variables_schema if current else {}, report.variables_schema)
        return GateReport(
            slug=slug,
            content_hash=source.content_hash(),
            number=current.number if current else None,
            blocks=any(outcome.blocks for outcome in outcomes),
            reasons=tuple(outcome.reason for outcome in outcomes if outcome.blocks),
            looked=sum(outcome.looked for outcome in outcomes),
            changed=sum(outcome.changed for outcome in outcomes),
            services=outcomes,
            examples=tuple(examples),
            added=variables.added,
            removed=variables.removed,
            altered=variables.altered,
            keys=tuple(stored.keys),
            masked=masked,
        )

    # -- details, in call order -------------------------------------------------------------------

    def _prepare_draft(
        self, source: TemplateSource, report: SourceCheck, stored: GateInput, *, masked: bool
    ) -> _TriedDraft:
        current = stored.current
        after, before = f"draft:{source.content_hash()}", str(current.id) if current else None
        sources = {after: source}
        if stored.source is not None and before is not None:
            sources[before] = stored.source
        # A value that was secret at the time of a request stays secret, even if its mark is removed later.
        marked = [settings.get("secret", ()) for settings in stored.settings]
        marked += [source.settings.secret for source in sources.values()]
        secret = {path for paths in marked for path in paths} if masked else set()
        rules = _SubmitRules(
            schema=report.variables_schema, subject_paths=report.subject_paths, sender=source.settings.from_
        )
        current_rules = None
        if current is not None:
            paths = current.subject_variables
            current_rules = _SubmitRules(schema=current.variables_schema, subject_paths=paths, sender=current.sender)
        defaults = [settings.get("from") for settings in stored.settings]
        defaults.append(current.sender if current else None)
        return _TriedDraft(
            rules=rules,
            current_rules=current_rules,
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
    ) -> None:
        """Try some requests of one service: those that would be refused are counted, the others are rendered."""
        async with self._open_reader() as connection:
            texts = await recent_requests.get_variables(connection, [request.id for request in chunk])
        requests = [(request, texts[request.id]) for request in chunk if request.id in texts]
        tally.counts["looked"] += len(requests)
        accepted = []
        for request, text in requests:
            await asyncio.sleep(0)  # the variables may be large: let other tasks run
            values = msgspec.json.decode(text)
            faults = self._find_refusals(request, values, draft.rules, draft, tally.service)
            if not faults:
                accepted.append((request, text))
                continue
            rules = draft.current_rules
            today = rules is None or bool(self._find_refusals(request, values, rules, draft, tally.service))
            tally.count_refused(request, faults, today=today)
        for batch in recent_requests.split_batches(accepted):
            batch_payloads = [MailVariables(locale=request.locale, variables=text) for request, text in batch]
            results = await draft.comparison.compare(batch_payloads)
            for (request, _), result in zip(batch, results, strict=True):
                tally.count_compared(request, result, kinds)

    def _find_refusals(
        self, request: RecentRequest, values: Any, rules: _SubmitRules, draft: _TriedDraft, service: CallingService
    ) -> list[Fault]:
        """Find why a submit would refuse the request, by the rules of the draft or of the current version."""
        faults = find_variable_faults(rules.schema, values)
        faults += subject_values.find_subject_faults(rules.subject_paths, values)
        sender = _parse_address(rules.sender)
        if sender is None or request.from_address not in draft.senders:  # the request names its own sender
            return faults
        if may_send_from(sender, self._sender, service.from_domains):
            return faults
        domain = email_address.get_address_domain(sender)
        detail = f"the service {service.name} may not send from {domain}, the template's own sender"
        return [*faults, Fault("/from", "from_not_allowed", detail)]

    async def _describe_failures(self, tally: ServiceTally, draft: _TriedDraft) -> dict[FailurePlace, str]:
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
            service=count.service,
            locale=locale,
            changed=changed,
            alike=count.requests,
            diffs=result.diffs if result else {},
            note=note,
        )

    async def _load_masked(self, specimen: RecentRequest, draft: _TriedDraft) -> MailVariables | None:
        """Load the variables of a request without the secret ones; None: they were deleted meanwhile."""
        async with self._open_reader() as connection:
            texts = await recent_requests.get_variables(connection, [specimen.id])
        if specimen.id not in texts:
            return None
        return MailVariables(locale=specimen.locale, variables=draft.mask.apply(texts[specimen.id]))


async def record_unmasking(connection: AsyncConnection, slug: str, *, actor: Actor) -> None:
    """Record that the actor looks at secret values of recent requests. Raises `NotFoundError`."""
    id_ = (await template_store.get_template(connection, slug)).id
    await record_template(connection, AuditAction.TEMPLATE_UNMASKED, (id_, slug), actor)


def _parse_address(text: str | None) -> str | None:
    """Parse the address of a template's own sender; None: there is none, or it is invalid."""
    try:
        return email_address.parse_named_address(text)[1] if text else None
    except InvalidAddressError:
        return None


def _hide_values(fault: RenderFault, masked: RenderFault | None) -> RenderFault:
    """Return the fault of the masked mail if it has the same place; else the place without the message."""
    if masked is not None and (masked.part, masked.line) == (fault.part, fault.line):
        return masked
    return RenderFault(part=fault.part, line=fault.line, message=FAILS_UNSEEN)

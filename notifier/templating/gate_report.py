"""The report of the publish gate: whom a draft would break, which mails it changes, and how.

Values of requests are only in diffs, and secret ones are hidden there unless the caller asked for them.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from notifier.errors import Fault
from notifier.rendering.protocol import MailComparison
from notifier.template_language.template_source import RenderFault
from notifier.templating.recent_requests import CallingService, KeyUse, RecentRequest, SecretMask
from notifier.templating.source_diff import AlteredVariable, Variable

MAX_REASONS = 20
"""Refusals and failures of one service that are listed; the rarer ones are left out."""
Key = TypeVar("Key")
FailurePlace = tuple[str, int | None]  # part and line
ChangeKind = tuple[str | None, tuple[str, ...], tuple[int, ...]]  # locale, changed parts, and the shape of the change


@dataclass(frozen=True, kw_only=True)
class RequestRefusal:
    """Why requests of a service would be answered 422."""

    pointer: str  # JSON pointer; `*` stands for any place in a list
    code: str
    detail: str
    requests: int  # how many of the tried ones
    keys: tuple[str, ...]  # ids of the keys that made them


@dataclass(frozen=True, kw_only=True)
class RenderFailure:
    """A place in the draft where rendering fails."""

    part: str
    line: int | None
    message: str
    requests: int
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ServiceOutcome:
    """What becomes of one service's requests with the draft."""

    service_id: UUID
    service: str
    looked: int  # requests that were tried
    refused: int  # would be answered 422, and are not today
    failing: int  # could not be rendered, and can today
    broken_already: int  # are refused or fail with and without the draft
    changed: int  # mails that differ
    untried: int  # not rendered: another one took too long, or this machine was too slow
    refusals: tuple[RequestRefusal, ...]  # most frequent first, also of those that are refused today
    failures: tuple[RenderFailure, ...]  # the same

    @property
    def blocks(self) -> bool:
        """Whether a request that works today would fail."""
        return self.refused + self.failing + self.untried > 0

    @property
    def reason(self) -> str:
        """A sentence that says how many requests would fail."""
        counts = (
            (self.refused, "would be refused (422)"),
            (self.failing, "could not be made into a mail"),
            (self.untried, "could not be tried"),
        )
        broken = ", ".join(f"{count} {words}" for count, words in counts if count)
        return f"{self.service}: {broken}, of {self.looked} requests."


@dataclass(frozen=True, kw_only=True)
class MailExample:
    """A mail that changes, for one kind of change."""

    service: str
    locale: str | None
    changed: tuple[str, ...]  # subject, html, text
    alike: int  # how many mails change like this
    diffs: dict[str, str]  # part → unified diff
    note: str = ""  # why there are no diffs


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """What publishing a draft would change for the services that use the template."""

    slug: str
    content_hash: str  # of the source that was tried
    number: int | None  # of the version that it was compared with; None: nothing is published
    blocks: bool  # a request that works today would fail
    reasons: tuple[str, ...]  # why, a sentence for each service
    looked: int
    changed: int
    services: tuple[ServiceOutcome, ...]
    examples: tuple[MailExample, ...]
    added: tuple[Variable, ...]
    removed: tuple[Variable, ...]
    altered: tuple[AlteredVariable, ...]
    keys: tuple[KeyUse, ...]  # within the last thirty days, the latest first
    masked: bool  # secret values are hidden in the diffs

    def as_json(self) -> dict[str, Any]:
        """Return the report in types of JSON."""
        report: dict[str, Any] = msgspec.to_builtins(self)
        return report


@dataclass(kw_only=True)
class RequestCount:
    """How many requests have something in common."""

    service: str
    specimen: RecentRequest  # the newest of them
    requests: int = 0
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, request: RecentRequest) -> None:
        """Count one more."""
        self.requests += 1
        self.keys[request.created_by.removeprefix("key:")] += 1


@dataclass(kw_only=True)
class ServiceTally:
    """The counts of one service's requests."""

    service: CallingService
    mask: SecretMask
    counts: Counter[str] = field(default_factory=Counter)
    refusals: dict[tuple[str, str, str], RequestCount] = field(default_factory=dict)
    failures: dict[FailurePlace, tuple[RenderFault, RequestCount]] = field(default_factory=dict)

    def count_refused(self, request: RecentRequest, faults: Iterable[Fault], *, today: bool) -> None:
        """Count a request that would be answered 422; `today`: it would be without the draft, too."""
        self.counts["broken_already" if today else "refused"] += 1
        for refusal in {(self.mask.mask_pointer(fault.pointer), fault.code, fault.detail) for fault in faults}:
            self.refusals.setdefault(refusal, self._counted(request)).add(request)

    def count_compared(
        self, request: RecentRequest, result: MailComparison | None, kinds: dict[ChangeKind, RequestCount]
    ) -> None:
        """Count the result of a comparison; None: it was not tried."""
        if result is None:
            self.counts["untried"] += 1
        elif result.after is not None:
            self.counts["broken_already" if result.before is not None else "failing"] += 1
            place = (result.after.part, result.after.line)
            self.failures.setdefault(place, (result.after, self._counted(request)))[1].add(request)
        elif result.changed:
            self.counts["changed"] += 1
            kind = (request.locale, tuple(result.changed), tuple(result.shape))
            kinds.setdefault(kind, self._counted(request)).add(request)

    def build_outcome(self, messages: dict[FailurePlace, str]) -> ServiceOutcome:
        """Build the report of the service, with the most frequent reasons first."""
        names = ("looked", "refused", "failing", "broken_already", "changed", "untried")
        return ServiceOutcome(
            service_id=self.service.id,
            service=self.service.name,
            **{name: self.counts[name] for name in names},
            refusals=tuple(
                RequestRefusal(
                    pointer=pointer, code=code, detail=detail, requests=count.requests, keys=_list_keys(count)
                )
                for (pointer, code, detail), count in sort_by_frequency(self.refusals.items())
            ),
            failures=tuple(
                RenderFailure(
                    part=part, line=line, message=messages[part, line], requests=count.requests, keys=_list_keys(count)
                )
                for (part, line), count in self.list_failing_places()
            ),
        )

    def list_failing_places(self) -> list[tuple[FailurePlace, RequestCount]]:
        """List the places where mails fail, most frequent first."""
        return sort_by_frequency((place, count) for place, (_, count) in self.failures.items())

    def _counted(self, request: RecentRequest) -> RequestCount:
        return RequestCount(service=self.service.name, specimen=request)


def sort_by_frequency(
    counts: Iterable[tuple[Key, RequestCount]], limit: int = MAX_REASONS
) -> list[tuple[Key, RequestCount]]:
    """Return the most frequent ones, in that order."""
    return sorted(counts, key=lambda item: -item[1].requests)[:limit]


def _list_keys(count: RequestCount) -> tuple[str, ...]:
    return tuple(key for key, _ in count.keys.most_common())

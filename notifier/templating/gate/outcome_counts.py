"""Count what becomes of recent requests with a draft: for each service by reason, and kinds of change across them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from notifier.errors import Fault
from notifier.rendering.protocol import MailComparison
from notifier.template_language.template_source import RenderFault
from notifier.templating.gate.gate_report import RenderFailure, RequestRefusal, ServiceOutcome
from notifier.templating.gate.recent_requests import CallingService, RecentRequest, SecretMask

MAX_REASONS = 20
"""Refusals and failures of one service that are listed; the rarer ones are left out."""
Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """A request that is shown as an example of others."""

    id: UUID
    service: str
    locale: str | None


@dataclass(kw_only=True)
class RequestCount:
    """How many requests have something in common."""

    specimen: SampleRequest  # the newest of them
    requests: int = 0
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, request: RecentRequest) -> None:
        """Count one more."""
        self.requests += 1
        self.keys[request.created_by.removeprefix("key:")] += 1


FailurePlace = tuple[str, int | None]
ChangeKind = tuple[str | None, tuple[str, ...], tuple[int, ...]]


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
        return RequestCount(specimen=SampleRequest(id=request.id, service=self.service.name, locale=request.locale))


def sort_by_frequency(
    counts: Iterable[tuple[Key, RequestCount]], limit: int = MAX_REASONS
) -> list[tuple[Key, RequestCount]]:
    """Return the most frequent ones, in that order."""
    return sorted(counts, key=lambda item: -item[1].requests)[:limit]


def _list_keys(count: RequestCount) -> tuple[str, ...]:
    return tuple(key for key, _ in count.keys.most_common())

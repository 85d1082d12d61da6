"""Counting what becomes of requests with a draft: of each service, by reason; and kinds of change across them all."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from notifier.errors import Fault
from notifier.rendering.protocol import MailComparison
from notifier.template_language.render_fault import RenderFault
from notifier.templating.gate.gate_report import RenderFailure, RequestRefusal, ServiceOutcome
from notifier.templating.gate.recent_requests import CallingService, RecentRequest, SecretMask

MAX_REASONS = 20
"""Refusals and failures of one service that are told apart; the rarer ones are left out."""


Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """A request that stands for others."""

    id: UUID
    service: str
    locale: str | None


@dataclass(kw_only=True)
class RequestCount:
    """Requests that have something in common."""

    specimen: SampleRequest  # the newest of them
    requests: int = 0
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, asked: RecentRequest) -> None:
        """One more."""
        self.requests += 1
        self.keys[asked.created_by.removeprefix("key:")] += 1


FailurePlace = tuple[str, int | None]
ChangeKind = tuple[str | None, tuple[str, ...], tuple[int, ...]]


@dataclass(kw_only=True)
class ServiceTally:
    """What becomes of one service's requests."""

    service: CallingService
    mask: SecretMask
    counts: Counter[str] = field(default_factory=Counter)
    refusals: dict[tuple[str, str, str], RequestCount] = field(default_factory=dict)
    failures: dict[FailurePlace, tuple[RenderFault, RequestCount]] = field(default_factory=dict)

    def count_refused(self, asked: RecentRequest, faults: Iterable[Fault], *, today: bool) -> None:
        """It would be answered 422; `today`: it would be without the draft, too."""
        self.counts["broken_already" if today else "refused"] += 1
        for what in {(self.mask.mask_pointer(fault.pointer), fault.code, fault.detail) for fault in faults}:
            self.refusals.setdefault(what, self._counted(asked)).add(asked)

    def count_compared(
        self, asked: RecentRequest, found: MailComparison | None, kinds: dict[ChangeKind, RequestCount]
    ) -> None:
        """It was tried, unless nothing was found."""
        if found is None:
            self.counts["untried"] += 1
        elif found.after is not None:
            self.counts["broken_already" if found.before is not None else "failing"] += 1
            place = (found.after.part, found.after.line)
            self.failures.setdefault(place, (found.after, self._counted(asked)))[1].add(asked)
        elif found.changed:
            self.counts["changed"] += 1
            kind = (asked.locale, tuple(found.changed), tuple(found.shape))
            kinds.setdefault(kind, self._counted(asked)).add(asked)

    def build_outcome(self, messages: dict[FailurePlace, str]) -> ServiceOutcome:
        """The counts, most frequent reasons first."""
        names = ("looked", "refused", "failing", "broken_already", "changed", "untried")
        return ServiceOutcome(
            service_id=self.service.id,
            service=self.service.name,
            **{name: self.counts[name] for name in names},
            refusals=tuple(
                RequestRefusal(pointer=pointer, code=code, detail=detail, requests=one.requests, keys=_list_keys(one))
                for (pointer, code, detail), one in sort_by_frequency(self.refusals.items())
            ),
            failures=tuple(
                RenderFailure(
                    part=part, line=line, message=messages[part, line], requests=one.requests, keys=_list_keys(one)
                )
                for (part, line), one in self.list_failing_places()
            ),
        )

    def list_failing_places(self) -> list[tuple[FailurePlace, RequestCount]]:
        """Where mails fail, most frequent first."""
        return sort_by_frequency((place, counted) for place, (_, counted) in self.failures.items())

    def _counted(self, asked: RecentRequest) -> RequestCount:
        return RequestCount(specimen=SampleRequest(id=asked.id, service=self.service.name, locale=asked.locale))


def sort_by_frequency(
    counted: Iterable[tuple[Key, RequestCount]], most: int = MAX_REASONS
) -> list[tuple[Key, RequestCount]]:
    """The most frequent ones, in that order."""
    return sorted(counted, key=lambda one: -one[1].requests)[:most]


def _list_keys(counted: RequestCount) -> tuple[str, ...]:
    return tuple(key for key, _ in counted.keys.most_common())

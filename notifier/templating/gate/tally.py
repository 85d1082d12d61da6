"""Count what becomes of recent requests with a draft: for each service by reason, and kinds of change across them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from notifier.errors import Fault
from notifier.rendering.job import Compared, RenderFault
from notifier.templating.gate.payloads import Asked, CallingService, Mask
from notifier.templating.gate.report import Failure, Refusal, Tried

MOST_REASONS = 20
"""Refusals and failures of one service that are listed; the rarer ones are left out."""
Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A request that is shown as an example of others."""

    id: UUID
    service: str
    locale: str | None


@dataclass(kw_only=True)
class Counted:
    """How many requests have something in common."""

    specimen: Specimen  # the newest of them
    requests: int = 0
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, request: Asked) -> None:
        """Count one more."""
        self.requests += 1
        self.keys[request.created_by.removeprefix("key:")] += 1


Place = tuple[str, int | None]
Kind = tuple[str | None, tuple[str, ...], tuple[int, ...]]


@dataclass(kw_only=True)
class Tally:
    """The counts of one service's requests."""

    service: CallingService
    mask: Mask
    counts: Counter[str] = field(default_factory=Counter)
    refusals: dict[tuple[str, str, str], Counted] = field(default_factory=dict)
    failures: dict[Place, tuple[RenderFault, Counted]] = field(default_factory=dict)

    def refused(self, request: Asked, faults: Iterable[Fault], *, today: bool) -> None:
        """Count a request that would be answered 422; `today`: it would be without the draft, too."""
        self.counts["broken_already" if today else "refused"] += 1
        for refusal in {(self.mask.pointer(fault.pointer), fault.code, fault.detail) for fault in faults}:
            self.refusals.setdefault(refusal, self._counted(request)).add(request)

    def compared(self, request: Asked, result: Compared | None, kinds: dict[Kind, Counted]) -> None:
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

    def result(self, messages: dict[Place, str]) -> Tried:
        """Build the report of the service, with the most frequent reasons first."""
        names = ("looked", "refused", "failing", "broken_already", "changed", "untried")
        return Tried(
            service_id=self.service.id,
            service=self.service.name,
            **{name: self.counts[name] for name in names},
            refusals=tuple(
                Refusal(pointer=pointer, code=code, detail=detail, requests=count.requests, keys=_keys(count))
                for (pointer, code, detail), count in frequent(self.refusals.items())
            ),
            failures=tuple(
                Failure(part=part, line=line, message=messages[part, line], requests=count.requests, keys=_keys(count))
                for (part, line), count in self.failing_places()
            ),
        )

    def failing_places(self) -> list[tuple[Place, Counted]]:
        """List the places where mails fail, most frequent first."""
        return frequent((place, count) for place, (_, count) in self.failures.items())

    def _counted(self, request: Asked) -> Counted:
        return Counted(specimen=Specimen(id=request.id, service=self.service.name, locale=request.locale))


def frequent(counts: Iterable[tuple[Key, Counted]], limit: int = MOST_REASONS) -> list[tuple[Key, Counted]]:
    """Return the most frequent ones, in that order."""
    return sorted(counts, key=lambda item: -item[1].requests)[:limit]


def _keys(count: Counted) -> tuple[str, ...]:
    return tuple(key for key, _ in count.keys.most_common())

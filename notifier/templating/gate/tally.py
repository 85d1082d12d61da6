"""Counting what becomes of requests with a draft: of each service, by reason; and kinds of change across them all."""

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
"""Refusals and failures of one service that are told apart; the rarer ones are left out."""


Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A request that stands for others."""

    id: UUID
    service: str
    locale: str | None


@dataclass(kw_only=True)
class Counted:
    """Requests that have something in common."""

    specimen: Specimen  # the newest of them
    requests: int = 0
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, asked: Asked) -> None:
        """One more."""
        self.requests += 1
        self.keys[asked.created_by.removeprefix("key:")] += 1


Place = tuple[str, int | None]
Kind = tuple[str | None, tuple[str, ...], tuple[int, ...]]


@dataclass(kw_only=True)
class Tally:
    """What becomes of one service's requests."""

    service: CallingService
    mask: Mask
    counts: Counter[str] = field(default_factory=Counter)
    refusals: dict[tuple[str, str, str], Counted] = field(default_factory=dict)
    failures: dict[Place, tuple[RenderFault, Counted]] = field(default_factory=dict)

    def refused(self, asked: Asked, faults: Iterable[Fault], *, today: bool) -> None:
        """It would be answered 422; `today`: it would be without the draft, too."""
        self.counts["broken_already" if today else "refused"] += 1
        for what in {(self.mask.pointer(fault.pointer), fault.code, fault.detail) for fault in faults}:
            self.refusals.setdefault(what, self._counted(asked)).add(asked)

    def compared(self, asked: Asked, found: Compared | None, kinds: dict[Kind, Counted]) -> None:
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

    def result(self, messages: dict[Place, str]) -> Tried:
        """The counts, most frequent reasons first."""
        names = ("looked", "refused", "failing", "broken_already", "changed", "untried")
        return Tried(
            service_id=self.service.id,
            service=self.service.name,
            **{name: self.counts[name] for name in names},
            refusals=tuple(
                Refusal(pointer=pointer, code=code, detail=detail, requests=one.requests, keys=_keys(one))
                for (pointer, code, detail), one in frequent(self.refusals.items())
            ),
            failures=tuple(
                Failure(part=part, line=line, message=messages[part, line], requests=one.requests, keys=_keys(one))
                for (part, line), one in self.failing_places()
            ),
        )

    def failing_places(self) -> list[tuple[Place, Counted]]:
        """Where mails fail, most frequent first."""
        return frequent((place, counted) for place, (_, counted) in self.failures.items())

    def _counted(self, asked: Asked) -> Counted:
        return Counted(specimen=Specimen(id=asked.id, service=self.service.name, locale=asked.locale))


def frequent(counted: Iterable[tuple[Key, Counted]], most: int = MOST_REASONS) -> list[tuple[Key, Counted]]:
    """The most frequent ones, in that order."""
    return sorted(counted, key=lambda one: -one[1].requests)[:most]


def _keys(counted: Counted) -> tuple[str, ...]:
    return tuple(key for key, _ in counted.keys.most_common())

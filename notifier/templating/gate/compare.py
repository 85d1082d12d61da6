"""Compare mails of a draft with those of the published version, in the rendering pool.

A batch that overruns its time is tried again one mail at a time, until one overruns by itself. Nothing is tried after
that, so that a hostile draft costs no more than its batch and itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from notifier.rendering.job import Compare, Compared, Payload, RenderFault
from notifier.rendering.link import ChildLostError, Loss
from notifier.rendering.pool import OVERRAN, STARVED, STARVED_WALL_SECONDS, WALL_SECONDS
from notifier.rendering.source import TemplateSource

MOST_SLOW = 8
"""Mails of the published version that may take too long before the comparison ends."""


class Comparer(Protocol):
    """A pool of child processes that renders mails of two versions and compares them."""

    async def compare(self, request: Compare, wall: float, /) -> list[Compared | None]:
        """Return one result for each payload, in order. Raises `ChildLostError`."""


@dataclass(kw_only=True)
class Comparison:
    """Compares two versions on recent requests."""

    pool: Comparer
    before: str | None  # key of a source; None: nothing is published
    after: str
    sources: Mapping[str, TemplateSource]
    is_over: bool = field(default=False, init=False)  # a mail has overrun; nothing is tried any more
    _slow_before: int = field(default=0, init=False)  # mails of the published version that took too long
    is_slow: bool = field(default=False, init=False)  # a diff took too long; no more are made

    async def of(self, payloads: Sequence[Payload]) -> list[Compared | None]:
        """Return how each mail differs; None: it was not tried, or this machine had no time for it."""
        if self.is_over:
            return [None] * len(payloads)
        for wall in (WALL_SECONDS, STARVED_WALL_SECONDS):
            try:
                results = await self._ask(payloads, wall=wall)
            except ChildLostError as lost:
                if lost.how is not Loss.STARVED:
                    return [await self._apart(payload) for payload in payloads]
            else:
                self._note(*results)
                return results
        self.is_over = True
        return [None] * len(payloads)

    async def diffs(self, payload: Payload) -> Compared | None:
        """Return how a mail differs, with the diffs; None: that takes too long."""
        if self.is_slow:
            return None
        try:
            (result,) = await self._ask([payload], with_diffs=True)
        except ChildLostError:
            self.is_slow = True
            return None
        return result

    async def _apart(self, payload: Payload) -> Compared | None:
        """Try a mail that may have made its batch overrun: with the draft alone, and then with both."""
        if self.is_over:
            return None
        after = await self._fault(None, self.after, payload)
        if after is None and self.before is not None:
            try:
                (result,) = await self._ask([payload])
            except ChildLostError:
                return await self._of_each(payload, None)
            self._note(result)
            return result
        return await self._of_each(payload, after)

    async def _of_each(self, payload: Payload, after: RenderFault | None) -> Compared | None:
        before = await self._fault(self.before, None, payload) if self.before is not None else None
        sides = Compared(before=before, after=after)
        self._note(sides)
        self.is_over |= STARVED in (before, after)
        if STARVED in (before, after) or (self.before is not None and before is None and after is None):
            return None  # this machine was too slow, or only both together are
        return sides

    def _note(self, *results: Compared | None) -> None:
        """End the comparison if the draft is too slow, or the published version too often: the draft may cure it."""
        compared = [result for result in results if result is not None]
        self._slow_before += sum(result.was_slow for result in compared)
        self.is_over |= self._slow_before > MOST_SLOW or any(result.is_slow for result in compared)

    async def _fault(self, before: str | None, after: str | None, payload: Payload) -> RenderFault | None:
        """Find why the mail cannot be made of one version."""
        how = Loss.OVERRAN
        for wall in (WALL_SECONDS, STARVED_WALL_SECONDS):  # a child that was lost once may have been another's victim
            try:
                (result,) = await self._ask([payload], (before, after), wall=wall)
            except ChildLostError as lost:
                how = lost.how
                if how is Loss.OVERRAN:
                    break
            else:
                return (result.before or result.after) if result is not None else None
        return STARVED if how is Loss.STARVED else OVERRAN

    async def _ask(
        self,
        payloads: Sequence[Payload],
        sides: tuple[str | None, str | None] | None = None,
        *,
        wall: float = WALL_SECONDS,
        with_diffs: bool = False,
    ) -> list[Compared | None]:
        before, after = sides or (self.before, self.after)
        needed = {key: self.sources[key] for key in (before, after) if key is not None}
        request = Compare(before=before, after=after, payloads=[*payloads], sources=needed, with_diffs=with_diffs)
        return await self.pool.compare(request, wall)

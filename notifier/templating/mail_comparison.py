"""Comparison of mails of a draft with those of the published version, in the rendering pool.

A batch that overruns its time is tried again one mail at a time, until one overruns by itself. Nothing is tried after
that, so that a hostile draft costs no more than its batch and itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from notifier.rendering.child_connection import ChildLostError, LossReason
from notifier.rendering.pool import (
    MAX_STARVED_WALL_SECONDS,
    MAX_WALL_SECONDS,
    STARVED_FAULT,
    TOO_SLOW_FAULT,
    RenderingPool,
)
from notifier.rendering.preview_pool import PreviewPool
from notifier.rendering.protocol import CompareRequest, MailComparison, MailVariables
from notifier.template_language.template_source import RenderFault, TemplateSource

MAX_SLOW_MAILS = 8
"""Mails of the published version that may take too long before the comparison ends."""


@dataclass(kw_only=True)
class VersionComparison:
    """Compares two versions on recent requests."""

    pool: PreviewPool | RenderingPool
    before: str | None  # key of a source; None: nothing is published
    after: str
    sources: Mapping[str, TemplateSource]
    is_over: bool = field(default=False, init=False)  # a mail has overrun; nothing is tried any more
    _slow_before: int = field(default=0, init=False)  # mails of the published version that took too long
    is_slow: bool = field(default=False, init=False)  # a diff took too long; no more are made

    async def compare(self, payloads: Sequence[MailVariables]) -> list[MailComparison | None]:
        """Return how each mail differs; None: it was not tried, or this machine was too slow."""
        if self.is_over:
            return [None] * len(payloads)
        for wall in (MAX_WALL_SECONDS, MAX_STARVED_WALL_SECONDS):
            try:
                results = await self._request(payloads, wall=wall)
            except ChildLostError as lost:
                if lost.reason is not LossReason.STARVED:
                    return [await self._compare_alone(payload) for payload in payloads]
            else:
                self._track_overruns(*results)
                return results
        self.is_over = True
        return [None] * len(payloads)

    async def compare_with_diffs(self, payload: MailVariables) -> MailComparison | None:
        """Return how a mail differs, with the diffs; None: it takes too long."""
        if self.is_slow:
            return None
        try:
            (result,) = await self._request([payload], with_diffs=True)
        except ChildLostError:
            self.is_slow = True
            return None
        return result

    async def _compare_alone(self, payload: MailVariables) -> MailComparison | None:
        """Try a mail that may have made its batch overrun: with the draft alone, and then with both."""
        if self.is_over:
            return None
        after = await self._find_fault(None, self.after, payload)
        if after is None and self.before is not None:
            try:
                (result,) = await self._request([payload])
            except ChildLostError:
                return await self._try_each_side(payload, None)
            self._track_overruns(result)
            return result
        return await self._try_each_side(payload, after)

    async def _try_each_side(self, payload: MailVariables, after: RenderFault | None) -> MailComparison | None:
        before = await self._find_fault(self.before, None, payload) if self.before is not None else None
        sides = MailComparison(before=before, after=after)
        self._track_overruns(sides)
        self.is_over |= STARVED_FAULT in (before, after)
        if STARVED_FAULT in (before, after) or (self.before is not None and before is None and after is None):
            return None  # this machine was too slow, or only both mails together are
        return sides

    def _track_overruns(self, *results: MailComparison | None) -> None:
        """End the comparison if one mail of the draft is too slow, or many of the published version.

        The draft may cure a slow version, so a few slow mails of that are accepted.
        """
        compared = [result for result in results if result is not None]
        self._slow_before += sum(result.was_slow for result in compared)
        self.is_over |= self._slow_before > MAX_SLOW_MAILS or any(result.is_slow for result in compared)

    async def _find_fault(self, before: str | None, after: str | None, payload: MailVariables) -> RenderFault | None:
        """Find why the mail cannot be rendered with one version."""
        reason = LossReason.OVERRAN
        for wall in (MAX_WALL_SECONDS, MAX_STARVED_WALL_SECONDS):  # another request may have caused the first loss
            try:
                (result,) = await self._request([payload], (before, after), wall=wall)
            except ChildLostError as lost:
                reason = lost.reason
                if reason is LossReason.OVERRAN:
                    break
            else:
                return (result.before or result.after) if result is not None else None
        return STARVED_FAULT if reason is LossReason.STARVED else TOO_SLOW_FAULT

    async def _request(
        self,
        payloads: Sequence[MailVariables],
        sides: tuple[str | None, str | None] | None = None,
        *,
        wall: float = MAX_WALL_SECONDS,
        with_diffs: bool = False,
    ) -> list[MailComparison | None]:
        before, after = sides or (self.before, self.after)
        needed = {key: self.sources[key] for key in (before, after) if key is not None}
        request = CompareRequest(
            before=before, after=after, payloads=[*payloads], sources=needed, with_diffs=with_diffs
        )
        return await self.pool.compare(request, wall)

"""Those who edit, and the child processes that show them what they have: each has their turn."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from notifier.clock import Clock
from notifier.rendering.job import Checked, Job, RenderFault, Shown
from notifier.rendering.on_demand import PoolOnDemand
from notifier.rendering.pool import RenderingPool
from notifier.rendering.source import TemplateSource
from notifier.throttle.turns import Turn, Turns


class Editors:
    """Everybody who edits, or looks at mails."""

    def __init__(self, pool: PoolOnDemand, clock: Clock) -> None:
        self._pool = pool
        self._turns = Turns(clock, lambda: pool.worked)

    def of(self, who: str) -> "Editor":
        """One of them."""
        return Editor(self._pool, self._turns, who)

    def turn(self, who: str) -> AbstractAsyncContextManager[Turn]:
        """The turn of one of them, for what is more than one step."""
        return self._turns.of(who)


class Editor:
    """A `Renderer` for one person, who waits for their turn. Raises `TooMuchRefusedError`."""

    def __init__(self, pool: PoolOnDemand, turns: Turns, who: str) -> None:
        self._pool = pool
        self._turns = turns
        self._who = who

    async def preview(self, job: Job, sources: Mapping[str, TemplateSource]) -> Shown | RenderFault:
        """The mail that the job would be."""
        async with self._turn() as (turn, child):
            shown = await child.preview(job, sources)
            turn.refused = isinstance(shown, RenderFault)
        return shown

    async def check(self, source: TemplateSource) -> Checked:
        """What is to be said about the source."""
        async with self._turn() as (turn, child):
            checked = await child.check(source)
            turn.refused = bool(checked.faults)
        return checked

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[tuple[Turn, RenderingPool]]:
        """Their turn with a child: one apart while they pay for what was refused, so that nobody else waits for it."""
        async with (
            self._turns.of(self._who) as turn,
            self._pool.child(apart=self._turns.suspects(self._who)) as child,
        ):
            turn.begin(lambda: child.worked)
            yield turn, child

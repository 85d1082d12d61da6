"""One chaos scenario: its own database, a fault relay, a fleet of processes, and the oracle's verdict at the end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from chaos import final_state, oracle
from chaos.fleet import FaultRelay, Fleet, fault_relay
from chaos.load_generator import Load
from chaos.oracle import Report
from chaos.relay_log import Event, Name
from chaos.relay_script import Pace
from support.network_machines import Machine
from support.seeded_installation import Keys

from notifier.db.engine import Database

LOOK = 0.02  # seconds between two reads of the log


class Scene:
    """An async context manager for one scenario; call `begin` once."""

    relay: FaultRelay
    fleet: Fleet

    def __init__(self, title: str, url: str, keys: Keys, folder: Path) -> None:
        self.title = title
        self.key = keys.shop
        self.url = url
        self.folder = folder
        self.database = Database(url)  # for the test's own reads, not for the fleet
        self._stack = AsyncExitStack()
        self._taken = self._counted = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.database.close()
        await self._stack.aclose()

    async def begin(
        self, pace: Pace, settings: Mapping[str, str], *, measured: bool = False, machine: Machine | None = None
    ) -> Fleet:
        """Start the relay, on a machine or on this host; the fleet is still empty."""
        self.relay = self._stack.enter_context(fault_relay(self.folder, pace, machine=machine))
        ours = {"DATABASE_URL": self.url, "SMTP__PORT": str(self.relay.port), "RECIPIENTS__MODE": "live"}
        settings = ours | {"LOG_LEVEL": "WARNING"} | dict(settings)
        self.fleet = Fleet(folder=self.folder, settings=settings, measured=measured)
        return await self._stack.enter_async_context(self.fleet)

    def taken(self) -> int:
        """Return the number of mails that the relay has accepted so far."""
        seen = self.relay.log.all()
        self._taken += sum(event.name is Name.TAKEN for event in seen[self._counted :])
        self._counted = len(seen)
        return self._taken

    @asynccontextmanager
    async def under_load(
        self, backlog: int, *, seed: int = 0, faults: Sequence[str] = ("user",), cancels: float = 0.0
    ) -> AsyncIterator[Load]:
        """Submit mails until the block ends, and then wait until the last requests are answered.

        `faults` are the faults that the recipients order in turn; `cancels` is the share that is cancelled soon after.
        The block begins when enough mails are submitted that any fault in it meets mails in flight.
        """
        over = asyncio.Event()
        load = Load(self.fleet.api_port, self.key, seed=seed, cancels=cancels)
        numbers = itertools.takewhile(lambda _: not over.is_set(), itertools.count())
        recipients = (f"{faults[n % len(faults)]}+{n}@example.com" for n in numbers)

        def room() -> bool:
            waiting = len(load.acknowledged) - len(load.cancelled) - self.taken()
            return over.is_set() or waiting < backlog

        submitting = asyncio.create_task(load.run(recipients, room=room))
        try:
            async with asyncio.timeout(60):
                while len(load.acknowledged) < backlog and not submitting.done():  # noqa: ASYNC110 - see `until`
                    await asyncio.sleep(LOOK)
            yield load
        finally:
            over.set()
            await submitting

    async def until(self, condition: Callable[[Sequence[Event]], bool], *, seconds: float = 60.0) -> None:
        """Wait until the relay's log meets the condition."""
        async with asyncio.timeout(seconds):
            while not condition(self.relay.log.all()):  # noqa: ASYNC110 - another process writes the log
                await asyncio.sleep(LOOK)

    async def verdict(self, acknowledged: Mapping[str, str], *, cancelled: Collection[str] = ()) -> Report:
        """Return the oracle's verdict at this moment."""
        evidence = await final_state.evidence(self.database, acknowledged, self.relay.log.all())
        return oracle.judge(replace(evidence, cancelled=cancelled))

    async def report(
        self, acknowledged: Mapping[str, str], *, cancelled: Collection[str] = (), **more: object
    ) -> Report:
        """Print the oracle's verdict at this moment, and return it."""
        report = await self.verdict(acknowledged, cancelled=cancelled)
        print("\n" + report.table(self.title, **more) + "\n" + self.fleet.errors())  # noqa: T201 - for who watches
        return report

"""Real processes over one database and one relay: started, killed by signals, restarted and always cleaned up."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import httpx2
from chaos.process_tree import is_alive, list_descendants
from chaos.relay_log import Follower
from chaos.relay_script import Pace
from support import notifier_process
from support.network_machines import Machine, start_on
from support.notifier_process import NotifierProcess

TESTS = Path(__file__).parents[1]
_PORTS = range(20_000, 30_000)  # below the kernel's ports for clients, so that a restart finds its port free
SHOWN_LINES = 10
REVIVALS = 30  # attempts to restart a killed process
ORPHAN_SECONDS = 10.0
ORPHAN_LOOK = 0.05  # seconds between two polls


def lasting_port() -> int:
    """Return a port that is unlikely to be taken while its process is dead."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@dataclass(frozen=True, kw_only=True)
class FaultRelay:
    """A running fault relay."""

    port: int
    log: Follower


@contextmanager
def fault_relay(
    folder: Path, pace: Pace | None = None, *, seed: int = 0, machine: Machine | None = None
) -> Iterator[FaultRelay]:
    """Run a fault relay in a process of its own, on a machine or on this host, until the block ends."""
    log = folder / "relay.log"
    log.touch()
    path = os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))
    times = [f"--{name}={value}" for name, value in asdict(pace or Pace()).items() if name != "slow"]
    host = [] if machine is None else [f"--host={machine.address}"]
    command = [sys.executable, "-m", "chaos.fault_relay", str(log), f"--seed={seed}", *times, *host]
    env = os.environ | {"PYTHONPATH": path}
    with start_on(machine, lambda: subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)) as running:
        try:
            assert running.stdout is not None
            yield FaultRelay(port=int(running.stdout.readline()), log=Follower(log))
        finally:
            running.terminate()


@dataclass
class Member:
    """One place in the fleet, and its current process."""

    arguments: tuple[str, ...]
    env: dict[str, str]
    metrics_port: int
    machine: Machine | None = None
    process: NotifierProcess | None = None  # while it is ready
    kills: int = 0
    reviving: asyncio.Task[None] | None = None


@dataclass
class Fleet:
    """An async context manager that stops all running processes at the end."""

    folder: Path
    settings: Mapping[str, str]  # of every process, without the prefix
    api_port: int = field(default_factory=lasting_port)
    members: dict[str, Member] = field(default_factory=dict)
    measured: bool = False  # coverage of the processes, which slows their starts
    orphans: set[int] = field(default_factory=set)  # children of killed processes

    async def __aenter__(self) -> Self:
        self._stack = ExitStack()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for member in self.members.values():
            if member.reviving is not None:
                await asyncio.gather(member.reviving, return_exceptions=True)
            if member.process is not None:
                member.process.send(signal.SIGCONT)  # a process that a failed test left paused could not end
                member.process.send(signal.SIGTERM)
        await asyncio.to_thread(self._stack.close)
        for pid in await self.left_behind(seconds=0):
            os.kill(pid, signal.SIGKILL)

    async def start(self, name: str, *arguments: str, machine: Machine | None = None, **settings: str) -> None:
        """Start a process, on a machine or on this host, and wait until it is ready; the relay knows it by `name`."""
        port = lasting_port()
        own = {"SMTP__HELO_NAME": f"{name}.example", "SENDER__METRICS_PORT": str(port)}
        env = notifier_process.build_environment(self.folder, **{**self.settings, **own, **settings})
        if not self.measured:
            env = notifier_process.without_coverage(env)
        metrics_port = port if arguments[0] == "sender" else self.api_port
        self.members[name] = Member(arguments=arguments, env=env, metrics_port=metrics_port, machine=machine)
        await self._fill(self.members[name])

    async def start_api(self, name: str = "api", command: str = "api") -> None:
        """Start the process that answers POSTs: `api` or `serve`."""
        await self.start(name, command, "--port", str(self.api_port))

    async def start_senders(self, *names: str) -> None:
        """Start several senders at once."""
        await asyncio.gather(*(self.start(name, "sender") for name in names))

    async def start_all(self, *senders: str) -> None:
        """Start the API and these senders at once."""
        await asyncio.gather(self.start_api(), self.start_senders(*senders))

    def running(self, name: str) -> NotifierProcess:
        """Return the process of this name."""
        process = self.members[name].process
        assert process is not None, f"{name} is not running"
        return process

    @property
    def up(self) -> list[str]:
        """The names of the processes that are ready."""
        return [name for name, member in self.members.items() if member.process is not None]

    async def kill(self, name: str) -> None:
        """Kill a process with SIGKILL and remember its children."""
        member, victim = self.members[name], self.running(name)
        self.orphans |= list_descendants(victim.pid)
        member.process = None
        member.kills += 1
        await asyncio.to_thread(victim.kill)

    def revive(self, name: str) -> None:
        """Start the process again in the background."""
        member = self.members[name]
        member.reviving = asyncio.create_task(self._fill(member, tries=REVIVALS))

    async def stop(self, name: str) -> int:
        """Stop a process with SIGTERM and return its exit status."""
        victim, self.members[name].process = self.running(name), None
        return await asyncio.to_thread(victim.stop)

    async def revived(self) -> None:
        """Wait until all killed processes are ready again."""
        tasks = [member.reviving for member in self.members.values() if member.reviving is not None]
        await asyncio.gather(*tasks)

    async def left_behind(self, *, seconds: float = ORPHAN_SECONDS) -> set[int]:
        """Return the children of killed processes that are still alive after the time in which they should end."""
        until = time.monotonic() + seconds
        while (left := {pid for pid in self.orphans if is_alive(pid)}) and time.monotonic() < until:  # noqa: ASYNC110 - a process that ends sends no event
            await asyncio.sleep(ORPHAN_LOOK)
        return left

    async def metric(self, name: str, metric: str) -> float:
        """Return the sum of a metric over its labels, as this process exports it."""
        async with httpx2.AsyncClient(timeout=10) as client:
            reply = await client.get(f"http://127.0.0.1:{self.members[name].metrics_port}/metrics")
        lines = [line for line in reply.text.splitlines() if line.startswith((f"{metric} ", f"{metric}{{"))]
        assert lines, f"{name} exports no {metric}"
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def errors(self) -> str:
        """Return the last lines that the running processes have written to stderr."""
        written = []
        for name, member in self.members.items():
            if member.process is not None and (lines := member.process.errors.splitlines(keepends=True)):
                written += [f"-- {name} ({len(lines)} lines)\n", *lines[-SHOWN_LINES:]]
        return "".join(written)

    async def _fill(self, member: Member, *, tries: int = 1) -> None:
        """Start the process as a supervisor does: again, if it ends because its database is away."""
        for left in reversed(range(tries)):
            started = self._stack.enter_context(start_on(member.machine, partial(_start_process, member)))
            try:
                await asyncio.to_thread(started.wait_until_ready)
            except AssertionError:
                if not left or "notifier: database: " not in started.errors:
                    raise
            else:
                member.process = started
                return


def _start_process(member: Member) -> NotifierProcess:
    # A fork of the command server would be on the machine of the server.
    return NotifierProcess(*member.arguments, env=member.env, fresh=member.machine is not None)

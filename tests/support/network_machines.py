"""Machines on one switch as network namespaces of Linux: each with a host name, and a cable that can be pulled.

Nothing of them has a name on the host. A namespace exists only while a process is in it or a file of it is open, so
even a test that is killed leaves none behind.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import pytest

SUBNET = "10.77.0.0/24"
_ADDRESS = "10.77.0.{}"
_CLONE_NEWUTS, _CLONE_NEWNET = 0x04000000, 0x40000000  # linux/sched.h
_FLAGS = {"net": _CLONE_NEWNET, "uts": _CLONE_NEWUTS}
KILL_SECONDS = 20.0
KILL_LOOK = 0.01  # seconds between two looks for processes that are left
_libc = ctypes.CDLL(None, use_errno=True)

_T = TypeVar("_T")


class Machine:
    """A network and a host name of its own. What runs on it sees the files and processes of the host."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = _ADDRESS.format(number)
        with _returning():
            _check(_libc.unshare(_CLONE_NEWNET | _CLONE_NEWUTS))
            self._files = _open_namespaces()
            socket.sethostname(name)
            _run_ip("link", "set", "lo", "up")
        self._inode = os.fstat(self._files["net"]).st_ino

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be on this machine in this thread: what the block starts or opens belongs to it. The block must not await."""
        with _returning():
            for kind, file in self._files.items():
                _check(_libc.setns(file, _FLAGS[kind]))
            yield

    def run(self, *command: str) -> None:
        """Run `ip` on this machine; it may name the network of another one by its file."""
        with self.entered():
            _run_ip(*command)

    @property
    def network_file(self) -> int:
        """The open file of its network namespace."""
        return self._files["net"]

    def list_processes(self) -> list[int]:
        """List the ids of all processes on this machine."""
        pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        return [pid for pid in pids if self._is_here(pid)]

    def kill(self) -> None:
        """Kill all its processes with SIGKILL, and wait until the last one has ended."""
        until = time.monotonic() + KILL_SECONDS
        while pids := self.list_processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < until, f"processes of {self.name} survive SIGKILL: {pids}"
            time.sleep(KILL_LOOK)

    def close(self) -> None:
        """Kill what is left on it, and let it vanish."""
        self.kill()
        for file in self._files.values():
            os.close(file)

    def _is_here(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/ns/net").stat().st_ino == self._inode
        except OSError:  # it has ended; a zombie has no namespaces either
            return False


class Network:
    """A switch on the machine `hub`, to which the other machines are connected. Use it as a context manager.

    Skips the test where namespaces are not allowed.
    """

    def __init__(self, *names: str) -> None:
        self._names = names

    def __enter__(self) -> Self:
        self._machines: list[Machine] = []
        try:
            self.hub = self._begin()
            for name in self._names:
                self._connect(self._add(name))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        for machine in reversed(self._machines):
            machine.close()

    def __getitem__(self, name: str) -> Machine:
        return next(machine for machine in self._machines if machine.name == name)

    def cut(self, name: str) -> None:
        """Pull the cable of a machine: from now on its packets vanish, and no connection is closed."""
        self.hub.run("link", "set", "dev", f"to-{name}", "down")

    def mend(self, name: str) -> None:
        """Plug the cable in again."""
        self.hub.run("link", "set", "dev", f"to-{name}", "up")

    def _begin(self) -> Machine:
        """Create the hub with its switch; where that is not allowed, no test can use it."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("machines are network namespaces of Linux: they need root and the program `ip` (iproute2)")
        try:
            hub = self._add("hub")
            hub.run("link", "add", "switch", "type", "bridge")
        except (OSError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", None) or error
            pytest.skip(f"this host does not allow network namespaces, which this test uses as machines: {detail}")
        hub.run("address", "add", f"{hub.address}/24", "dev", "switch")
        hub.run("link", "set", "switch", "up")
        return hub

    def _add(self, name: str) -> Machine:
        machine = Machine(name, len(self._machines) + 1)
        self._machines.append(machine)
        return machine

    def _connect(self, machine: Machine) -> None:
        port, file = f"to-{machine.name}", f"/proc/{os.getpid()}/fd/{machine.network_file}"
        self.hub.run("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", file)
        self.hub.run("link", "set", port, "master", "switch", "up")
        machine.run("address", "add", f"{machine.address}/24", "dev", "eth0")
        machine.run("link", "set", "eth0", "up")


def start_on(machine: Machine | None, start: Callable[[], _T]) -> _T:
    """Call `start` on a machine, or on the host itself, and return its result."""
    with machine.entered() if machine is not None else contextlib.nullcontext():
        return start()


def _open_namespaces() -> dict[str, int]:
    return {kind: os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in _FLAGS}


@contextmanager
def _returning() -> Iterator[None]:
    """Bring this thread back to where it was."""
    before = _open_namespaces()
    try:
        yield
    finally:
        for kind, file in before.items():
            _check(_libc.setns(file, _FLAGS[kind]))
            os.close(file)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run_ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

"""Runs `notifier` commands in forks of a process that has imported the program already.

The imports take most of the time of a command, and a fork does not repeat them, nor does the process that forks
the command's children. Everything else is as in a separate process: arguments, environment, working directory, output,
signals, exit status.
"""

import array
import atexit
import contextlib
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from importlib import import_module
from multiprocessing import forkserver, util
from pathlib import Path
from typing import Any

from notifier.cli.entry_point import GC_THRESHOLD_AT_START

_TESTS = Path(__file__).parent.parent
_NOTIFIER = Path(sys.executable).with_name("notifier")
_LENGTH = 8  # bytes before each request
_STATUS = 16  # bytes, at most, of an exit status
_UTIL: Any = util
_FORKSERVER: Any = forkserver  # its types are wrong
_THREADING: Any = threading  # whose functions for the end of a process are private
_ATEXIT: Any = atexit
_FIXED_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "COV_", "COVERAGE_")


class CommandServer:
    """The client's side: one server, started at first use, which ends with this process."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._environment = _fixed(dict(os.environ))

    def can_run(self, environment: dict[str, str]) -> bool:
        """False if the environment has variables that an interpreter reads only when it starts."""
        return _fixed(environment) == self._environment

    def run(
        self, arguments: list[str], environment: dict[str, str], folder: Path, *, seconds: float
    ) -> tuple[int, str, str]:
        """A command's exit status and what it wrote to stdout and stderr."""
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(os.fdopen(os.memfd_create(name), "w+b")) for name in ("stdout", "stderr")]
            started = self.start(arguments, environment, folder, files[0].fileno(), files[1].fileno())
            try:
                status = started.wait(seconds)
            except subprocess.TimeoutExpired:
                started.kill()
                raise
            for file in files:
                file.seek(0)
            out, err = (file.read().decode() for file in files)
        return status, out, err

    def start(
        self, arguments: list[str], environment: dict[str, str], folder: Path, stdout: int, stderr: int
    ) -> "ForkedCommand":
        """Start a command that writes to these descriptors."""
        mine, theirs = socket.socketpair()
        with theirs:
            request = json.dumps([arguments, environment, str(folder)]).encode()
            server = self._started()
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [stdout, stderr, theirs.fileno()]))]
            server.sendmsg([len(request).to_bytes(_LENGTH)], control)
            server.sendall(request)
        return ForkedCommand(arguments, mine)

    def _started(self) -> socket.socket:
        if self._socket is None:
            mine, theirs = socket.socketpair()
            command = [sys.executable, "-m", "support.command_server", str(theirs.fileno())]
            server = subprocess.Popen(command, cwd=_TESTS, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            theirs.close()
            self._socket = mine
            atexit.register(self._stop, server)
        return self._socket

    def _stop(self, server: subprocess.Popen[bytes]) -> None:
        if self._socket is not None:
            self._socket.close()
        server.wait()


class ForkedCommand:
    """A running command, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, arguments: list[str], status: socket.socket) -> None:
        self._arguments, self._status = arguments, status
        self.pid = int(status.recv(_STATUS))
        self._returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its exit status."""
        if self._returncode is None:
            self._status.settimeout(seconds)
            try:
                status = self._status.recv(_STATUS)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self._arguments, seconds or 0) from None
            self._returncode = os.waitstatus_to_exitcode(int(status))
            self._status.close()
        return self._returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends at this moment
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _fixed(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_FIXED_AT_START)}


def _serve(server: socket.socket) -> None:
    """Fork for each request until the client closes; return in the fork that runs the command."""
    commands: dict[int, tuple[int, int]] = {}  # process id, and where its exit status is awaited, by process descriptor
    while True:
        ready, _, _ = select.select([server.fileno(), *commands], [], [])
        for ended in commands.keys() & ready:
            pid, status = commands.pop(ended)
            _report(status, os.waitpid(pid, 0)[1])
            os.close(status)
            os.close(ended)
        if server.fileno() not in ready:
            continue
        head, descriptors, _, _ = socket.recv_fds(server, _LENGTH, 3)
        if not head:
            os._exit(0)
        request = b""
        while len(request) < int.from_bytes(head):
            request += server.recv(int.from_bytes(head) - len(request))
        stdout, stderr, status = descriptors
        if (pid := os.fork()) == 0:
            server.close()
            for descriptor in (status, *commands, *(other for _, other in commands.values())):
                os.close(descriptor)
            _become_command(json.loads(request), stdout, stderr)
            return
        os.close(stdout)
        os.close(stderr)
        _report(status, pid)
        commands[os.pidfd_open(pid)] = pid, status


def _report(status: int, number: int) -> None:
    """Send the client a process id or an exit status, if it still waits for it."""
    with contextlib.suppress(BrokenPipeError):
        os.write(status, str(number).ljust(_STATUS).encode())


def _become_command(request: tuple[list[str], dict[str, str], str], stdout: int, stderr: int) -> None:
    """Take over the arguments, environment, working directory and output of a command."""
    for ours, standard in ((stdout, 1), (stderr, 2)):
        os.dup2(ours, standard)
        os.close(ours)
    arguments, environment, folder = request
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [str(_NOTIFIER), *arguments]
    sys.path[0] = str(_NOTIFIER.parent)
    program = sys.modules["__main__"]  # usage messages name it, and children of `multiprocessing` import it again
    program.__spec__, program.__package__, program.__file__ = None, None, str(_NOTIFIER)
    _prepare_forkserver()


def _prepare_forkserver() -> None:
    """Fork the process that becomes the forkserver of `multiprocessing` when the command needs one.

    It must be forked now, while there are no threads. If it is killed, `multiprocessing` starts another as usual.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        _become_forkserver(theirs)
    theirs.close()
    start_usual = _UTIL.spawnv_passfds

    def start(path: str, arguments: list[str], descriptors: list[int]) -> int:
        """Start a process of `multiprocessing`, which has a forkserver and others."""
        if "multiprocessing.forkserver" in arguments[-1] and ours.fileno() >= 0:
            with ours, contextlib.suppress(OSError):
                socket.send_fds(ours, [b"start"], descriptors)
                return pid
        return int(start_usual(path, arguments, descriptors))

    _UTIL.spawnv_passfds = start


def _become_forkserver(command: socket.socket) -> None:
    """Wait until the command needs a forkserver, and be it until the command ends."""
    try:
        _, descriptors, _, _ = socket.recv_fds(command, _LENGTH, 2)
        command.close()
        if descriptors:
            _FORKSERVER.main(*descriptors, preload=[])
    finally:
        os._exit(0)


def _import_all() -> None:
    """Import the modules that any command may need."""
    for module in pkgutil.walk_packages(import_module("notifier").__path__, "notifier."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for dialect in ("sqlite.aiosqlite", "postgresql.asyncpg"):
        import_module(f"sqlalchemy.dialects.{dialect}")


def _prepare_routes() -> None:
    """Have FastAPI prepare the routes of the API, which it does at the first request in each process."""
    for route in import_module("notifier.api.app").build_bare_app().routes:
        route.matches({"type": "http", "method": "GET", "path": "/", "headers": []})


def _end_at_once(status: object) -> None:
    """End as Python does, but free no objects: that would copy all memory that the fork shares."""
    if status is None or isinstance(status, int):
        _THREADING._shutdown()
        _ATEXIT._run_exitfuncs()
        with contextlib.suppress(OSError):  # nobody reads any more: Python reports it in its own way
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status or 0)


if __name__ == "__main__":
    gc.set_threshold(GC_THRESHOLD_AT_START)  # as the command's own entry point does
    _import_all()
    _prepare_routes()
    vars(import_module("notifier.rendering.preview_pool"))["PREVIEW_NICENESS"] = 0  # as in tests/conftest.py
    gc.freeze()  # otherwise each fork would collect all imported objects when it ends
    _serve(socket.socket(fileno=int(sys.argv[1])))
    from notifier.cli.main import run_command_line

    try:
        run_command_line()
    except SystemExit as exit_:
        _end_at_once(exit_.code)
        raise

"""The commands that run until they are stopped: `serve`, `api`, `sender`, `inbox`."""

import asyncio
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli.command import UNREACHABLE_DATABASE, USAGE_ERROR, CommandError, load_settings, set_up_logging

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from notifier.log_settings import LogSettings
    from notifier.runtime.process_parts import ProcessParts
    from notifier.settings import Settings

THREAD_SWITCH_SECONDS = 0.0005
"""Seconds until a busy thread lets another run. With Python's default of 5 ms, large bodies delay other POSTs."""
GC_THRESHOLD = 50_000
"""New objects before a garbage collection. Python's default of 700 costs 5 % of a sender's time."""
PIPE_BYTES = 65_536
"""Bytes that a pipe of Linux holds."""
_MAX_PORT = 65535
HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
PortOption = Annotated[int, typer.Option(min=0, max=_MAX_PORT, help="Port of the API.")]
ApiHostOption = Annotated[
    str | None, typer.Option(help="Address to listen on; default: NOTIFIER_API__HOST, or 127.0.0.1.")
]
ApiPortOption = Annotated[
    int | None,
    typer.Option(min=0, max=_MAX_PORT, help="Port of the API; default: NOTIFIER_API__PORT, or 8000.", metavar="PORT"),
]
InboxPortOption = Annotated[int, typer.Option(min=0, max=_MAX_PORT, help="Port of the inbox page.")]
SmtpPortOption = Annotated[int, typer.Option(min=0, max=_MAX_PORT, help="Port on which the inbox takes mail.")]
_API_PORT = "--port or NOTIFIER_API__PORT"


async def start_server(host: ApiHostOption = None, port: ApiPortOption = None) -> None:
    """Run API and sender in one process. SQLite needs this command; on PostgreSQL it is the smallest installation."""
    from notifier.db import data_directory
    from notifier.http_server import raise_file_limit
    from notifier.runtime import wiring

    settings = load_settings()
    _require_certificates(settings)
    raise_file_limit()
    async with AsyncExitStack() as stack:
        listener = _open_api_listener(stack, settings, host, port)
        if settings.uses_sqlite:
            stack.enter_context(data_directory.lock_directory(settings.data_dir))
        parts = await stack.enter_async_context(wiring.open_process_parts(settings))
        await _require_migrated(parts)
        await stack.enter_async_context(wiring.run_sender(parts))
        await _serve_api(stack, parts, listener)
        await wait_for_stop(f"API on {_build_url(listener)}")


async def start_api(host: ApiHostOption = None, port: ApiPortOption = None) -> None:
    """Run the API without a sender. Needs PostgreSQL and senders that run elsewhere."""
    from notifier.http_server import raise_file_limit
    from notifier.runtime import wiring

    settings = _load_postgres_settings("api")
    raise_file_limit()
    async with AsyncExitStack() as stack:
        listener = _open_api_listener(stack, settings, host, port)
        parts = await stack.enter_async_context(wiring.open_process_parts(settings))
        await _require_usable(parts)
        await _serve_api(stack, parts, listener)
        await wait_for_stop(f"API on {_build_url(listener)}")


async def start_sender(
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many processes send.")] = 1,
    drain: Annotated[bool, typer.Option("--drain", help="Stop when nothing is due any more.")] = False,
    number: Annotated[int, typer.Option(hidden=True, help="Which of several; its metrics port is so much higher.")] = 0,
    supervisor_pipe: Annotated[
        int | None, typer.Option(hidden=True, help="A byte from it wakes the sender; its end stops the sender.")
    ] = None,
) -> None:
    """Run a sender without the API: it claims, renders and delivers. Run as many as you like. Needs PostgreSQL."""
    settings = _load_postgres_settings("sender")
    _require_certificates(settings)
    if processes > 1:
        from notifier.cli.process_supervisor import ProcessSupervisor

        raise typer.Exit(await ProcessSupervisor(processes, ["--drain"] if drain else [], drain=drain).run())
    from notifier.http_server import raise_file_limit
    from notifier.runtime import wiring

    raise_file_limit()
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(wiring.open_process_parts(settings, has_api=False))
        await _require_migrated(parts)
        running = await stack.enter_async_context(wiring.run_sender(parts))
        if settings.sender.metrics_port is not None:
            port = settings.sender.metrics_port + number
            listener = _open_listener(stack, settings.metrics_host, port, "NOTIFIER_SENDER__METRICS_PORT")
            await stack.enter_async_context(wiring.serve_http(wiring.build_sender_app(parts, running), listener))
        stop = asyncio.create_task(wait_for_stop("sender ready", supervisor_pipe, parts.receive_hint))
        drained = asyncio.create_task(running.drain()) if drain else stop
        done, _ = await asyncio.wait({stop, drained}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        drained.cancel()
        for task in done:
            task.result()


async def start_inbox(
    host: HostOption = "127.0.0.1",
    port: InboxPortOption = 8025,
    smtp_port: SmtpPortOption = 1025,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A host name that may stand in its URL. Repeatable.")
    ] = None,
    release_port: Annotated[
        list[int] | None, typer.Option(help="A loopback port to which mail may be released. Repeatable.")
    ] = None,
) -> None:
    """Run the development inbox: it accepts every mail, shows it, and delivers none."""
    from notifier.http_server import raise_file_limit
    from notifier.inbox.inbox_server import Inbox
    from notifier.inbox.web_app import Access

    set_up_logging(_load_log_settings())
    raise_file_limit()
    access = Access(hosts=allow_host or (), release_ports=release_port or ())
    with name_busy_port({"--port": port, "--smtp-port": smtp_port}):
        async with Inbox(host=host, smtp_port=smtp_port, http_port=port, access=access) as inbox:
            await wait_for_stop(f"inbox on {inbox.http_url}, mail to {inbox.host}:{inbox.smtp_port}")


def _load_log_settings() -> "LogSettings":
    """Load the settings of the log, for a process that needs no others. Raises `CommandError`."""
    from pydantic import ValidationError

    from notifier.cli import setting_faults
    from notifier.log_settings import LogSettings

    try:
        return LogSettings()
    except ValidationError as error:
        raise CommandError("\nnotifier: ".join(setting_faults.describe_setting_faults(error)), USAGE_ERROR) from error


def _open_listener(stack: AsyncExitStack, host: str, port: int, option: str) -> "socket.socket":
    """Listen on the port until the stack closes."""
    from notifier.runtime import wiring

    with name_busy_port({option: port}):
        listener = wiring.open_listener(host, port)
    stack.callback(listener.close)
    return listener


def _open_api_listener(
    stack: AsyncExitStack, settings: "Settings", host: str | None, port: int | None
) -> "socket.socket":
    """Listen for the API: on the address and port of the options, or of the settings."""
    return _open_listener(stack, host or settings.api.host, settings.api.port if port is None else port, _API_PORT)


def _build_url(listener: "socket.socket") -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve_api(stack: AsyncExitStack, parts: "ProcessParts", listener: "socket.socket") -> None:
    """Serve the API on the socket, and its metrics on their own port if the settings name one."""
    from notifier.http_server import find_server_limits
    from notifier.runtime import wiring

    settings = parts.settings
    limits = find_server_limits(settings.smtp.max_connections + settings.webhooks.concurrency)
    if settings.api.metrics_port:
        own = _open_listener(stack, settings.metrics_host, settings.api.metrics_port, "NOTIFIER_API__METRICS_PORT")
        await stack.enter_async_context(wiring.serve_http(wiring.build_probe_app(parts), own))
    await stack.enter_async_context(wiring.serve_http(wiring.build_site(parts), listener, limits))


async def wait_for_stop(ready: str, pipe: int | None = None, wake: "Callable[[], None] | None" = None) -> None:
    """Print that the process is ready, and wait for SIGTERM, SIGINT or the end of a pipe.

    From the moment of that line, a signal ends the process in order. A second signal ends it at once. `wake` is called
    when there are bytes in the pipe: once, however many there are.
    """
    stop = asyncio.Event()

    def read_pipe() -> None:
        if not os.read(pipe or 0, PIPE_BYTES):
            stop.set()
        elif wake is not None:
            wake()

    # Objects from start-up live as long as the process. Without freeze, each full collection takes 0.1 s.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if pipe is not None:
        loop.add_reader(pipe, read_pipe)
    print(ready, flush=True)
    await stop.wait()
    if pipe is not None:
        loop.remove_reader(pipe)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


def _require_certificates(settings: "Settings") -> None:
    """Exit 2 if a certificate file cannot be used, before the first mail or webhook fails because of it."""
    from notifier.health import checks

    faults = [finding.detail for finding in checks.check_certificates(settings) if not finding.ok]
    if faults:
        raise CommandError("\nnotifier: ".join(faults), USAGE_ERROR)


async def _require_migrated(parts: "ProcessParts") -> None:
    """Exit 2 if the database is out of reach, or its schema is not the one that this release needs."""
    from notifier.health import checks

    for finding in await checks.check_database(parts.database, with_reason=True):
        if not finding.ok:
            raise CommandError(f"{finding.name}: {finding.detail}", USAGE_ERROR)


async def _require_usable(parts: "ProcessParts") -> None:
    """Exit 2 if the database can never be used. One that is out of reach or not migrated may be usable later."""
    from notifier.db import migrations
    from notifier.errors import DatabaseUnavailableError
    from notifier.telemetry.logging import get_logger

    try:
        await migrations.get_current_revision(parts.database)
    except DatabaseUnavailableError as error:
        if not error.may_pass:
            raise
        get_logger().warning("api_waits_for_database", reason=error.reason or UNREACHABLE_DATABASE)


def _load_postgres_settings(command: str) -> "Settings":
    settings = load_settings()
    if settings.uses_sqlite:
        raise CommandError(
            f"`notifier {command}` needs PostgreSQL (NOTIFIER_DATABASE_URL); on SQLite use `notifier serve`",
            USAGE_ERROR,
        )
    return settings


@contextmanager
def name_busy_port(options: dict[str, int]) -> "Iterator[None]":
    """Name the option of a port that another program uses."""
    from notifier.http_server import PortBusyError
    from notifier.inbox.inbox_server import InboxPortBusy

    try:
        yield
    except (InboxPortBusy, PortBusyError) as error:
        option = next(name for name, port in options.items() if port == error.port)
        raise CommandError(f"port {error.port} is in use: choose another with {option}", USAGE_ERROR) from error

"""The commands that run until they are stopped: `serve`, `api`, `sender`, `inbox`."""

import asyncio
import gc
import signal
import sys
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli import output
from notifier.cli.output import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notifier.inbox.inbox_server import Inbox
    from notifier.settings import Settings

THREAD_SWITCH_SECONDS = 0.0005
"""Seconds until a busy thread lets another run. With Python's default of 5 ms, large bodies slow down other POSTs."""
GC_THRESHOLD = 50_000
"""New objects before a garbage collection. Python's default of 700 costs 5 % of a sender's time."""
HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
PortOption = Annotated[int, typer.Option(help="Port of the API.")]
InboxPortOption = Annotated[int, typer.Option(help="Port of the inbox page.")]
SmtpPortOption = Annotated[int, typer.Option(help="Port on which the inbox takes mail.")]


def register_process_commands(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(start_server)
    app.command("api")(start_api)
    app.command("sender")(start_sender)
    app.command("inbox")(start_inbox)


def start_server(host: HostOption = "127.0.0.1", port: PortOption = 8000) -> None:
    """Run API and sender in one process. On SQLite this is the only way; on PostgreSQL the smallest."""
    with name_busy_port({"--port": port}):
        output.run_command(_run_serve(host, port))


async def _run_serve(host: str, port: int) -> None:
    from notifier.db import data_directory
    from notifier.http_server import raise_file_limit
    from notifier.runtime import wiring

    settings = output.load_settings()
    _require_certificates(settings)
    raise_file_limit()
    async with AsyncExitStack() as stack:
        listener = wiring.open_listener(host, port)
        stack.callback(listener.close)
        if settings.uses_sqlite:
            stack.enter_context(data_directory.lock_directory(settings.data_dir))
        parts = await stack.enter_async_context(wiring.open_process_parts(settings))
        await _require_migrated(parts)
        await stack.enter_async_context(wiring.run_sender(parts))
        await _open_doors(stack, parts, listener)
        _say(f"API on http://{host}:{listener.getsockname()[1]}")
        await wait_for_stop()


def start_api(host: HostOption = "127.0.0.1", port: PortOption = 8000) -> None:
    """Run the API without a sender. Needs PostgreSQL and senders that run elsewhere."""
    with name_busy_port({"--port": port}):
        output.run_command(_run_api(_with_postgres("api"), host, port))


async def _run_api(settings: "Settings", host: str, port: int) -> None:
    from notifier.http_server import raise_file_limit
    from notifier.runtime import wiring

    raise_file_limit()
    async with AsyncExitStack() as stack:
        listener = wiring.open_listener(host, port)
        stack.callback(listener.close)
        parts = await stack.enter_async_context(wiring.open_process_parts(settings))
        await _require_usable(parts)
        await _open_doors(stack, parts, listener)
        _say(f"API on http://{host}:{listener.getsockname()[1]}")
        await wait_for_stop()


def start_sender(
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many processes send.")] = 1,
    drain: Annotated[bool, typer.Option(help="Stop when nothing is due any more.")] = False,
    number: Annotated[int, typer.Option(hidden=True, help="Which of several; its metrics port is so much higher.")] = 0,
    until_closed: Annotated[int | None, typer.Option(hidden=True, help="A pipe; its end stops the sender.")] = None,
) -> None:
    """Run a sender without the API: it claims, renders and delivers. Run as many as you like. Needs PostgreSQL."""
    settings = _with_postgres("sender")
    _require_certificates(settings)
    if processes == 1:
        output.run_command(_run_sender(settings, number, drain=drain, until_closed=until_closed))
    else:
        raise typer.Exit(output.run_command(_fleet(processes, drain=drain)))


async def _fleet(processes: int, *, drain: bool) -> int:
    from notifier.cli.process_supervisor import ProcessSupervisor

    return await ProcessSupervisor(processes, ["--drain"] if drain else [], drain=drain).run()


async def _run_sender(settings: "Settings", number: int, *, drain: bool, until_closed: int | None) -> None:
    from notifier.http_server import raise_file_limit
    from notifier.runtime import wiring

    raise_file_limit()
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(wiring.open_process_parts(settings))
        await _require_migrated(parts)
        running = await stack.enter_async_context(wiring.run_sender(parts))
        if settings.sender.metrics_port is not None:
            listener = wiring.open_listener(settings.metrics_host, settings.sender.metrics_port + number)
            stack.callback(listener.close)
            await stack.enter_async_context(wiring.serve_http(wiring.build_sender_app(parts, running), listener))
        _say("sender ready")
        if drain:
            stop = asyncio.create_task(wait_for_stop(until_closed))
            drained = asyncio.create_task(running.drain())
            await asyncio.wait({stop, drained}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            drained.cancel()
        else:
            await wait_for_stop(until_closed)


def start_inbox(
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
    from notifier.inbox.access import Access
    from notifier.inbox.inbox_server import Inbox

    catcher = Inbox(
        host=host,
        smtp_port=smtp_port,
        http_port=port,
        access=Access(hosts=allow_host or (), release_ports=release_port or ()),
    )
    with name_busy_port({"--port": port, "--smtp-port": smtp_port}):
        output.run_command(_run_inbox(catcher))


async def _run_inbox(catcher: "Inbox") -> None:
    from notifier.http_server import raise_file_limit

    raise_file_limit()
    async with catcher:
        host = catcher.host
        _say(f"inbox on {catcher.http_url}, mail to {host}:{catcher.smtp_port}")
        await wait_for_stop()


async def _open_doors(stack: AsyncExitStack, parts: Any, listener: Any) -> None:
    """Serve the API on the socket, and its metrics on their own port if the settings name one."""
    from notifier.http_server import find_server_limits
    from notifier.runtime import wiring

    settings = parts.settings
    limits = find_server_limits(settings.smtp.max_connections + settings.webhooks.concurrency)
    if settings.api.metrics_port:
        own = wiring.open_listener(settings.metrics_host, settings.api.metrics_port)
        stack.callback(own.close)
        await stack.enter_async_context(wiring.serve_http(wiring.build_probe_app(parts), own))
    await stack.enter_async_context(wiring.serve_http(wiring.build_api(parts), listener, limits))


async def wait_for_stop(pipe: int | None = None) -> None:
    """Wait for SIGTERM, SIGINT or the end of a pipe. A second signal ends the process at once."""
    stop = asyncio.Event()
    # Objects from start-up live as long as the process. Without freeze, each full collection takes 0.1 s.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if pipe is not None:
        loop.add_reader(pipe, stop.set)
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
        raise CommandError("\nnotifier: ".join(faults), output.USAGE_ERROR)


async def _require_migrated(parts: Any) -> None:
    """Exit 2 if the database is out of reach, and 1 if its schema is not the one that this release needs."""
    from notifier.health import checks

    for finding in await checks.check_database(parts.database, with_reason=True):
        if not finding.ok:
            code = output.USAGE_ERROR if finding.name == "database" else 1
            raise CommandError(f"{finding.name}: {finding.detail}", code)


async def _require_usable(parts: Any) -> None:
    """Exit 2 if the database can never be used. One that is only away, or not migrated yet, may come later."""
    from notifier.db import migrations
    from notifier.errors import DatabaseUnavailableError
    from notifier.telemetry.logging import get_logger

    try:
        await migrations.get_current_revision(parts.database)
    except DatabaseUnavailableError as error:
        if not error.may_pass:
            raise
        get_logger().warning("api_waits_for_database", reason=error.reason or output.UNREACHABLE_DATABASE)


def _with_postgres(command: str) -> "Settings":
    settings = output.load_settings()
    if settings.uses_sqlite:
        raise CommandError(
            f"`notifier {command}` needs PostgreSQL (NOTIFIER_DATABASE_URL); on SQLite use `notifier serve`",
            output.USAGE_ERROR,
        )
    return settings


@contextmanager
def name_busy_port(flags: dict[str, int]) -> "Iterator[None]":
    """Turn the error of a busy port into one that names the flag."""
    from notifier.inbox.inbox_server import InboxPortBusy
    from notifier.runtime.wiring import PortBusyError

    try:
        yield
    except (InboxPortBusy, PortBusyError) as error:
        raise _busy(error.port, flags) from error
    except CommandError as error:
        if isinstance(error.__cause__, PortBusyError):
            raise _busy(error.__cause__.port, flags) from error
        raise


def _busy(port: int, flags: dict[str, int]) -> CommandError:
    flag = next((name for name, value in flags.items() if value == port), "the port's flag")
    return CommandError(f"port {port} is in use: choose another with {flag}", output.USAGE_ERROR)


def _say(line: str) -> None:
    print(line, flush=True)

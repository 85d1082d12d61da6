"""The commands that stay: `demo`, `serve`, `api`, `sender`, `inbox`. They stop on SIGTERM and SIGINT, in order."""

import asyncio
import gc
import json
import signal
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli import output
from notifier.cli.output import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notifier.settings import Settings

GC_THRESHOLD = 50_000
"""Objects between two looks for garbage in cycles; Python's own 700 cost a twentieth of a sender's time."""
LOOPBACK = ("localhost", "127.0.0.1")
"""Where the demo tells webhooks over plain HTTP, unless a setting names other hosts."""
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port of the API.")]
DataDir = Annotated[Path | None, typer.Option(help="Where data are kept.")]
InboxPort = Annotated[int, typer.Option(help="Port of the inbox page.")]
SmtpPort = Annotated[int, typer.Option(help="Port on which the inbox takes mail.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(demo)
    app.command()(serve)
    app.command()(api)
    app.command()(sender)
    app.command()(inbox)


def demo(
    port: Port = 8000,
    inbox_port: InboxPort = 8025,
    smtp_port: SmtpPort = 1025,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Try it: API, sender and inbox in one process, on SQLite. Nothing leaves this machine."""
    with _port_named({"--port": port, "--inbox-port": inbox_port, "--smtp-port": smtp_port}):
        output.run(_demo(data_dir, ports=(port, inbox_port, smtp_port), as_json=as_json))


async def _demo(data_dir: Path | None, *, ports: tuple[int, int, int], as_json: bool) -> None:
    from notifier import wiring
    from notifier.db import directory, migrate
    from notifier.inbox.server import Inbox

    port, inbox_port, smtp_port = ports
    async with AsyncExitStack() as stack:
        catcher = await stack.enter_async_context(Inbox(smtp_port=smtp_port, http_port=inbox_port))
        given = {"host": "127.0.0.1", "port": catcher.smtp_port, "security": "none"}
        settings = output.settings(data_dir=data_dir, smtp=given, recipients={"mode": "allow"}, database_url=None)
        if not settings.webhooks.insecure_hosts:  # who tries it out has a receiver on the same machine
            webhooks = settings.webhooks.model_copy(update={"insecure_hosts": LOOPBACK})
            settings = settings.model_copy(update={"webhooks": webhooks})
        listener = wiring.listen("127.0.0.1", port)
        stack.callback(listener.close)
        stack.enter_context(directory.owned(settings.data_dir))
        parts = await stack.enter_async_context(wiring.base(settings))
        await migrate.upgrade(parts.database)
        await _seed(parts)
        key = await _demo_key(parts, settings.data_dir)
        await stack.enter_async_context(wiring.sender(parts))
        await stack.enter_async_context(wiring.http(wiring.api(parts), listener))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        _announce(url, catcher.http_url, f"127.0.0.1:{catcher.smtp_port}", key, as_json=as_json)
        await _until_told_to_stop()


async def _seed(parts: Any) -> None:
    """Publish the shipped templates that are not there yet; what staff edited stays."""
    from notifier import installation
    from notifier.rendering.pool import RenderingPool
    from notifier.templating.folder import files
    from notifier.templating.folder.push import Push

    root = installation.templates_dir(parts.settings)
    async with RenderingPool() as pool:
        push = Push(database=parts.database, pool=pool, clock=parts.clock, by="demo", only_new=True)
        await push.run(root, files.slugs(root))


async def _demo_key(parts: Any, data_dir: Path) -> str:
    """The demo's key: made at the first start, kept in the data directory, the same at every later one."""
    from notifier.auth import keys
    from notifier.db import directory
    from notifier.errors import NotFoundError

    kept = data_dir / "demo-key"
    if kept.is_file():
        key = kept.read_text().strip()
        with suppress(keys.UnauthenticatedError):
            await keys.Authenticator(parts.database, parts.clock).caller_of(f"Bearer {key}")
            return key
    async with parts.database.write() as connection:
        try:
            service = await keys.find_service(connection, "demo")
        except NotFoundError:
            now, domains = parts.clock.now(), ["shop.example"]  # as in the documentation
            service = await keys.create_service(connection, "demo", from_domains=domains, now=now)
        key = await keys.create_key(connection, service, scopes=list(keys.Scope), now=parts.clock.now())
    directory.keep_secret(kept, key)
    return key


def _announce(api_url: str, inbox_url: str, smtp: str, key: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"api": api_url, "inbox": inbox_url, "smtp": smtp, "key": key}), flush=True)
        return
    body = '{"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}'
    print(
        f"\n  API    {api_url}/docs\n  Inbox  {inbox_url}\n  SMTP   {smtp}\n  Key    {key}\n\n"
        "Send a mail:\n\n"
        f"curl -i {api_url}/v1/notifications -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        f" -d '{body}'\n\nCtrl-C stops; data and key are kept.\n",
        flush=True,
    )


def serve(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """API and sender in one process: all there is on SQLite, the smallest set-up on PostgreSQL."""
    with _port_named({"--port": port}):
        output.run(_serve(host, port))


async def _serve(host: str, port: int) -> None:
    from notifier import wiring
    from notifier.db import directory

    settings = output.settings()
    async with AsyncExitStack() as stack:
        listener = wiring.listen(host, port)
        stack.callback(listener.close)
        if settings.uses_sqlite:
            stack.enter_context(directory.owned(settings.data_dir))
        parts = await stack.enter_async_context(wiring.base(settings))
        await _require_migrated(parts)
        await stack.enter_async_context(wiring.sender(parts))
        await stack.enter_async_context(wiring.http(wiring.api(parts), listener))
        _say(f"API on http://{host}:{listener.getsockname()[1]}")
        await _until_told_to_stop()


def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """The API alone; senders run elsewhere. Needs PostgreSQL."""
    with _port_named({"--port": port}):
        output.run(_api(_with_postgres("api"), host, port))


async def _api(settings: "Settings", host: str, port: int) -> None:
    from notifier import wiring

    async with AsyncExitStack() as stack:
        listener = wiring.listen(host, port)
        stack.callback(listener.close)
        parts = await stack.enter_async_context(wiring.base(settings))
        await stack.enter_async_context(wiring.http(wiring.api(parts), listener))
        _say(f"API on http://{host}:{listener.getsockname()[1]}")
        await _until_told_to_stop()


def sender(
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many processes send.")] = 1,
    drain: Annotated[bool, typer.Option(help="Stop when nothing is due any more.")] = False,
    number: Annotated[int, typer.Option(hidden=True, help="Which of several; its metrics port is so much higher.")] = 0,
    until_closed: Annotated[int | None, typer.Option(hidden=True, help="A pipe; its end stops the sender.")] = None,
) -> None:
    """A sender alone: claims, renders, delivers. Run as many as you like. Needs PostgreSQL."""
    settings = _with_postgres("sender")
    if processes == 1:
        output.run(_sender(settings, number, drain=drain, until_closed=until_closed))
    else:
        raise typer.Exit(output.run(_fleet(processes, drain=drain)))


async def _fleet(processes: int, *, drain: bool) -> int:
    from notifier.cli.fleet import Fleet

    return await Fleet(processes, ["--drain"] if drain else [], drain=drain).run()


async def _sender(settings: "Settings", number: int, *, drain: bool, until_closed: int | None) -> None:
    from notifier import wiring

    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(wiring.base(settings))
        await _require_migrated(parts)
        running = await stack.enter_async_context(wiring.sender(parts))
        if settings.sender.metrics_port is not None:
            listener = wiring.listen("0.0.0.0", settings.sender.metrics_port + number)  # noqa: S104 - scraped from outside
            stack.callback(listener.close)
            await stack.enter_async_context(wiring.http(wiring.sender_app(parts, running), listener))
        _say("sender ready")
        if drain:
            stop = asyncio.create_task(_until_told_to_stop(until_closed))
            drained = asyncio.create_task(running.drain())
            await asyncio.wait({stop, drained}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            drained.cancel()
        else:
            await _until_told_to_stop(until_closed)


def inbox(host: Host = "127.0.0.1", port: InboxPort = 8025, smtp_port: SmtpPort = 1025) -> None:
    """The development inbox alone: takes every mail, shows it, delivers none."""
    with _port_named({"--port": port, "--smtp-port": smtp_port}):
        output.run(_inbox(host, port, smtp_port))


async def _inbox(host: str, port: int, smtp_port: int) -> None:
    from notifier.inbox.server import Inbox

    async with Inbox(host=host, smtp_port=smtp_port, http_port=port) as catcher:
        _say(f"inbox on {catcher.http_url}, mail to {host}:{catcher.smtp_port}")
        await _until_told_to_stop()


async def _until_told_to_stop(pipe: int | None = None) -> None:
    """Wait for SIGTERM or SIGINT, or the end of a pipe; a second signal ends the process the hard way."""
    told = asyncio.Event()
    # What start-up made lives as long as the process: looking through it again and again stops the world for 0.1 s.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)  # what a mail or a request needs comes and goes together; cycles are rare
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    if pipe is not None:
        loop.add_reader(pipe, told.set)
    await told.wait()
    if pipe is not None:
        loop.remove_reader(pipe)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


async def _require_migrated(parts: Any) -> None:
    from notifier.health import checks

    bad = [finding for finding in await checks.database(parts.database) if not finding.ok]
    if bad:
        raise Failed(f"{bad[0].name}: {bad[0].detail}")


def _with_postgres(command: str) -> "Settings":
    settings = output.settings()
    if settings.uses_sqlite:
        raise Failed(
            f"`notifier {command}` needs PostgreSQL (NOTIFIER_DATABASE_URL); on SQLite use `notifier serve`",
            output.WRONG_USE,
        )
    return settings


@contextmanager
def _port_named(flags: dict[str, int]) -> "Iterator[None]":
    """Name the flag of a port that is in use."""
    from notifier.inbox.server import InboxPortBusy
    from notifier.wiring import PortBusyError

    try:
        yield
    except (InboxPortBusy, PortBusyError) as error:
        raise _busy(error.port, flags) from error
    except Failed as error:
        if isinstance(error.__cause__, PortBusyError):
            raise _busy(error.__cause__.port, flags) from error
        raise


def _busy(port: int, flags: dict[str, int]) -> Failed:
    flag = next((name for name, value in flags.items() if value == port), "the port's flag")
    return Failed(f"port {port} is in use: choose another with {flag}", output.WRONG_USE)


def _say(line: str) -> None:
    print(line, flush=True)

"""`notifier forward`: moves mails from a producer outbox to the API, and shows the rows that were refused."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from notifier.cli.api_access import ApiAccess, KeyOption, UrlOption, find_access
from notifier.cli.command import USAGE_ERROR, CommandError, print_rows

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncEngine

    from notifier.client.producer import ForwarderLimits
    from notifier.db.database_url import DatabaseAddress

ASYNCPG_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+asyncpg", "postgres+asyncpg"})


async def forward_mails(
    database_url: Annotated[
        str,
        typer.Option(
            help="Your database, with `notifier_producer` in it; default: NOTIFIER_PRODUCER_DATABASE_URL.",
            show_default=False,
            metavar="URL",
        ),
    ] = "",
    url: UrlOption = "",
    key: KeyOption = "",
    once: Annotated[bool, typer.Option("--once", help="One request at most; exit 1 if it failed.")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="Stop when nothing is due any more.")] = False,
    rows: Annotated[int, typer.Option(min=1, max=1000, help="Rows of one request at most.")] = 1000,
    lease: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which another may take over from a dead one.")
    ] = 30,
    refused: Annotated[bool, typer.Option("--refused", help="Show the rows that were refused, and stop.")] = False,
    release: Annotated[
        list[UUID], typer.Option(help="Let this refused row be tried again, as if for the first time, and stop.")
    ] = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of columns.")] = False,
) -> None:
    """Move mails from a producer table to the API. On PostgreSQL run as many as you like, on SQLite one."""
    from notifier.client.producer import ForwarderLimits
    from notifier.environment import get_variable

    if sum((once, drain, refused, bool(release))) > 1:
        raise CommandError("--once, --drain, --refused and --release do not go together", USAGE_ERROR)
    database_url = database_url.strip() or get_variable("NOTIFIER_PRODUCER_DATABASE_URL") or ""
    if not database_url:
        raise CommandError("no database: give --database-url, or set NOTIFIER_PRODUCER_DATABASE_URL", USAGE_ERROR)
    if refused or release:
        async with _open_engine(database_url) as engine:
            await _show_refused(engine, release, as_json=as_json)
        return
    access = find_access(url, key, "NOTIFIER_API_KEY")
    _log_to_stderr()
    limits = ForwarderLimits(max_rows=rows, lease=timedelta(seconds=lease))
    until = "once" if once else "drained" if drain else "stopped"
    async with _open_engine(database_url) as engine:
        await _run_forwarder(engine, access, limits, until=until)


async def _run_forwarder(
    engine: "Engine | AsyncEngine", access: ApiAccess, limits: "ForwarderLimits", *, until: str
) -> None:
    from notifier.client import producer
    from notifier.client.producer.forwarder import run_in_transaction

    forwarder = producer.Forwarder(engine, url=access.url, key=access.key, limits=limits)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, forwarder.stop)
    try:
        before = await run_in_transaction(engine, producer.count_backlog)
        print(f"forwarding to {access.url}: {before.waiting} wait, {before.refused} were refused", flush=True)
        if until == "once":
            turn = await forwarder.forward_once()
            if turn.failure:
                raise CommandError(f"not forwarded: {turn.failure}")
        else:
            await (forwarder.drain() if until == "drained" else forwarder.run())
        after = await run_in_transaction(engine, producer.count_backlog)
        print(f"{after.waiting} wait, {after.refused} were refused", flush=True)
    finally:
        await forwarder.close()


async def _show_refused(engine: "Engine | AsyncEngine", release: list[UUID], *, as_json: bool) -> None:
    from notifier.client import producer
    from notifier.client.producer.forwarder import run_in_transaction

    if release:
        freed = await run_in_transaction(engine, lambda connection: producer.retry_refused(connection, release))
        print(f"{freed} of {len(release)} will be tried again")
        if freed < len(release):
            raise typer.Exit(1)
        return
    rows = await run_in_transaction(engine, producer.list_refused)
    print_rows(
        (
            {
                "id": row.id,
                "refused_at": row.refused_at.isoformat(timespec="seconds"),
                "code": row.problem["code"],
                "errors": row.problem["errors"] if as_json else json.dumps(row.problem["errors"], ensure_ascii=False),
            }
            for row in rows
        ),
        as_json=as_json,
    )


@asynccontextmanager
async def _open_engine(url: str) -> "AsyncIterator[Engine | AsyncEngine]":
    """Open the caller's database with the driver that its URL names, or with ours, until the block ends.

    Errors of the database are raised as `CommandError`.
    """
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncEngine

    from notifier.client.producer import UnsupportedDatabaseError

    engine = _create_engine(url)
    try:
        yield engine
    except UnsupportedDatabaseError as error:
        raise CommandError(str(error), USAGE_ERROR) from error
    except (DBAPIError, OSError) as error:
        raise CommandError(f"your database: {_explain_error(error, url)}") from error
    finally:
        if isinstance(engine, AsyncEngine):
            await engine.dispose()
        else:
            engine.dispose()


def _create_engine(url: str) -> "Engine | AsyncEngine":
    """Create an engine on the caller's database. Raises `CommandError`."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    from notifier.db.database_url import PostgresAddress
    from notifier.db.postgres_connector import PostgresConnector

    pool_options: dict[str, Any] = {"pool_size": 1, "pool_pre_ping": True}
    try:
        address = _parse_address(url)
        if isinstance(address, PostgresAddress):
            return PostgresConnector(address).create_engine(**pool_options)
        parsed = make_url(url.strip())
        # A SQLite connection must be used in the thread that opened it, so it is not pooled.
        options = {"poolclass": NullPool} if parsed.get_backend_name() == "sqlite" else pool_options
        make = create_async_engine if parsed.get_dialect().is_async else create_engine
        return make(parsed, hide_parameters=True, **options)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise CommandError("--database-url: no database that can be opened from here", USAGE_ERROR) from error


def _explain_error(error: "DBAPIError | OSError", url: str) -> str:
    """Explain the error: in our words if we know it, else in the redacted words of the driver."""
    from sqlalchemy.exc import DBAPIError

    from notifier.db.database_errors import UPGRADE_ADVICE, explain_database_error
    from notifier.telemetry.redaction import redact_text

    address = _parse_address(url)
    reason = explain_database_error(error, address) if address is not None else None
    if reason is not None and UPGRADE_ADVICE not in reason:  # the caller's database does not have our schema
        return reason
    if reason is not None or "no such table" in str(error):
        return "it lacks the table notifier_producer, or a column of it: create it with producer.define_table"
    words = str(error.orig if isinstance(error, DBAPIError) else error).partition("\n")[0]
    return redact_text(words.removeprefix("<class ").partition("'>: ")[2] or words)


def _parse_address(url: str) -> "DatabaseAddress | None":
    """Parse the URL of a database that we open with our own driver; None for any other."""
    from notifier.db.database_url import parse_database_url

    is_ours = url.strip().partition("://")[0].lower() in ASYNCPG_SCHEMES
    return parse_database_url(url, "--database-url") if is_ours else None


def _log_to_stderr() -> None:
    """Log the messages of the forwarder to stderr, without those of its libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("notifier.client.producer")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False

"""`feeds`: an operator saves, fetches, confirms and looks at feeds of any service or of the instance."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    build_actor,
    format_time,
    open_for_reading,
    open_for_writing,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)
from notifier.states import FeedFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.feeds.feed_rules import FeedRequest
    from notifier.feeds.feed_store import FeedView
    from notifier.runtime.process_parts import ProcessParts

_DEFAULT_BYTES = 1024 * 1024
_DEFAULT_SECONDS = 10
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the feed.")]
Service = Annotated[str, typer.Option(help="The service that owns it; default: the instance.")]


async def list_feeds(service: Service = "", as_json: Json = False) -> None:
    """List the feeds of the instance or of a service, by name."""
    from notifier.feeds import feed_store

    async with open_for_reading() as parts, parts.database.read() as connection:
        feeds = await feed_store.list_feeds(connection, await _find_owner(connection, service))
    print_rows([_build_row(feed) for feed in feeds], as_json=as_json)


async def show_feed(name: Name, service: Service = "", as_json: Json = False) -> None:
    """Show a feed: the revision in use, its age, and why the last attempt failed. Exit 1 if there is none."""
    from notifier.feeds import feed_store

    async with open_for_reading() as parts, parts.database.read() as connection:
        feed = await feed_store.get_feed(connection, await _find_owner(connection, service), name)
    details: dict[str, Any] = _build_row(feed) | {
        "format": feed.format.value,
        "headers": ", ".join(feed.header_fields),  # their values are never shown
        "row_key": feed.row_key or "",
        "schema": "yes" if feed.json_schema is not None else "no",
        "max_bytes": feed.max_bytes,
        "timeout_seconds": feed.timeout_seconds,
        "failing_since": format_time(feed.failing_since),
        "unconfirmed": strip_control_characters(str((feed.unconfirmed or {}).get("reason", ""))),
        "changed_by": feed.updated_by,
    }
    if as_json:
        print_rows([details], as_json=True)
        return
    for key, value in details.items():
        print(f"{key}: {value}")


async def save_feed(
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where its document is.")],
    form: Annotated[FeedFormat, typer.Option("--format", help="The form of its document.")] = FeedFormat.JSON,
    headers: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Header fields, such as credentials, one `Name: value` a line; `-`: standard input."
        ),
    ] = "",
    schema: Annotated[Path | None, typer.Option(help="A JSON Schema that the document must match.")] = None,
    row_key: Annotated[str, typer.Option(help="The column by which rows of two revisions are matched.")] = "",
    max_bytes: Annotated[int, typer.Option(help="A larger document is not used.")] = _DEFAULT_BYTES,
    timeout_seconds: Annotated[
        int, typer.Option("--timeout", help="Seconds for the whole attempt.")
    ] = _DEFAULT_SECONDS,
    service: Service = "",
    as_json: Json = False,
) -> None:
    """Create a feed, or replace its settings. Without --headers, the stored header fields stay."""
    from notifier.feeds import feed_rules, feed_store
    from notifier.feeds.feed_rules import FeedRequest
    from notifier.webhooks.endpoint_secret import SecretBox

    wanted = FeedRequest(
        url=url,
        format=form,
        headers=_read_headers(headers) if headers else None,
        json_schema=_read_schema(schema) if schema is not None else None,
        row_key=replace_surrogates(row_key, "--row-key", feed_rules.MAX_ROW_KEY_LENGTH) or None,
        max_bytes=max_bytes,
        timeout_seconds=timeout_seconds,
    )
    async with open_for_writing() as parts:
        _require_valid(parts, name, wanted)
        box = SecretBox.from_setting(parts.settings.secret_key)
        async with parts.database.write() as connection:
            owner, actor = await _find_owner(connection, service), build_actor(parts.clock.now())
            feed = await feed_store.save_feed(connection, owner, name, wanted, box, actor=actor)
    print_rows([_build_row(feed)], as_json=as_json)


async def fetch_feed(name: Name, service: Service = "", as_json: Json = False) -> None:
    """Begin a job that loads the feed now; a sender does it."""
    from notifier.feeds import fetch_action

    async with open_for_writing() as parts:
        async with parts.database.write() as connection:
            owner, actor = await _find_owner(connection, service), build_actor(parts.clock.now())
            run, _ = await fetch_action.request_fetch(connection, owner, name, actor=actor)
        parts.announcer()
    print_rows([{"job": str(run.id), "feed": name, "state": run.state.value}], as_json=as_json)


async def confirm_feed(name: Name, service: Service = "", as_json: Json = False) -> None:
    """Take over the document that is suddenly empty. Exit 1 if none waits for a confirmation."""
    from notifier.feeds import revision_store

    async with open_for_writing() as parts, parts.database.write() as connection:
        owner, actor = await _find_owner(connection, service), build_actor(parts.clock.now())
        feed = await revision_store.confirm_document(connection, owner, name, actor=actor)
    print_rows([_build_row(feed)], as_json=as_json)


async def list_revisions(name: Name, service: Service = "", as_json: Json = False) -> None:
    """List the revisions of a feed that are kept, newest first."""
    from notifier.feeds import feed_store, revision_store

    async with open_for_reading() as parts, parts.database.read() as connection:
        feed = await feed_store.get_feed(connection, await _find_owner(connection, service), name)
        revisions = await revision_store.list_revisions(connection, feed)
    rows = [
        {
            "number": revision.number,
            "received": format_time(revision.received_at),
            "bytes": revision.size,
            "entries": revision.entries,
            "added": revision.added,
            "removed": revision.removed,
            "changed": revision.changed,
        }
        for revision in revisions
    ]
    print_rows(rows, as_json=as_json)


async def delete_feed(name: Name, service: Service = "") -> None:
    """Delete a feed with its revisions. Exit 1 if there is none."""
    from notifier.feeds import feed_store

    async with open_for_writing() as parts, parts.database.write() as connection:
        owner, actor = await _find_owner(connection, service), build_actor(parts.clock.now())
        await feed_store.delete_feed(connection, owner, name, actor=actor)


def _require_valid(parts: "ProcessParts", name: str, wanted: "FeedRequest") -> None:
    from notifier.errors import InvalidRequestError
    from notifier.feeds import feed_rules, reading_process
    from notifier.feeds.document_reader import SchemaTask

    if faults := feed_rules.find_feed_faults(name, wanted, parts.settings.feeds.insecure_hosts):
        raise InvalidRequestError(faults)
    if wanted.json_schema is not None:
        rejected = reading_process.check_schema_in_child(SchemaTask(json_schema=dict(wanted.json_schema)))
        if rejected is not None:
            raise CommandError(f"--schema: {rejected.reason}", USAGE_ERROR)


def _read_headers(source: str) -> "Mapping[str, str]":
    """Read header fields from a file, because other users of the host can see arguments."""
    text = sys.stdin.read() if source == "-" else _read_text(Path(source), "--headers")
    fields: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or name.strip().lower() in {known.lower() for known in fields}:
            raise CommandError(f"--headers: line {number} is not `Name: value`, or has a name again", USAGE_ERROR)
        fields[name.strip()] = value.strip()
    return fields


def _read_schema(path: Path) -> "Mapping[str, Any]":
    from notifier.strict_json import MalformedJsonError, parse_json

    try:
        schema = parse_json(_read_text(path, "--schema").encode())
    except MalformedJsonError as error:
        raise CommandError(f"--schema: {path} is not valid JSON: {error}", USAGE_ERROR) from error
    if not isinstance(schema, dict):
        raise CommandError(f"--schema: {path} is not a JSON object", USAGE_ERROR)
    return schema


def _read_text(path: Path, option: str) -> str:
    from notifier.db.data_directory import describe_os_error

    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise CommandError(f"{option}: {path}: {describe_os_error(error)}", USAGE_ERROR) from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{option}: {path} is not UTF-8", USAGE_ERROR) from error


async def _find_owner(connection: "AsyncConnection", service: str) -> UUID:
    from notifier.auth import service_admin
    from notifier.db.tables import INSTANCE

    return await service_admin.find_service(connection, service) if service else INSTANCE


def _build_row(feed: "FeedView") -> dict[str, Any]:
    return {
        "name": feed.name,
        "status": feed.status.value,
        "revision": feed.latest_number or "-",
        "received": format_time(feed.received_at),
        "checked": format_time(feed.checked_at),
        "url": strip_control_characters(feed.url),
        "error": strip_control_characters(feed.error or ""),
    }

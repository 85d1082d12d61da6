"""`feeds`: an operator saves, fetches, confirms and looks at feeds of any service or of the instance."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.api_access import pass_api
from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    format_time,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)
from notifier.states import FeedFormat

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Feed

_DEFAULT_BYTES = 1024 * 1024
_DEFAULT_SECONDS = 10
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the feed.")]
Service = Annotated[str, typer.Option(help="The service that owns it; default: the instance.")]


@pass_api(writes=False)
async def list_feeds(notifier: "AsyncNotifier", service: Service = "", as_json: Json = False) -> None:
    """List the feeds of the instance or of a service, by name."""
    print_rows([_build_row(feed) async for feed in notifier.feeds.list(service=service or None)], as_json=as_json)


@pass_api(writes=False)
async def show_feed(notifier: "AsyncNotifier", name: Name, service: Service = "", as_json: Json = False) -> None:
    """Show a feed: the revision in use, its age, and why the last attempt failed. Exit 1 if there is none."""
    feed = await notifier.feeds.get(name, service=service or None)
    details: dict[str, Any] = _build_row(feed) | {
        "format": feed.format,
        "headers": ", ".join(feed.header_names),  # their values are never shown
        "row_key": feed.row_key or "",
        "schema": "yes" if feed.json_schema is not None else "no",
        "max_bytes": feed.max_bytes,
        "timeout_seconds": feed.timeout_seconds,
        "failing_since": format_time(feed.failing_since),
        "unconfirmed": strip_control_characters(feed.unconfirmed.reason if feed.unconfirmed else ""),
        "changed_by": feed.updated_by,
    }
    if as_json:
        print_rows([details], as_json=True)
        return
    for key, value in details.items():
        print(f"{key}: {value}")


@pass_api(writes=True)
async def save_feed(
    notifier: "AsyncNotifier",
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
    feed = await notifier.feeds.save(
        name,
        service=service or None,
        url=replace_surrogates(url),
        format=form.value,
        headers=_read_headers(headers) if headers else None,
        json_schema=_read_schema(schema) if schema is not None else None,
        row_key=replace_surrogates(row_key) or None,
        max_bytes=max_bytes,
        timeout_seconds=timeout_seconds,
    )
    print_rows([_build_row(feed)], as_json=as_json)


@pass_api(writes=True)
async def fetch_feed(notifier: "AsyncNotifier", name: Name, service: Service = "", as_json: Json = False) -> None:
    """Begin a job that loads the feed now; a sender does it."""
    run = await notifier.feeds.fetch(name, service=service or None)
    print_rows([{"job": run.id, "feed": name, "state": run.state}], as_json=as_json)


@pass_api(writes=True)
async def confirm_feed(notifier: "AsyncNotifier", name: Name, service: Service = "", as_json: Json = False) -> None:
    """Take over the document that is suddenly empty. Exit 1 if none waits for a confirmation."""
    print_rows([_build_row(await notifier.feeds.confirm(name, service=service or None))], as_json=as_json)


@pass_api(writes=False)
async def list_revisions(notifier: "AsyncNotifier", name: Name, service: Service = "", as_json: Json = False) -> None:
    """List the revisions of a feed that are kept, newest first."""
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
        async for revision in notifier.feeds.revisions(name, service=service or None)
    ]
    print_rows(rows, as_json=as_json)


@pass_api(writes=True)
async def delete_feed(notifier: "AsyncNotifier", name: Name, service: Service = "") -> None:
    """Delete a feed with its revisions. Exit 1 if there is none."""
    await notifier.feeds.delete(name, service=service or None)


def _read_headers(source: str) -> Mapping[str, str]:
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


def _read_schema(path: Path) -> Mapping[str, Any]:
    try:
        schema = json.loads(_read_text(path, "--schema"))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--schema: {path} is not valid JSON: {error}", USAGE_ERROR) from error
    if not isinstance(schema, dict):
        raise CommandError(f"--schema: {path} is not a JSON object", USAGE_ERROR)
    return schema


def _read_text(path: Path, option: str) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise CommandError(
            f"{option}: {path}: {(error.strerror or type(error).__name__).lower()}", USAGE_ERROR
        ) from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{option}: {path} is not UTF-8", USAGE_ERROR) from error


def _build_row(feed: "Feed") -> dict[str, Any]:
    return {
        "name": feed.name,
        "status": feed.status,
        "revision": feed.latest_number or "-",
        "received": format_time(feed.received_at),
        "checked": format_time(feed.checked_at),
        "url": strip_control_characters(feed.url),
        "error": strip_control_characters(feed.error or ""),
    }

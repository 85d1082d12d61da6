"""`notifier merge`: uploads a spreadsheet, shows what its check found, and submits its rows if that is asked for.

It calls the API, so that it works beside a running server. An option comes before `NOTIFIER_URL` and
`NOTIFIER_API_KEY`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.command import USAGE_ERROR, CommandError, strip_control_characters
from notifier.cli.send import KeyOption, UrlOption, resolve_access

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2
    from rich.progress import Progress

POLL_SECONDS = 0.5
UPLOAD_BYTES = 256 * 1024
SHOWN_FAULTS = 10
"""Rows with faults that the command prints; the others are in the file that `--faults` writes."""
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
}


class FaultyRows(StrEnum):
    """What `--on-error` takes."""

    REJECT_ALL = "reject_all"
    SKIP_INVALID = "skip_invalid"


class DuplicateRows(StrEnum):
    """What `--duplicates` takes."""

    FIRST = "first"
    ALL = "all"


async def merge_file(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX or ODS; its first row has the headings.")],
    template: Annotated[str, typer.Option(help="Slug of a published template.")],
    map_: Annotated[list[str], typer.Option("--map", help="heading:field; may be repeated.")] = [],  # noqa: B006
    start: Annotated[bool, typer.Option("--start", help="Submit the rows after the check.")] = False,
    on_error: Annotated[FaultyRows, typer.Option(help="About rows with faults.")] = FaultyRows.REJECT_ALL,
    duplicates: Annotated[DuplicateRows, typer.Option(help="Of rows with one address.")] = DuplicateRows.FIRST,
    send_at: Annotated[str | None, typer.Option(help="When the first mail is due, as 2026-12-01T09:00:00Z.")] = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="Mails that are due in a minute.")] = None,
    faults: Annotated[Path | None, typer.Option(help="Write the rows with faults into this CSV file.")] = None,
    service: Annotated[str, typer.Option(help="Only if the key is of this service; else nothing is uploaded.")] = "",
    url: UrlOption = "",
    key: KeyOption = "",
) -> None:
    """Check the rows of a spreadsheet, and with --start make each of them a mail. Exit 0 if no row has a fault."""
    import httpx2

    if not file.is_file():
        raise CommandError(f"{file} is no file", USAGE_ERROR)
    url, key = resolve_access(url, key)
    headers = {"Authorization": f"Bearer {key}"}
    options = {"on_error": on_error, "duplicates": duplicates, "send_at": send_at, "per_minute": per_minute}
    try:
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
            if service:
                await _require_service(http, service)
            path, merge = await _check_file(http, file, {"template": template, "map": map_})
            await _show_check(http, path, merge)
            if faults is not None:
                await _save_faults(http, path, faults)
            if start:
                await _submit_rows(http, path, {name: value for name, value in options.items() if value is not None})
    except httpx2.InvalidURL as error:
        raise CommandError(f"--url {url} is no URL", USAGE_ERROR) from error
    except httpx2.TransportError as error:
        raise CommandError(
            f"{url} is out of reach: check --url or NOTIFIER_URL, and that the API runs there"
        ) from error
    if merge["faulty"] and not (start and on_error is FaultyRows.SKIP_INVALID):
        raise typer.Exit(1)


async def _require_service(http: "httpx2.AsyncClient", name: str) -> None:
    """Check that the key belongs to this service. Raises `CommandError`."""
    owner = _get_body(await http.get("/v1/whoami"))["service"]
    if owner != name:
        actual = f"the service {owner}" if owner else "no service"
        raise CommandError(strip_control_characters(f"--service {name}: the key belongs to {actual}"), USAGE_ERROR)


async def _check_file(http: "httpx2.AsyncClient", file: Path, query: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Upload the file and wait for the end of its check."""
    media_type = MEDIA_TYPES.get(file.suffix.lower(), "application/octet-stream")
    headers = {"Content-Type": media_type}
    reply = await http.post("/v1/merges", params=query, content=_read_file(file), headers=headers)
    merge = _get_body(reply)
    path = str(reply.headers["location"])
    with _show_progress("checking") as bar:
        while merge["state"] == "checking":
            await asyncio.sleep(POLL_SECONDS)
            merge = _get_body(await http.get(path))
            bar(merge["progress"])
    if merge["state"] != "checked":
        raise CommandError(strip_control_characters(merge["error"] or f"the merge is {merge['state']}"))
    return path, merge


async def _read_file(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as stream:
        while data := await asyncio.to_thread(stream.read, UPLOAD_BYTES):
            yield data


async def _show_check(http: "httpx2.AsyncClient", path: str, merge: dict[str, Any]) -> None:
    print(f"merge {merge['id']}: {merge['rows']} rows, {merge['valid']} valid, {merge['faulty']} with faults")
    print(f"{merge['duplicates']} with an address that comes before, {merge['suppressed']} with a suppressed address")
    if merge["copies"]:
        print(f"{merge['copies']} copies, to the addresses in cc and bcc")
    for column in merge["columns"]:
        print(strip_control_characters(f"  {column['heading']} -> {column['field'] or 'not used'}"))
    for sentence in merge["problems"]:
        print(strip_control_characters(sentence))
    if not merge["faulty"]:
        return
    page = _get_body(await http.get(f"{path}/faults", params={"limit": SHOWN_FAULTS}))
    for row in page["rows"]:
        for fault in row["faults"]:
            where = f"row {row['row']}" + (f", {fault['column']}" if fault["column"] else "")
            cell = f" (“{fault['cell']}”)" if fault["cell"] else ""
            print(strip_control_characters(f"{where}: {fault['detail']}{cell}"), file=sys.stderr)
    if page["next"]:
        print("there are more: --faults FILE.csv writes all of them", file=sys.stderr)


async def _save_faults(http: "httpx2.AsyncClient", path: str, file: Path) -> None:
    async with http.stream("GET", f"{path}/faults.csv") as reply:
        if not reply.is_success:
            await reply.aread()
            _get_body(reply)
        with file.open("wb") as target:
            async for data in reply.aiter_bytes():
                target.write(data)


async def _submit_rows(http: "httpx2.AsyncClient", path: str, options: dict[str, Any]) -> None:
    """Start the merge and wait until each row has been submitted; mails that are due later go on alone."""
    merge = _get_body(await http.post(f"{path}/start", json=options))
    with _show_progress("submitting") as bar:
        while merge["state"] == "running" and _count_left(merge["submitted"]):
            await asyncio.sleep(POLL_SECONDS)
            merge = _get_body(await http.get(path))
            bar(merge["progress"])
    submitted = merge["submitted"]
    if merge["state"] in {"failed", "cancelled"}:
        raise CommandError(strip_control_characters(merge["error"] or f"the merge is {merge['state']}"))
    statuses = ", ".join(f"{number} {status}" for status, number in sorted(submitted["statuses"].items()))
    rows = f"{submitted['written']} of {submitted['size']} rows are submitted"
    print(f"{rows}: {statuses or 'none'}; the merge is {merge['state']}")


def _count_left(submitted: dict[str, Any]) -> bool:
    return bool(submitted["written"] < submitted["size"])


def _get_body(reply: "httpx2.Response") -> Any:
    """Get the JSON of a reply. Raises `CommandError` with the sentence of a refusal."""
    if reply.is_success:
        return reply.json()
    try:
        detail = reply.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"the API answered {reply.status_code}"
    raise CommandError(strip_control_characters(str(detail)))


@contextmanager
def _show_progress(label: str) -> "Iterator[Any]":
    """Show a progress bar on a terminal; yields the function that takes the per cent."""
    if not sys.stderr.isatty():
        yield lambda _percent: None
        return
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    bar: Progress
    with RichProgress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=100)
        yield lambda percent: bar.update(task, completed=percent)

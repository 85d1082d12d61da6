"""`templates list|push|pull|diff`: keep files and database in step, and never overwrite a newer edit."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    format_time,
    get_operator_name,
    open_for_reading,
    open_for_writing,
    print_rows,
    strip_control_characters,
)
from notifier.cli.template_preview import Root, Slugs

if TYPE_CHECKING:
    from notifier.templating.sync.sync_record import SyncResult

MAX_NOTE_LENGTH = 500  # characters, as the database has it
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change; exit 1 if it would be refused.")]


async def list_templates(as_json: Json = False) -> None:
    """List the templates with their current versions and drafts."""
    from notifier.templating import template_store

    async with open_for_reading() as parts, parts.database.read() as connection:
        states = await template_store.get_states(connection)
    rows = [
        {
            "slug": state.slug,
            "version": state.number or None,
            "hash": state.content_hash if as_json else state.content_hash[:12],
            "published_at": state.published_at and format_time(state.published_at),
            "published_by": state.published_by or None,
            "draft": f"{state.updated_by}, {format_time(state.updated_at)}" if state.draft else None,
            "variables": ", ".join(state.variables),
        }
        for state in states.values()
        if not state.deleted_at and (state.number or state.draft)
    ]
    print_rows(rows if as_json else ({k: v or "-" for k, v in row.items()} for row in rows), as_json=as_json)


async def push_templates(
    slugs: Slugs = None,
    root: Root = None,
    dry_run: DryRun = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace newer edits and drafts as well.")] = False,
    note: Annotated[str, typer.Option(help="Why; kept with the versions.")] = "",
    only_new: Annotated[bool, typer.Option("--only-new", help="Leave templates alone that exist already.")] = False,
    force_reason: Annotated[str, typer.Option(help="Publish though callers would break, and why; audited.")] = "",
    as_json: Json = False,
) -> None:
    """Check the files and publish what differs; all or nothing, and never over a newer edit."""
    from notifier.email_address import get_default_sender
    from notifier.rendering.pool import RenderingPool
    from notifier.runtime import process_parts
    from notifier.templating.publish_gate import PublishGate
    from notifier.templating.sync import template_files
    from notifier.templating.sync.push import Push
    from notifier.templating.sync.sync_record import SyncRefusedError

    for name, text in (("note", note), ("force-reason", force_reason)):
        if len(text) > MAX_NOTE_LENGTH:
            raise CommandError(f"--{name}: at most {MAX_NOTE_LENGTH} characters", USAGE_ERROR)
    if overwrite and only_new:
        raise CommandError("--overwrite and --only-new exclude each other", USAGE_ERROR)
    async with open_for_reading() if dry_run else open_for_writing() as parts, RenderingPool() as pool:
        folder = root or process_parts.find_templates_directory(parts.settings)
        sender = get_default_sender(parts.settings).address
        with _show_progress("checking") as progress:
            push = Push(
                database=parts.database,
                pool=pool,
                clock=parts.clock,
                by=get_operator_name(),
                gate=PublishGate(parts.database.read, pool, parts.clock, sender),
                progress=progress,
                dry_run=dry_run,
                overwrite=overwrite,
                only_new=only_new,
                note=note,
                force_reason=force_reason,
            )
            try:
                results = await push.run(folder, slugs or template_files.list_slugs(folder))
            except SyncRefusedError as error:
                refusal = _format_refusal(
                    "nothing was pushed: the database has newer edits",
                    error.refused,
                    "Look with `diff` (--draft), take them with `pull` (--draft), or replace them with --overwrite.",
                )
                raise CommandError(refusal) from error
    _print_results(results, as_json=as_json, details=dry_run)


async def pull_templates(
    slugs: Slugs = None,
    root: Root = None,
    draft: Annotated[bool, typer.Option("--draft", help="Pull the drafts, where there are some.")] = False,
    dry_run: DryRun = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Lose what was edited in the folder.")] = False,
    as_json: Json = False,
) -> None:
    """Write the current versions to files; all or nothing, and never over what was edited in the folder."""
    from notifier.templating.sync.pull import Pull
    from notifier.templating.sync.sync_record import SyncRefusedError

    async with open_for_reading() as parts:
        folder = root or parts.settings.templates_dir or Path("templates")
        try:
            pull = Pull(database=parts.database, draft=draft, dry_run=dry_run, overwrite=overwrite)
            results = await pull.run(folder, slugs or None)
        except SyncRefusedError as error:
            refusal = _format_refusal(
                "nothing was written: these files were edited",
                error.refused,
                "Commit them, pull with --overwrite, and let git show both. To only look: `notifier templates diff`.",
            )
            raise CommandError(refusal) from error
    _print_results(results, as_json=as_json, details=dry_run)


async def diff_templates(
    slugs: Slugs = None,
    root: Root = None,
    draft: Annotated[bool, typer.Option("--draft", help="Compare with the drafts, where there are some.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 if something differs.")] = False,
) -> None:
    """Show what a push would change, line by line; settings and sample are compared in a canonical form."""
    from notifier.runtime import process_parts
    from notifier.templating import source_diff
    from notifier.templating.sync import folder_diff

    async with open_for_reading() as parts, parts.database.read() as connection:
        folder = root or process_parts.find_templates_directory(parts.settings)
        in_database, in_folder = await folder_diff.compare_folder(connection, folder, slugs or None, drafts=draft)
    for line in source_diff.format_unified(in_database, in_folder):
        if sys.stdout.isatty():
            print(_color_line(strip_control_characters(line.rstrip("\n").expandtabs())))
        else:
            print(line, end="")
    if exit_code and in_database != in_folder:
        raise typer.Exit(1)


def _color_line(line: str) -> str:
    colors = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
    return typer.style(line, fg=colors.get(line[:1]), bold=line.startswith(("+++ ", "--- ")) or None)


def _print_results(results: "Sequence[SyncResult]", *, as_json: bool, details: bool) -> None:
    """Print what was done, and exit 1 if a dry run would be refused."""
    rows: list[dict[str, Any]] = [
        {"slug": result.slug, "version": result.number, "change": result.change.value} for result in results
    ]
    if as_json:
        for row, result in zip(rows, results, strict=True):
            row |= {"why": result.why, "differs": result.difference.lines if result.difference else []}
    print_rows(rows, as_json=as_json)
    if not as_json:
        for result in results:
            if result.why or (details and result.difference and result.difference.lines):
                print("\n" + "\n".join(_format_result(result, details=details)))
    if any(result.change.value == "refused" for result in results):
        raise typer.Exit(1)


def _format_refusal(message: str, refused: "Iterable[SyncResult]", advice: str) -> str:
    lines = [line for result in refused for line in _format_result(result, details=True)]
    return "\n".join([f"{message}.", *(f"  {line}" for line in lines), advice])


def _format_result(result: "SyncResult", *, details: bool) -> list[str]:
    lines = result.difference.lines if result.difference and details else []
    return [f"{result.slug}: {result.why or result.change.value}", *(f"  {line}" for line in lines)]


@contextmanager
def _show_progress(action: str) -> Iterator[Callable[[str, int], None]]:
    """Show a progress bar on a terminal; the function is called with a name and the number of names."""
    if not sys.stderr.isatty():
        yield lambda _name, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(action, total=None)

        def advance(name: str, total: int) -> None:
            bar.update(task, total=total, description=f"{action} {name}")
            bar.advance(task)

        yield advance

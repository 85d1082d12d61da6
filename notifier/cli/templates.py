"""`templates list|push|pull|diff`: keep files and database in step, and never overwrite a newer edit."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.api_access import Local, open_api, pass_api, without_collections
from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    format_time,
    load_settings,
    print_rows,
    strip_control_characters,
)
from notifier.cli.template_preview import Root, Slugs, find_folder

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Pushed, PushResult
    from notifier.client.api_call import Call
    from notifier.client.template_calls import PushOptions
    from notifier.templating.sync.pushed_folder import PushedFolder
    from notifier.templating.sync.sync_record import SyncResult

LIST_SIZE = 50  # templates on a page of the list
PUSH_SECONDS = 600.0
"""How long a push may take: it tries each changed template on recent requests."""
_TEMPLATES = "/templates/"
_ACTS = frozenset({"created", "published", "updated", "refused"})
MAX_NOTE_LENGTH = 500  # characters, as the database has it
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change; exit 1 if it would be refused.")]


@pass_api(writes=False)
async def list_templates(notifier: "AsyncNotifier", as_json: Json = False) -> None:
    """List the templates with their current versions and drafts."""
    replies = [reply async for reply in notifier.templates.files(texts=False, limit=LIST_SIZE)]
    rows = [
        {
            "slug": reply.slug,
            "version": reply.number or None,
            "hash": reply.content_hash if as_json else reply.content_hash[:12],
            "published_at": reply.published_at and format_time(reply.published_at),
            "published_by": reply.published_by or None,
            "draft": f"{reply.updated_by}, {format_time(reply.updated_at)}" if reply.has_draft else None,
            "variables": ", ".join(reply.variables),
        }
        for reply in sorted(replies, key=lambda reply: reply.slug)
        if not reply.deleted_at
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
    local: Local = False,
) -> None:
    """Check the files and publish what differs; all or nothing, and never over a newer edit.

    Calls the API of NOTIFIER_URL; if that is not set, or with --local, it opens the database.
    """
    with without_collections():
        from notifier.templating.sync import sync_record, template_files
        from notifier.templating.sync.pushed_folder import read_pushed_folder, update_base_record

    for name, text in (("note", note), ("force-reason", force_reason)):
        if len(text) > MAX_NOTE_LENGTH:
            raise CommandError(f"--{name}: at most {MAX_NOTE_LENGTH} characters", USAGE_ERROR)
    if overwrite and only_new:
        raise CommandError("--overwrite and --only-new exclude each other", USAGE_ERROR)
    folder = find_folder(root)
    pushed = read_pushed_folder(folder, slugs or template_files.list_slugs(folder))
    options: PushOptions = {"overwrite": overwrite, "only_new": only_new, "note": note, "force_reason": force_reason}
    call = _build_push_call(pushed, {**options, "dry_run": dry_run})
    async with open_api(local=local, writes=not dry_run, seconds=PUSH_SECONDS) as notifier:
        with _explain_refused_push():
            reply = await notifier.perform(call)
    results = [_read_result(result) for result in reply.results]
    if pushed.record.exists and not only_new and not dry_run:
        sync_record.write_base(folder, update_base_record(pushed, results))
    _print_results(results, as_json=as_json, dry_run=dry_run)


@pass_api(writes=False)
async def pull_templates(
    notifier: "AsyncNotifier",
    slugs: Slugs = None,
    root: Root = None,
    draft: Annotated[bool, typer.Option("--draft", help="Pull the drafts, where there are some.")] = False,
    dry_run: DryRun = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Lose what was edited in the folder.")] = False,
    as_json: Json = False,
) -> None:
    """Write the current versions to files; all or nothing, and never over what was edited in the folder."""
    with without_collections():
        from notifier.cli.stored_templates import fetch_earlier_hashes, fetch_images, fetch_templates
        from notifier.templating.sync import sync_record
        from notifier.templating.sync.pull import Pull

    folder = root or load_settings().templates_dir or Path("templates")
    stored, record = await fetch_templates(notifier, slugs or None), sync_record.read_base(folder)
    unrecorded = [slug for slug in stored.states if slug not in record.templates and (folder / slug).is_dir()]
    stored = replace(stored, earlier=await fetch_earlier_hashes(notifier, unrecorded))
    pull = Pull(draft=draft, overwrite=overwrite)
    plan = pull.plan(folder, slugs or None, stored)
    if not dry_run:
        try:
            pull.write(folder, plan, await fetch_images(notifier, plan.images))
        except sync_record.SyncRefusedError as error:
            refusal = _format_refusal(
                "nothing was written: these files were edited",
                error.refused,
                "Commit them, pull with --overwrite, and let git show both. To only look: `notifier templates diff`.",
            )
            raise CommandError(refusal) from error
    _print_results(plan.results, as_json=as_json, dry_run=dry_run)


@pass_api(writes=False)
async def diff_templates(
    notifier: "AsyncNotifier",
    slugs: Slugs = None,
    root: Root = None,
    draft: Annotated[bool, typer.Option("--draft", help="Compare with the drafts, where there are some.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 if something differs.")] = False,
) -> None:
    """Show what a push would change, line by line; settings and sample are compared in a canonical form."""
    with without_collections():
        from notifier.cli.stored_templates import fetch_templates
        from notifier.templating import source_diff
        from notifier.templating.sync import folder_diff

    folder = find_folder(root)
    stored = await fetch_templates(notifier, slugs or None)
    in_database, in_folder = folder_diff.compare_folder(stored, folder, slugs or None, drafts=draft)
    for line in source_diff.format_unified(in_database, in_folder):
        if sys.stdout.isatty():
            print(_color_line(strip_control_characters(line.rstrip("\n").expandtabs())))
        else:
            print(line, end="")
    if exit_code and in_database != in_folder:
        raise typer.Exit(1)


# -- details, in call order -----------------------------------------------------------------------


def _build_push_call(pushed: "PushedFolder", options: "PushOptions") -> "Call[Pushed]":
    """Build the request. Raises `CommandError` if it would be larger than the API takes."""
    import msgspec

    from notifier.api.request_model import MAX_BODY_BYTES
    from notifier.client import template_calls
    from notifier.template_language.template_source import LAYOUTS
    from notifier.templating.sync.pushed_folder import collect_layouts
    from notifier.templating.template_store import select_own_parts

    templates = {
        slug: {key: msgspec.to_builtins(getattr(source, key)) for key in ("files", "sample", "settings")}
        for slug, source in ((slug, select_own_parts(source)) for slug, source in pushed.sources.items())
    }
    layouts = {name.removeprefix(LAYOUTS): text for name, text in collect_layouts(pushed.sources).items()}
    images = {
        name: msgspec.to_builtins(image.options) | {"content": image.data} for name, image in pushed.images.items()
    }
    options["layouts"], options["images"] = layouts, images
    options["base"] = {"templates": msgspec.to_builtins(pushed.record.templates), "layouts": pushed.record.layouts}
    call = template_calls.push_templates(templates, **options)
    if len(call.body or b"") > MAX_BODY_BYTES:
        size, limit = len(call.body or b"") / 1024**2, MAX_BODY_BYTES // 1024**2
        raise CommandError(
            f"these templates need a request of {size:.1f} MiB with their images, and the API takes {limit}:"
            " push some of them by name, or make the images smaller"
        )
    return call


@contextmanager
def _explain_refused_push() -> Iterator[None]:
    """Raise `CommandError` with the faults of each template, or with the newer edits."""
    from notifier import client

    try:
        yield
    except client.ConflictError as error:
        if error.code != "newer_edits":
            raise
        refusal = _format_refusal(
            "nothing was pushed: the database has newer edits",
            [_read_result(client.PushResult(**result)) for result in error.problem.raw["results"]],
            "Look with `diff` (--draft), take them with `pull` (--draft), or replace them with --overwrite.",
        )
        raise CommandError(refusal) from error
    except client.InvalidRequestError as error:
        if not all(fault.pointer.startswith(_TEMPLATES) for fault in error.errors):
            raise
        lines = [f"template {_get_slug(fault.pointer)}: {fault.detail}" for fault in error.errors]
        if more := error.problem.raw.get("more_errors"):
            lines.append(f"and {more} more")
        raise CommandError("\n".join(map(strip_control_characters, lines))) from error


def _get_slug(pointer: str) -> str:
    return pointer.removeprefix(_TEMPLATES).partition("/")[0]


def _read_result(result: "PushResult") -> "SyncResult":
    from notifier.templating.sync.sync_record import PushChange, SyncResult

    return SyncResult(
        slug=result.slug,
        number=result.number,
        change=PushChange(result.change),
        why=result.why,
        differs=tuple(result.differs),
    )


def _color_line(line: str) -> str:
    colors = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
    return typer.style(line, fg=colors.get(line[:1]), bold=line.startswith(("+++ ", "--- ")) or None)


def _print_results(results: "Sequence[SyncResult]", *, as_json: bool, dry_run: bool) -> None:
    """Print what was done, or would be done, and exit 1 if a dry run would be refused."""
    rows: list[dict[str, Any]] = [
        {"slug": result.slug, "version": result.number, "change": result.change.value} for result in results
    ]
    for row, result in zip(rows, results, strict=True):
        if as_json:
            row |= {"why": result.why, "differs": result.differs}
        elif dry_run:
            row["change"] = _describe_plan(result)
    print_rows(rows, as_json=as_json)
    if not as_json:
        for result in results:
            if result.why or (dry_run and result.differs):
                print("\n" + "\n".join(_format_result(result, dry_run=dry_run)))
    if any(result.change.value == "refused" for result in results):
        raise typer.Exit(1)


def _describe_plan(result: "SyncResult") -> str:
    """Describe what would be done: `would be created`."""
    change = result.change.value
    return f"would be {change}" if change in _ACTS else change


def _format_refusal(message: str, refused: "Iterable[SyncResult]", advice: str) -> str:
    lines = [line for result in refused for line in _format_result(result, dry_run=True)]
    return "\n".join([f"{message}.", *(f"  {line}" for line in lines), advice])


def _format_result(result: "SyncResult", *, dry_run: bool) -> list[str]:
    lines = result.differs if dry_run else ()
    return [f"{result.slug}: {result.why or _describe_plan(result)}", *(f"  {line}" for line in lines)]

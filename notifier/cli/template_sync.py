"""`templates push|pull|diff`: files to the database and back, with a look before, and never over a newer edit."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.options import Json
from notifier.cli.output import Failed
from notifier.cli.process_parts import open_for_reading, open_for_writing

if TYPE_CHECKING:
    from notifier.templating.folder.pull import Pulled
    from notifier.templating.folder.push import Pushed

LONGEST_NOTE = 500  # characters, as the database has it
Slugs = Annotated[list[str] | None, typer.Argument(help="Templates; default: all.")]
Root = Annotated[Path | None, typer.Option("--dir", help="Directory of the template files.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change; exit 1 if it would be refused.")]


def register(templates: typer.Typer) -> None:
    """Add the commands."""
    templates.command("push")(push)
    templates.command("pull")(pull)
    templates.command("diff")(diff)


# -- push ----------------------------------------------------------------------------------------


def push(
    slugs: Slugs = None,
    root: Root = None,
    dry_run: DryRun = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace newer edits and drafts as well.")] = False,
    note: Annotated[str, typer.Option(help="Why; kept with the versions.")] = "",
    only_new: Annotated[bool, typer.Option("--only-new", help="Leave templates alone that exist already.")] = False,
    force_reason: Annotated[str, typer.Option(help="Publish though callers would break, and why; audited.")] = "",
    as_json: Json = False,
) -> None:
    """Check the files, publish what differs; all or nothing, and nothing that would replace a newer edit."""
    for name, words in (("note", note), ("force-reason", force_reason)):
        if len(words) > LONGEST_NOTE:
            raise Failed(f"--{name}: at most {LONGEST_NOTE} characters", output.WRONG_USE)
    if overwrite and only_new:
        raise Failed("--overwrite and --only-new exclude each other", output.WRONG_USE)
    options = {"dry_run": dry_run, "overwrite": overwrite, "only_new": only_new}
    output.run(_push(slugs, root, {"note": note, "force_reason": force_reason}, options, as_json=as_json))


async def _push(
    slugs: list[str] | None, root: Path | None, words: dict[str, str], options: dict[str, bool], *, as_json: bool
) -> None:
    from notifier import installation
    from notifier.cli.change import operator
    from notifier.default_sender import get_default_sender
    from notifier.rendering.pool import RenderingPool
    from notifier.templating.folder import files
    from notifier.templating.folder.push import Change, Push, PushRefusedError
    from notifier.templating.gate.gate import Gate

    async with open_for_reading() if options["dry_run"] else open_for_writing() as parts, RenderingPool() as pool:
        folder = root or installation.templates_dir(parts.settings)
        with _progress("checking") as progress:
            work = Push(
                database=parts.database,
                pool=pool,
                clock=parts.clock,
                by=operator(),
                note=words["note"],
                force_reason=words["force_reason"],
                gate=Gate(parts.database, pool, parts.clock, get_default_sender(parts.settings).address),
                progress=progress,
                dry_run=options["dry_run"],
                overwrite=options["overwrite"],
                only_new=options["only_new"],
            )
            try:
                pushed = await work.run(folder, slugs or files.slugs(folder))
            except PushRefusedError as error:
                raise Failed(_refusal("nothing was pushed: the database has newer edits", error.refused)) from error
    _show(pushed, as_json=as_json, details=options["dry_run"])
    if any(one.change is Change.REFUSED for one in pushed):
        raise typer.Exit(1)


# -- pull ----------------------------------------------------------------------------------------


def pull(
    slugs: Slugs = None,
    root: Root = None,
    draft: Annotated[bool, typer.Option("--draft", help="The drafts, where there are some.")] = False,
    dry_run: DryRun = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Lose what was edited here.")] = False,
    as_json: Json = False,
) -> None:
    """Write the current versions to files; all or nothing, and nothing over what was edited here."""
    options = {"draft": draft, "dry_run": dry_run, "overwrite": overwrite}
    output.run(_pull(slugs, root, options, as_json=as_json))


async def _pull(slugs: list[str] | None, root: Path | None, options: dict[str, bool], *, as_json: bool) -> None:
    from notifier.templating.folder.pull import Fetch, Pull, PullRefusedError

    async with open_for_reading() as parts:
        folder = root or parts.settings.templates_dir or Path("templates")
        try:
            pulled = await Pull(database=parts.database, **options).run(folder, slugs or None)
        except PullRefusedError as error:
            raise Failed(_refusal("nothing was written: these files were edited", error.refused)) from error
    _show(pulled, as_json=as_json, details=options["dry_run"])
    if any(one.change is Fetch.REFUSED for one in pulled):
        raise typer.Exit(1)


# -- diff ----------------------------------------------------------------------------------------


def diff(
    slugs: Slugs = None,
    root: Root = None,
    draft: Annotated[bool, typer.Option("--draft", help="Against the drafts, where there are some.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 if something differs.")] = False,
) -> None:
    """What a push would change, line by line; settings and sample are shown in one way only."""
    output.run(_diff(slugs, root, draft=draft, exit_code=exit_code))


async def _diff(slugs: list[str] | None, root: Path | None, *, draft: bool, exit_code: bool) -> None:
    from notifier import installation
    from notifier.cli.change import plain
    from notifier.templating.folder import overview

    async with open_for_reading() as parts, parts.database.read() as connection:
        folder = root or installation.templates_dir(parts.settings)
        apart = await overview.between(connection, folder, slugs or None, drafts=draft)
    for_person = sys.stdout.isatty()
    for line in apart.lines():
        print(_coloured(plain(line.rstrip("\n").expandtabs())) if for_person else line, end="\n" if for_person else "")
    if exit_code and apart.there != apart.here:
        raise typer.Exit(1)


def _coloured(line: str) -> str:
    colours = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
    return typer.style(line, fg=colours.get(line[:1]), bold=line.startswith(("+++ ", "--- ")) or None)


# -- what they say -------------------------------------------------------------------------------


def _show(done: "Sequence[Pushed | Pulled]", *, as_json: bool, details: bool) -> None:
    rows = [{"slug": one.slug, "version": one.number, "change": one.change.value} for one in done]
    if as_json:
        more = [{"why": one.why, "differs": one.difference.lines if one.difference else []} for one in done]
        rows = [row | extra for row, extra in zip(rows, more, strict=True)]
    output.show(rows, as_json=as_json)
    if not as_json:
        for one in done:
            if one.why or (details and one.difference and one.difference.lines):
                print("\n" + "\n".join(_told(one, details=details)))


def _refusal(what: str, refused: "Iterable[Pushed | Pulled]") -> str:
    lines = [line for one in refused for line in _told(one, details=True)]
    advice = "Commit them, pull with --overwrite, and let git show both. To only look: `notifier templates diff`."
    if what.startswith("nothing was pushed"):
        advice = "Look with `diff` (--draft), take them over with `pull` (--draft), or replace them with --overwrite."
    return "\n".join([f"{what}.", *(f"  {line}" for line in lines), advice])


def _told(one: "Pushed | Pulled", *, details: bool) -> list[str]:
    lines = one.difference.lines if one.difference and details else []
    return [f"{one.slug}: {one.why or one.change.value}", *(f"  {line}" for line in lines)]


@contextmanager
def _progress(what: str) -> Iterator[Callable[[str, int], None]]:
    """Told a name and how many there are, it moves a bar, if somebody sits at the terminal."""
    if not sys.stderr.isatty():
        yield lambda _name, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def told(name: str, of: int) -> None:
            bar.update(task, total=of, description=f"{what} {name}")
            bar.advance(task)

        yield told

"""`templates push|list|lint|render`: from files to published versions, and a look before that."""

from pathlib import Path
from typing import Annotated

import typer

from notifier.cli import output
from notifier.cli.administer import writing
from notifier.cli.output import Failed

Slugs = Annotated[list[str] | None, typer.Argument(help="Templates; default: all.")]
Root = Annotated[Path | None, typer.Option("--dir", help="Directory of the template files.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    templates = typer.Typer(help="Templates.", no_args_is_help=True)
    templates.command("push")(push)
    templates.command("list")(list_)
    templates.command("lint")(lint)
    templates.command("render")(render)
    app.add_typer(templates, name="templates")


def push(
    slugs: Slugs = None,
    root: Root = None,
    only_new: Annotated[bool, typer.Option(help="Leave templates alone that exist already.")] = False,
    as_json: Json = False,
) -> None:
    """Check the files and publish each template that differs from its current version."""
    output.run(_push(slugs, root, only_new=only_new, as_json=as_json))


async def _push(slugs: list[str] | None, root: Path | None, *, only_new: bool, as_json: bool) -> None:
    from notifier import installation
    from notifier.rendering.pool import RenderingPool
    from notifier.templating import files
    from notifier.templating.sync import Push

    async with writing() as parts, RenderingPool() as pool:
        folder = root or installation.templates_dir(parts.settings)
        work = Push(database=parts.database, pool=pool, clock=parts.clock, by="cli", only_new=only_new)
        pushed = await work.run(folder, slugs or files.slugs(folder))
    output.show(({"slug": p.slug, "version": p.number, "change": p.change.value} for p in pushed), as_json=as_json)


def list_(as_json: Json = False) -> None:
    """The published templates with their current versions."""
    output.run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> None:
    from notifier import installation
    from notifier.templating import store

    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        found = await store.all_current(connection)
    rows = [
        {
            "slug": one.slug,
            "version": one.number,
            "published_at": one.published_at.isoformat(timespec="seconds"),
            "variables": ", ".join(one.variables_schema["properties"]),
        }
        for one in found
    ]
    output.show(rows, as_json=as_json)


def lint(slugs: Slugs = None, root: Root = None) -> None:
    """Compile and render the files with their samples; exit 1 if one could not be published."""
    output.run(_lint(slugs, root))


async def _lint(slugs: list[str] | None, root: Path | None) -> None:
    from notifier import installation
    from notifier.errors import TemplateError
    from notifier.rendering.pool import RenderingPool
    from notifier.templating import files
    from notifier.templating.sync import checked

    folder = root or installation.templates_dir(output.settings())
    bad = False
    async with RenderingPool() as pool:
        for slug in slugs or files.slugs(folder):
            try:
                report = await checked(pool, slug, files.read(folder, slug))
            except TemplateError as error:
                bad = True
                for problem in error.problems:
                    print(f"{slug}: error: {problem}")
                continue
            for warning in report.warnings:
                print(f"{slug}: warning: {warning}")
            print(f"{slug}: ok ({', '.join(report.previews)})")
    if bad:
        raise typer.Exit(1)


def render(
    slug: str,
    root: Root = None,
    locale: Annotated[str | None, typer.Option(help="Language tag; falls back as sending does.")] = None,
    part: Annotated[str, typer.Option(help="subject, html or text.")] = "text",
) -> None:
    """Render a template's sample from its files and print one part."""
    output.run(_render(slug, root, locale, part))


async def _render(slug: str, root: Path | None, locale: str | None, part: str) -> None:
    from notifier import installation
    from notifier.rendering.pool import RenderingPool
    from notifier.rendering.source import choose_locale
    from notifier.templating import files
    from notifier.templating.sync import checked

    if part not in ("subject", "html", "text"):
        raise Failed("--part is subject, html or text", output.WRONG_USE)
    source = files.read(root or installation.templates_dir(output.settings()), slug)
    async with RenderingPool() as pool:
        report = await checked(pool, slug, source)
    tag = choose_locale({tag.lower(): tag for tag in source.locales}, locale)
    print(getattr(report.previews[tag or source.settings.locale], part), end="" if part != "subject" else "\n")

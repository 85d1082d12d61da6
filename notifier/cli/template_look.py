"""`templates lint|render|preview`: files compiled, checked and rendered here, by the code that sends; no database."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli import output
from notifier.cli.output import Failed

if TYPE_CHECKING:
    from notifier.rendering.job import Checked, MailHeader, Shown
    from notifier.rendering.pool import RenderingPool
    from notifier.rendering.source import TemplateSource
    from notifier.templating.folder.problem import Problem

PARTS = ("subject", "html", "text")
Slugs = Annotated[list[str] | None, typer.Argument(help="Templates; default: all.")]
Root = Annotated[Path | None, typer.Option("--dir", help="Directory of the template files.")]
Variables = Annotated[Path | None, typer.Option("--variables", help="A JSON file of values; default: the sample.")]


def register(templates: typer.Typer) -> None:
    """Add the commands."""
    templates.command("lint")(lint)
    templates.command("render")(render)
    templates.command("preview")(preview)


# -- lint ----------------------------------------------------------------------------------------


def lint(
    slugs: Slugs = None,
    root: Root = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compile and render the files with their samples; exit 1 if one could not be published."""
    output.run(_lint(slugs, root, strict=strict, as_json=as_json))


async def _lint(slugs: list[str] | None, root: Path | None, *, strict: bool, as_json: bool) -> None:
    from notifier.rendering.pool import RenderingPool

    folder, found = _folder(root), []
    async with RenderingPool() as pool:
        async for slug, rows, locales in _linted(pool, folder, slugs):
            found += rows
            if as_json:
                continue
            for row in rows:
                print(_line(row))
            if locales and not any(row["severity"] == "error" for row in rows):
                print(f"{slug}: ok ({', '.join(locales)})")
    if as_json:
        print(json.dumps(found))
    if any(strict or row["severity"] == "error" for row in found):
        raise typer.Exit(1)


async def _linted(
    pool: "RenderingPool", root: Path, slugs: list[str] | None
) -> AsyncIterator[tuple[str, list[dict[str, Any]], list[str]]]:
    """What there is to say about each template, and the locales in which it was rendered."""
    from notifier.templating.folder import files
    from notifier.templating.folder.problem import FileError

    if not slugs:
        try:
            files.layouts(root)
        except FileError as error:
            yield error.slug, [_problem(root, error.slug, one) for one in error.found], []
    for slug in slugs or files.slugs(root):
        try:
            report = await pool.check(files.read(root, slug))
        except FileError as error:
            yield slug, [_problem(root, slug, one) for one in error.found], []
        else:
            yield slug, _remarks(root, slug, report), list(report.previews)


def _problem(root: Path, slug: str, one: "Problem") -> dict[str, Any]:
    return _row(root, slug, one.file, line=one.line, code="file", message=one.message)


def _remarks(root: Path, slug: str, report: "Checked") -> list[dict[str, Any]]:
    faults = [
        _row(
            root, slug, one.part, line=one.line, column=one.column, code="fault", message=one.message, advice=one.advice
        )
        for one in report.faults
    ]
    remarks = [
        _row(
            root,
            slug,
            one.file,
            line=one.line,
            severity=one.severity.value,
            code=one.code,
            message=one.message,
            advice=one.advice,
            locale=one.locale,
        )
        for one in report.remarks
    ]
    return faults + remarks


def _row(root: Path, slug: str, file: str, **told: Any) -> dict[str, Any]:
    """A remark as it is printed, with the path of the file that it is about; of the folder, if it is about all."""
    place = root / file if file.startswith("_layouts/") else root / slug / file
    path = place if place.exists() or file not in ("", "mail") else root / slug
    usual = {"line": None, "column": None, "severity": "error", "advice": "", "locale": None}
    return {"template": slug, "path": str(path)} | usual | told


def _line(row: dict[str, Any]) -> str:
    place = ":".join(str(part) for part in (row["path"], row["line"], row["column"] if row["line"] else None) if part)
    locale = f" ({row['locale']})" if row["locale"] else ""
    return (
        f"{place}: {row['severity']}: {' '.join(filter(None, (row['message'], row['advice'])))}{locale} [{row['code']}]"
    )


# -- render --------------------------------------------------------------------------------------


def render(
    slug: str,
    root: Root = None,
    locale: Annotated[str | None, typer.Option(help="Language tag; falls back as sending does.")] = None,
    part: Annotated[str, typer.Option(help="subject, html or text.")] = "text",
    variables: Variables = None,
    out: Annotated[Path | None, typer.Option(help="Write all parts and the whole mail into this directory.")] = None,
) -> None:
    """Render a template's files with its sample, or with other values, and print one part."""
    if part not in PARTS:
        raise Failed("--part is subject, html or text", output.WRONG_USE)
    output.run(_render(slug, root, locale, part, variables, out))


async def _render(
    slug: str, root: Path | None, locale: str | None, part: str, variables: Path | None, out: Path | None
) -> None:
    from notifier.rendering.pool import RenderingPool
    from notifier.templating.folder import files

    source = files.read(_folder(root), slug)
    values = _values(source, variables)
    async with RenderingPool() as pool:
        shown = await _shown(pool, slug, source, locale, values)
    if out is None:
        print(getattr(shown, part), end="" if part != "subject" else "\n")
        return
    _write(out, shown)


def _write(folder: Path, shown: "Shown") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "subject.txt": f"{shown.subject}\n".encode(),
        "body.html": (shown.html or "").encode(),
        "body.txt": shown.text.encode(),
        "mail.eml": shown.wire,
    }
    for name, octets in made.items():
        (folder / name).write_bytes(octets)
        print(folder / name)


def _values(source: "TemplateSource", path: Path | None) -> dict[str, Any]:
    """The values to render with, checked as submit checks them."""
    from notifier import strict_json
    from notifier.rendering import variables as variable

    if path is None:
        return source.sample
    try:
        values = strict_json.loads(path.read_bytes())
    except (OSError, strict_json.MalformedJsonError) as error:
        raise Failed(f"{path}: {error}") from error
    faults = variable.faults_in(variable.schema_of(source.sample, source.settings.optional), values)
    if faults:
        raise Failed(f"{path}: " + "; ".join(f"{one.pointer}: {one.detail}" for one in faults))
    found: dict[str, Any] = values
    return found


async def _shown(
    pool: "RenderingPool", slug: str, source: "TemplateSource", locale: str | None, values: dict[str, Any]
) -> "Shown":
    """The mail as it would leave, but for its addresses, date and number."""
    from notifier.errors import TemplateError
    from notifier.rendering.job import Job, RenderFault

    job = Job(version=slug, locale=locale, variables=json.dumps(values), header=_header(source))
    shown = await pool.preview(job, {slug: source})
    if isinstance(shown, RenderFault):
        raise TemplateError(slug, [str(shown)])
    return shown


def _header(source: "TemplateSource") -> "MailHeader":
    from datetime import UTC, datetime

    from notifier import address
    from notifier.rendering.job import Mailbox, MailHeader

    name, sender = address.with_name(source.settings.from_ or "sender@example.org")
    reply = address.with_name(source.settings.reply_to) if source.settings.reply_to else None
    return MailHeader(
        message_id="<preview@example.org>",
        date=datetime(2026, 1, 1, tzinfo=UTC),  # the same files shall give the same bytes
        sender=Mailbox(sender, name),
        recipient="to@example.org",
        reply_to=Mailbox(reply[1], reply[0]) if reply else None,
    )


# -- preview -------------------------------------------------------------------------------------


def preview(
    slug: str,
    root: Root = None,
    variables: Variables = None,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: a new one for temporary files.")] = None,
) -> None:
    """Write one page that shows every locale of a template, narrow and wide, and print where it is."""
    output.run(_preview(slug, root, variables, out))


async def _preview(slug: str, root: Path | None, variables: Path | None, out: Path | None) -> None:
    import tempfile

    from notifier.cli import template_page
    from notifier.rendering.pool import RenderingPool
    from notifier.templating.folder import files

    source = files.read(_folder(root), slug)
    values = _values(source, variables)
    async with RenderingPool() as pool:
        tags = [None, *source.locales]
        shown = {tag or source.settings.locale: await _shown(pool, slug, source, tag, values) for tag in tags}
    if out is None:
        out = Path(tempfile.mkdtemp(prefix=f"notifier-{slug}-")) / "preview.html"
    out.write_text(template_page.page(source.settings.name, shown), "utf-8")
    print(out)


def _folder(root: Path | None) -> Path:
    from notifier import installation

    return root or installation.templates_dir(output.settings())

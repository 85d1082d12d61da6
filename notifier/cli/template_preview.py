"""`templates lint|render|preview`: check and render files with the code that sends; no database is needed."""

import json
from collections.abc import AsyncIterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.api_access import without_collections
from notifier.cli.command import USAGE_ERROR, CommandError, Json, load_settings

if TYPE_CHECKING:
    from notifier.mail.mail_parts import MailHeader
    from notifier.rendering.pool import RenderingPool
    from notifier.rendering.protocol import PreviewedMail, SourceCheck
    from notifier.template_language.template_source import TemplateSource
    from notifier.templating.sync.template_files import TemplateFileError

WIDTHS = (375, 640)  # CSS pixels
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; font-src https: data:"
_STYLE = """
:root { color-scheme: light; }
body { margin: 24px; font: 15px/1.5 system-ui, sans-serif; color: #1f2328; background: #f4f4f2; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin: 32px 0 4px; }
.subject { margin: 0 0 12px; }
.mail { display: flex; flex-wrap: wrap; gap: 20px; align-items: flex-start; }
figure { margin: 0; } figcaption { font-size: 12px; color: #656d76; }
iframe { height: 900px; border: 1px solid #d0d7de; background: #fff; resize: vertical; }
pre { margin: 0; width: 375px; padding: 12px; border: 1px solid #d0d7de; background: #fff; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: 12px; }
"""
PARTS = ("subject", "html", "text")
Slugs = Annotated[list[str] | None, typer.Argument(help="Templates; default: all.")]
Root = Annotated[Path | None, typer.Option("--dir", help="Directory of the template files.")]
Variables = Annotated[Path | None, typer.Option("--variables", help="A JSON file of values; default: the sample.")]


async def lint_templates(
    slugs: Slugs = None,
    root: Root = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings too.")] = False,
    as_json: Json = False,
) -> None:
    """Compile and render the files with their samples; exit 1 if one could not be published."""
    with without_collections():
        from notifier.rendering.pool import RenderingPool

    folder, all_rows = find_folder(root), []
    async with RenderingPool() as pool:
        async for slug, rows, locales in _lint_each(pool, folder, slugs):
            all_rows += rows
            if as_json:
                continue
            for row in rows:
                print(_format_row(row))
            if locales and not any(row["severity"] == "error" for row in rows):
                print(f"{slug}: ok ({', '.join(locales)})")
    if as_json:
        print(json.dumps(all_rows))
    if any(strict or row["severity"] == "error" for row in all_rows):
        raise typer.Exit(1)


async def _lint_each(
    pool: "RenderingPool", root: Path, slugs: list[str] | None
) -> AsyncIterator[tuple[str, list[dict[str, Any]], list[str]]]:
    """Yield each template's slug, its problems, and the locales in which it was rendered."""
    with without_collections():
        from notifier.templating.sync import template_files

    if not slugs:
        try:
            template_files.read_layouts(root)
        except template_files.TemplateFileError as error:
            yield error.slug, _format_problems(root, error), []
    for slug in slugs or template_files.list_slugs(root):
        try:
            checked = await pool.check(template_files.read_template(root, slug))
        except template_files.TemplateFileError as error:
            yield slug, _format_problems(root, error), []
        else:
            yield slug, _format_check(root, slug, checked), list(checked.previews)


def _format_problems(root: Path, error: "TemplateFileError") -> list[dict[str, Any]]:
    return [
        _build_row(root, error.slug, problem.file, line=problem.line, code="file", message=problem.message)
        for problem in error.source_problems
    ]


def _format_check(root: Path, slug: str, checked: "SourceCheck") -> list[dict[str, Any]]:
    fault_fields, remark_fields = (
        ("line", "column", "message", "advice"),
        ("line", "code", "message", "advice", "locale"),
    )
    faults = [
        _build_row(root, slug, fault.part, code="fault", **{name: getattr(fault, name) for name in fault_fields})
        for fault in checked.faults
    ]
    remarks = [
        _build_row(
            root,
            slug,
            remark.file,
            severity=remark.severity.value,
            **{name: getattr(remark, name) for name in remark_fields},
        )
        for remark in checked.remarks
    ]
    return faults + remarks


def _build_row(root: Path, slug: str, file: str, **fields: Any) -> dict[str, Any]:
    """Build a row with the path of the file, or of the folder for a remark about the whole template."""
    place = root / file if file.startswith("_layouts/") else root / slug / file
    path = place if place.exists() or file not in ("", "mail") else root / slug
    defaults = {"line": None, "column": None, "severity": "error", "advice": "", "locale": None}
    return {"template": slug, "path": str(path)} | defaults | fields


def _format_row(row: dict[str, Any]) -> str:
    place = ":".join(str(part) for part in (row["path"], row["line"], row["column"] if row["line"] else None) if part)
    text = " ".join(filter(None, (row["message"], row["advice"])))
    locale = f" ({row['locale']})" if row["locale"] else ""
    return f"{place}: {row['severity']}: {text}{locale} [{row['code']}]"


async def render_template(
    slug: str,
    root: Root = None,
    locale: Annotated[str | None, typer.Option(help="Language tag; falls back as sending does.")] = None,
    part: Annotated[str, typer.Option(help="subject, html or text.")] = "text",
    variables: Variables = None,
    out: Annotated[Path | None, typer.Option(help="Write all parts and the whole mail into this directory.")] = None,
) -> None:
    """Render a template's files with its sample, or with other values, and print one part."""
    with without_collections():
        from notifier.rendering.pool import RenderingPool
        from notifier.templating.sync import template_files

    if part not in PARTS:
        raise CommandError("--part is subject, html or text", USAGE_ERROR)
    source = template_files.read_template(find_folder(root), slug)
    values = _load_values(source, variables)
    async with RenderingPool() as pool:
        mail = await _render_mail(pool, slug, source, locale, values)
    if out is None:
        print(getattr(mail, part), end="" if part != "subject" else "\n")
        return
    _write_parts(out, mail)


def _write_parts(folder: Path, mail: "PreviewedMail") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "subject.txt": f"{mail.subject}\n".encode(),
        "body.html": (mail.html or "").encode(),
        "body.txt": mail.text.encode(),
        "mail.eml": mail.wire,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
        print(folder / name)


def _load_values(source: "TemplateSource", path: Path | None) -> dict[str, Any]:
    """Load the variables, or take the sample; they are checked as in a submit."""
    from notifier import strict_json
    from notifier.template_language import variable_schema

    if path is None:
        return source.sample
    try:
        values: dict[str, Any] = strict_json.parse_json(path.read_bytes())
    except (OSError, strict_json.MalformedJsonError) as error:
        raise CommandError(f"{path}: {error}") from error
    schema = variable_schema.build_schema(source.sample, source.settings.optional)
    if faults := variable_schema.find_variable_faults(schema, values):
        raise CommandError(f"{path}: " + "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
    return values


async def _render_mail(
    pool: "RenderingPool", slug: str, source: "TemplateSource", locale: str | None, values: dict[str, Any]
) -> "PreviewedMail":
    """Render the mail as a sender does, but with example addresses, a fixed date and a fixed Message-ID."""
    from notifier.errors import TemplateError
    from notifier.rendering.protocol import RenderJob
    from notifier.template_language.template_source import RenderFault

    job = RenderJob(version=slug, locale=locale, variables=json.dumps(values), header=_build_header(source))
    mail = await pool.preview(job, {slug: source})
    if isinstance(mail, RenderFault):
        raise TemplateError(slug, [str(mail)])
    return mail


def _build_header(source: "TemplateSource") -> "MailHeader":
    from datetime import UTC, datetime

    from notifier import email_address
    from notifier.mail.mail_parts import Mailbox, MailHeader

    name, sender = email_address.parse_named_address(source.settings.from_ or "sender@example.org")
    reply = email_address.parse_named_address(source.settings.reply_to) if source.settings.reply_to else None
    return MailHeader(
        message_id="<preview@example.org>",
        date=datetime(2026, 1, 1, tzinfo=UTC),  # so that the same files give the same bytes
        sender=Mailbox(sender, name),
        recipient="to@example.org",
        reply_to=Mailbox(reply[1], reply[0]) if reply else None,
    )


async def preview_template(
    slug: str,
    root: Root = None,
    variables: Variables = None,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: a new one for temporary files.")] = None,
) -> None:
    """Write a page that shows every locale of a template, narrow and wide, and print its path."""
    import tempfile

    with without_collections():
        from notifier.rendering.pool import RenderingPool
        from notifier.templating.sync import template_files

    source = template_files.read_template(find_folder(root), slug)
    values = _load_values(source, variables)
    async with RenderingPool() as pool:
        tags = [None, *source.locales]
        mails = {tag or source.settings.locale: await _render_mail(pool, slug, source, tag, values) for tag in tags}
    if out is None:
        out = Path(tempfile.mkdtemp(prefix=f"notifier-{slug}-")) / "preview.html"
    out.write_text(_build_preview_page(source.settings.name, mails), "utf-8")
    print(out)


def find_folder(root: Path | None) -> Path:
    """Find the directory of template files: as given or set, else `templates/`, else the shipped one."""
    from notifier.settings import find_shipped_directory

    local = Path("templates")
    return root or load_settings().templates_dir or (local if local.is_dir() else find_shipped_directory("templates"))


def _build_preview_page(name: str, mails: Mapping[str, "PreviewedMail"]) -> str:
    """Build a page with the mails by locale, in sandboxed frames: they run no scripts and cannot reach the page."""
    sections = "".join(_build_mail(locale, mail) for locale, mail in mails.items())
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(name)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escape(name)}</h1>\n{sections}</body>\n</html>\n"
    )


def _build_mail(locale: str, mail: "PreviewedMail") -> str:
    frames = "".join(_build_frame(mail.html, width) for width in WIDTHS) if mail.html is not None else ""
    tag = escape(locale)
    return (
        f'<section>\n<h2>{tag}</h2>\n<p class="subject" lang="{tag}">{escape(mail.subject)}</p>\n<div class="mail">\n'
        f'{frames}<figure><figcaption>text</figcaption><pre lang="{tag}">{escape(mail.text)}</pre></figure>\n'
        "</div>\n</section>\n"
    )


def _build_frame(html: str, width: int) -> str:
    return (
        f'<figure><figcaption>{width} px</figcaption><iframe sandbox="" width="{width}" title="{width} px"'
        f' srcdoc="{escape(html)}"></iframe></figure>\n'
    )

"""`templates new`: writes the files of a new template, which extends the shipped layout and passes `lint`."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from notifier.cli.command import USAGE_ERROR, CommandError, load_settings
from notifier.cli.template_preview import Root

MAX_TITLE_LENGTH = 200  # characters
_LAYOUTS = ("base.html", "base.txt", "parts.html")
_BODY_HTML = """{% extends "_layouts/base.html" %}

{% block preheader %}
One line that inboxes show after the subject.
{% endblock %}
{% block masthead %}
{% import "_layouts/parts.html" as ui %}
{{ ui.masthead("Your company") }}
{% endblock %}
{% block content %}
{% import "_layouts/parts.html" as ui %}
<h1>Hello {{ name }}</h1>
<p>Write what the reader needs to know.</p>
{{ ui.button("Open it", action_url) }}
{% endblock %}
{% block footer %}
Say here why the reader gets this mail.
{% endblock %}
"""
_BODY_TEXT = """{% extends "_layouts/base.txt" %}

{% block content %}
Hello {{ name }},

write what the reader needs to know.

Open it:
{{ action_url }}
{% endblock %}
{% block footer %}
Say here why the reader gets this mail.
{% endblock %}
"""
_SAMPLE: dict[str, Any] = {"name": "Ada", "action_url": "https://shop.example/start"}


async def create_template(
    slug: Annotated[str, typer.Argument(help="The name in requests, such as invoice_paid.")],
    title: Annotated[str, typer.Option(help="A name for people; default: made from the slug.")] = "",
    locale: Annotated[str, typer.Option(help="Language tag of the texts.")] = "en",
    root: Root = None,
) -> None:
    """Write the files of a new template into the folder, ready to be edited; no database is needed."""
    from notifier.settings import find_shipped_directory
    from notifier.template_language.template_source import TemplateSettings, TemplateSource
    from notifier.templating import settings_toml, validation

    title = title.strip() or slug.replace("_", " ").replace("-", " ").capitalize()
    if not validation.SLUG.fullmatch(slug):
        raise CommandError(f"{slug!r}: {validation.SLUG_RULE}", USAGE_ERROR)
    if len(title) > MAX_TITLE_LENGTH or not title.isprintable() or {"{", "}"} & set(title):
        raise CommandError(f"--title: one line of at most {MAX_TITLE_LENGTH} characters, without braces", USAGE_ERROR)
    settings = TemplateSettings(name=title, locale=locale)
    if problems := validation.find_problems(TemplateSource(files={}, sample=_SAMPLE, settings=settings)):
        raise CommandError(f"--locale: {problems[0].message}", USAGE_ERROR)
    folder = root or load_settings().templates_dir or Path("templates")
    if (folder / slug).exists():
        raise CommandError(f"{folder / slug} exists already: choose another slug, or edit its files", USAGE_ERROR)
    files = {
        "template.toml": settings_toml.format_settings(settings),
        "subject.txt": f"{title}\n",
        "body.html": _BODY_HTML,
        "body.txt": _BODY_TEXT,
        "sample.json": json.dumps(_SAMPLE, indent=2) + "\n",
    }
    try:
        _write_files(folder, slug, files, find_shipped_directory("templates") / "_layouts")
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror}", USAGE_ERROR) from error
    option = f" --dir {root}" if root else ""
    print("\nEdit these files, then:")
    for command in ("lint", "render", "push"):
        print(f"  notifier templates {command} {slug}{option}")


def _write_files(folder: Path, slug: str, files: Mapping[str, str], shipped: Path) -> None:
    """Write the template, and those of the shipped layouts that it uses and the folder lacks; print their paths."""
    (folder / "_layouts").mkdir(parents=True, exist_ok=True)
    for path in [folder / "_layouts" / name for name in _LAYOUTS]:
        if not path.exists():
            shutil.copyfile(shipped / path.name, path)
            print(path)
    (folder / slug).mkdir()
    for name, text in files.items():
        (folder / slug / name).write_text(text, "utf-8")
        print(folder / slug / name)

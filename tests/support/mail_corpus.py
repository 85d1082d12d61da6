"""The mails of `tests/corpus` and of the shipped templates, for tests of appearance and text.

Each `NAME.html` is a template's `body.html`; its variables are in `NAME.json`, where it has any.
"""

import json
from pathlib import Path

from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.template_source import HTML, SUBJECT, TemplateSettings, TemplateSource
from notifier.templating.sync import template_files

ROOT = Path(__file__).parents[2]
CORPUS, TEMPLATES = ROOT / "tests" / "corpus", ROOT / "templates"


def list_sources() -> dict[str, TemplateSource]:
    """List name and source of each mail; shipped templates have names with `templates/`."""
    sources = {path.stem: _read(path) for path in sorted(CORPUS.glob("*.html"))}
    return sources | {
        f"templates/{slug}": template_files.read_template(TEMPLATES, slug)
        for slug in template_files.list_slugs(TEMPLATES)
    }


def write_html(source: TemplateSource, locale: str | None = None) -> str:
    """Render the sample's HTML without inlining its styles."""
    return CompiledVersion(source).render_unstyled(locale, dict(source.sample)).html


def _read(path: Path) -> TemplateSource:
    values = path.with_suffix(".json")
    sample = json.loads(values.read_text()) if values.exists() else {}
    parts = {SUBJECT: f"Corpus: {path.stem}", HTML: path.read_text()}
    return TemplateSource(files=parts, sample=sample, settings=TemplateSettings(name=path.stem))

"""The mails whose generated text part is compared with a browser.

Those of `tests/corpus_text` are hard to convert to text. Those of `tests/corpus` and the shipped templates
are like mails that people send. `NAME.json` has the variables of `NAME.html`, where there are any.
"""

import json
from pathlib import Path
from typing import Final

from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.template_source import HTML, SUBJECT, TemplateSettings, TemplateSource
from notifier.templating.sync import template_files

ROOT: Final = Path(__file__).parents[2]
HARD: Final = "corpus_text"
FOLDERS: Final = (HARD, "corpus")
TEMPLATES: Final = ROOT / "templates"


def list_mails() -> dict[str, str]:
    """The HTML of each mail as a template sends it; the hard ones also as own content."""
    mails = {}
    for name, source in _list_sources().items():
        version, values = CompiledVersion(source), dict(source.sample)
        mails[name] = version.render(None, values).html
        written = version.render_unstyled(None, values).html
        if name.startswith(HARD) and written != mails[name]:
            mails[f"{name}, as content"] = written
    return mails


def _list_sources() -> dict[str, TemplateSource]:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / "tests" / folder).glob("*.html"))]
    sources = {f"{path.parent.name}/{path.stem}": _read(path) for path in paths}
    return sources | {
        f"templates/{slug}": template_files.read_template(TEMPLATES, slug)
        for slug in template_files.list_slugs(TEMPLATES)
    }


def _read(path: Path) -> TemplateSource:
    values = path.with_suffix(".json")
    sample = json.loads(values.read_text()) if values.exists() else {}
    parts = {SUBJECT: path.stem, HTML: path.read_text()}
    return TemplateSource(files=parts, sample=sample, settings=TemplateSettings(name=path.stem))

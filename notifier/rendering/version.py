"""A version's parts, compiled in a child process and rendered with one mail's values."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateError

from notifier.rendering.faults import PartError, fault_of
from notifier.rendering.inline import inline_css
from notifier.rendering.job import Preview
from notifier.rendering.plaintext import text_of
from notifier.rendering.sandbox import MailEnvironment, environment, render_limited
from notifier.rendering.source import HTML, LOCALES, PARTS, SUBJECT, TEXT, TemplateSource, choose_locale
from notifier.rendering.usage import subject_paths


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a template writes, before its styles are moved into the tags."""

    subject: str
    html: str
    text: str | None  # None: the template has no text part


def finished(written: Written) -> Preview:
    """The parts as they leave: styles in the tags, and a text made from the HTML if there is none."""
    html = inline_css(written.html)
    text = text_of(html) if written.text is None else written.text
    return Preview(subject=written.subject, html=html, text=text)


class CompiledVersion:
    """A version's parts, compiled once per locale and kept; with `strict`, what a mail would defuse is an error."""

    def __init__(self, source: TemplateSource, *, strict: bool = False) -> None:
        self.source = source
        self._strict = strict
        self._available = {tag.lower(): tag for tag in source.locales}
        self._parts: dict[str | None, dict[str, Template]] = {}

    def render(self, requested: str | None, values: dict[str, Any]) -> Preview:
        """The three parts in the closest locale; raises `PartError`."""
        return finished(self.written(requested, values))

    def written(self, requested: str | None, values: dict[str, Any]) -> Written:
        """The parts in the closest locale, as the template writes them; raises `PartError`."""
        tag = choose_locale(self._available, requested)
        parts = self._compiled(tag)
        values = {**values, "locale": tag or self.source.settings.locale}
        subject = values["subject"] = self._run(parts, SUBJECT, values).strip()
        html = self._run(parts, HTML, values)
        text = self._run(parts, TEXT, values) if TEXT in parts else None
        return Written(subject=subject, html=html, text=text)

    def _compiled(self, tag: str | None) -> dict[str, Template]:
        if tag not in self._parts:
            prefix = f"{LOCALES}{tag}/" if tag else ""
            names = {part: f"{prefix}{part}" for part in PARTS if f"{prefix}{part}" in self.source.files}
            rich, plain = (self._environment(tag, autoescape=autoescape) for autoescape in (True, False))
            self._parts[tag] = {
                part: self._compile(rich if part == HTML else plain, name) for part, name in names.items()
            }
        return self._parts[tag]

    def _environment(self, tag: str | None, *, autoescape: bool) -> MailEnvironment:
        """One for each locale: it tells the filters, and a layout's macros, what language the mail is in."""
        locale = tag or self.source.settings.locale
        return environment(self.source.files, autoescape=autoescape, locale=locale, strict=self._strict)

    def _compile(self, env: MailEnvironment, name: str) -> Template:
        try:
            return env.get_template(name)
        except (TemplateError, RecursionError) as error:
            raise PartError(fault_of(error, name, self.source)) from error

    def _run(self, parts: dict[str, Template], part: str, values: dict[str, Any]) -> str:
        try:
            return render_limited(parts[part], values)
        except Exception as error:
            raise PartError(fault_of(error, parts[part].name or part, self.source)) from error

    def subject_paths(self) -> list[list[str]]:
        """The variables that any locale's subject reads; raises `PartError`."""
        return subject_paths(self.source)

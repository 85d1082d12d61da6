"""A version's parts, compiled in a child process and rendered with one mail's values."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from notifier.rendering.inline import inline_css
from notifier.rendering.job import Preview, RenderFault
from notifier.rendering.plaintext import text_of
from notifier.rendering.sandbox import environment, render_limited
from notifier.rendering.source import HTML, LOCALES, PARTS, SUBJECT, TEXT, TemplateSource, choose_locale
from notifier.rendering.usage import subject_paths


class PartError(Exception):
    """A part of a template failed, with the place in words for the people who edit it."""

    def __init__(self, fault: RenderFault) -> None:
        self.fault = fault
        super().__init__(str(fault))


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
    """A version's parts, compiled once per locale and kept."""

    def __init__(self, source: TemplateSource) -> None:
        self.source = source
        self._html = environment(source.files, autoescape=True)
        self._plain = environment(source.files, autoescape=False)
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
            self._parts[tag] = {part: self._compile(part, name) for part, name in names.items()}
        return self._parts[tag]

    def _compile(self, part: str, name: str) -> Template:
        try:
            return (self._html if part == HTML else self._plain).get_template(name)
        except TemplateError as error:
            raise PartError(_fault_of(part, error)) from error

    def _run(self, parts: dict[str, Template], part: str, values: dict[str, Any]) -> str:
        try:
            return render_limited(parts[part], values)
        except Exception as error:
            raise PartError(_fault_of(part, error)) from error

    def subject_paths(self) -> list[list[str]]:
        """The variables that any locale's subject reads."""
        return subject_paths(self.source)


def _fault_of(part: str, error: BaseException) -> RenderFault:
    """The error in words, with the template's line where Jinja knows it."""
    if isinstance(error, TemplateSyntaxError):
        return RenderFault(part=error.name or part, line=error.lineno, message=error.message or "syntax error")
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":  # Jinja rewrites the traceback to template lines
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, (UndefinedError, SecurityError)):
        return RenderFault(part=part, line=line, message=error.message or str(error))
    message = str(error) or (type(error).__doc__ or type(error).__name__).partition("\n")[0]
    return RenderFault(part=part, line=line, message=message)

"""A version's parts, compiled in a child process and rendered with one mail's values."""

import contextlib
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from notifier.rendering import images
from notifier.rendering import variables as variable
from notifier.rendering.inline import inline_css
from notifier.rendering.job import Preview, RenderFault
from notifier.rendering.plaintext import text_of
from notifier.rendering.sandbox import environment, render_limited
from notifier.rendering.source import HTML, LOCALES, PARTS, SUBJECT, TEXT, TemplateSource, choose_locale


class PartError(Exception):
    """A part of a template failed, with the place in words for the people who edit it."""

    def __init__(self, fault: RenderFault) -> None:
        self.fault = fault
        super().__init__(str(fault))


class CompiledVersion:
    """A version's parts, compiled once per locale and kept."""

    def __init__(self, source: TemplateSource, public_url: str | None = None) -> None:
        self.source = source
        self._html = environment(source.files, autoescape=True)
        self._plain = environment(source.files, autoescape=False)
        self._html.globals |= images.functions(source.assets, public_url, html=True)
        self._plain.globals |= images.functions(source.assets, public_url, html=False)
        self._available = {tag.lower(): tag for tag in source.locales}
        self._parts: dict[str | None, dict[str, Template]] = {}

    def render(self, requested: str | None, values: dict[str, Any]) -> Preview:
        """The three parts in the closest locale; raises `PartError`."""
        tag = choose_locale(self._available, requested)
        parts = self._compiled(tag)
        values = {**values, "locale": tag or self.source.settings.locale}
        subject = values["subject"] = self._run(parts, SUBJECT, values).strip()
        html = inline_css(self._run(parts, HTML, values))
        text = self._run(parts, TEXT, values) if TEXT in parts else text_of(html)
        return Preview(subject=subject, html=html, text=text)

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

    def image_faults(self) -> list[RenderFault]:
        """The images that the parts name and the version has not; a part that cannot be parsed is told elsewhere."""
        found = []
        if len(self.source.assets) > images.MOST_IMAGES:
            message = f"there are more than {images.MOST_IMAGES} images in it."
            found.append(RenderFault(part=HTML, line=None, message=message))
        for name, text in self.source.files.items():
            with contextlib.suppress(TemplateSyntaxError):
                found += images.faults_in(name, self._html.parse(text), self.source.assets)
        return found

    def subject_paths(self) -> list[list[str]]:
        """The variables that any locale's subject reads."""
        names = [name for name in self.source.files if name.rpartition("/")[2] == SUBJECT]
        found = {tuple(p) for name in names for p in variable.paths_in(self._plain.parse(self.source.files[name]))}
        return [list(path) for path in sorted(found)]


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

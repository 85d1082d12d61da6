"""A version's parts, compiled in a child process and rendered with one mail's values."""

import contextlib
from collections.abc import Mapping
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from notifier.rendering import images
from notifier.rendering.inline import inline_css
from notifier.rendering.job import Preview, RenderFault
from notifier.rendering.plaintext import text_of
from notifier.rendering.prestyle import Prestyled, prestyled
from notifier.rendering.sandbox import MailEnvironment, environment, render_limited
from notifier.rendering.source import HTML, LOCALES, PARTS, SUBJECT, TEXT, TemplateSource, choose_locale
from notifier.rendering.usage import subject_paths


class PartError(Exception):
    """A part of a template failed, with the place in words for the people who edit it."""

    def __init__(self, fault: RenderFault) -> None:
        self.fault = fault
        super().__init__(str(fault))


class CompiledVersion:
    """A version's parts, compiled once per locale and kept."""

    def __init__(self, source: TemplateSource, public_url: str | None = None) -> None:
        self.source = source
        self._public_url = public_url  # where linked images are
        self._html = self._environment(source.files, html=True)
        self._plain = self._environment(source.files, html=False)
        self._available = {tag.lower(): tag for tag in source.locales}
        self._parts: dict[str | None, dict[str, Template]] = {}
        self._styled: dict[str | None, tuple[Prestyled, Template] | None] = {}

    def render(self, requested: str | None, values: dict[str, Any]) -> Preview:
        """The three parts in the closest locale; raises `PartError`."""
        tag = choose_locale(self._available, requested)
        parts = self._compiled(tag)
        values = {**values, "locale": tag or self.source.settings.locale}
        subject = values["subject"] = self._run(parts, SUBJECT, values).strip()
        html = self._styled_html(tag, values) or inline_css(self._run(parts, HTML, values))
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

    def _environment(self, files: Mapping[str, str], *, html: bool) -> MailEnvironment:
        made = environment(files, autoescape=html)
        made.globals |= images.functions(self.source.assets, self._public_url, html=html)
        return made

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

    def _styled_html(self, tag: str | None, values: dict[str, Any]) -> str | None:
        """The HTML with its styles in the tags, if they were written into the source; None: it is done the long way."""
        if tag not in self._styled:
            self._styled[tag] = self._prestyle(tag)
        styled = self._styled[tag]
        if styled is None:
            return None
        version, template = styled
        try:
            return version.finish(render_limited(template, values))
        except Exception:  # noqa: BLE001 - told by the long way, with the line that people know
            return None

    def _prestyle(self, tag: str | None) -> tuple[Prestyled, Template] | None:
        """Write the styles in, as the sample shows them; the same for the same source, whoever renders it, and when."""
        parts = self._parts[tag]
        values = {**self.source.sample, "locale": tag or self.source.settings.locale, "subject": ""}
        try:
            version = prestyled(self.source.files, render_limited(parts[HTML], values))
            if version is None:
                return None
            name = parts[HTML].name or HTML
            return version, self._environment(version.files, html=True).get_template(name)
        except Exception:  # noqa: BLE001 - a sample that fails is told where it is rendered
            return None

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

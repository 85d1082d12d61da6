"""A version of a template, compiled in a child process and rendered with one mail's values."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import process_time
from typing import Any, Final

from jinja2 import Template
from msgspec.structs import replace

from notifier.mail.mail_parts import MailHeader, RenderedParts
from notifier.mail.pinned_images import MAX_IMAGES_PER_VERSION
from notifier.mail.plain_text.text_builder import build_plain_text
from notifier.mail.source_styles import StyledSource, style_source
from notifier.mail.style_inliner import inline_styles
from notifier.template_language import image_functions
from notifier.template_language.error_description import PartError, describe_error, describe_error_without_place
from notifier.template_language.guarded_calls import guard_function
from notifier.template_language.public_text import clean_values
from notifier.template_language.render_fault import RenderFault
from notifier.template_language.sandbox import MailEnvironment, RawValues, create_environment, render_limited
from notifier.template_language.template_source import (
    HTML,
    LOCALES,
    PARTS,
    SUBJECT,
    TEXT,
    TemplateSource,
    choose_locale,
)
from notifier.template_language.time_limit import MAX_MAIL_SECONDS, TIME_LIMIT, TooSlowError
from notifier.template_language.variable_usage import UNSUBSCRIBE_URL, list_subject_paths

MARKETING: Final = "marketing"
UNSUBSCRIBE_HEADER: Final = "List-Unsubscribe"
NO_UNSUBSCRIBE: Final = RenderFault(
    part="mail",
    line=None,
    message=f"marketing needs “{UNSUBSCRIBE_URL}”, an https:// address where its reader unsubscribes.",
    advice="Let the caller send it as a variable.",
)
_UNSUBSCRIBE_ADDRESS = re.compile(r"https://[!-;=?-~]{1,900}", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class WrittenParts:
    """The parts of a mail before the styles are moved into the tags."""

    subject: str
    html: str
    text: str | None  # None: the template has no text part


def convert_html(make: Callable[[str], str], html: str) -> str:
    """Convert the HTML, within the time limit of a part. Raises `PartError`."""
    try:
        with TIME_LIMIT.part():
            return make(html)
    except Exception as error:
        raise PartError(describe_error_without_place(error, HTML)) from error


class CompiledVersion:
    """A version whose parts are compiled once per locale and cached."""

    def __init__(
        self, source: TemplateSource, public_url: str | None = None, *, keeps_raw_values: bool = False
    ) -> None:
        self.source = source
        self._public_url = public_url  # of linked images
        self.raw_values: RawValues | None = {} if keeps_raw_values else None  # neither text nor number, in order
        self._public = [tuple(path.split(".")) for path in source.settings.public]
        self._available = {tag.lower(): tag for tag in source.locales}
        self._parts: dict[str | None, dict[str, Template]] = {}
        self._styled: dict[str | None, tuple[StyledSource, Template] | None] = {}

    @property
    def compiled_locales(self) -> int:
        """The number of compiled locales: the first mail in each pays for compiling."""
        return len(self._parts)

    def render(self, requested: str | None, values: dict[str, Any]) -> RenderedParts:
        """Render the parts in the closest locale, as they are sent. Raises `PartError`.

        A check does the same, so that a template which is fast enough there is so when it is sent.
        """
        began = process_time()
        tag, parts, values = self._begun(requested, values)
        html = self._styled_html(tag, values) or convert_html(inline_styles, self._run(parts, HTML, values))
        text = self._run(parts, TEXT, values) if TEXT in parts else convert_html(build_plain_text, html)
        if process_time() - began > MAX_MAIL_SECONDS:
            raise PartError(describe_error_without_place(TooSlowError(), "mail"))
        return RenderedParts(subject=values["subject"], html=html, text=text)

    def render_unstyled(self, requested: str | None, values: dict[str, Any]) -> WrittenParts:
        """Render the parts in the closest locale, without moving styles. Raises `PartError`."""
        _, parts, values = self._begun(requested, values)
        html = self._run(parts, HTML, values)
        text = self._run(parts, TEXT, values) if TEXT in parts else None
        return WrittenParts(subject=values["subject"], html=html, text=text)

    def _begun(
        self, requested: str | None, values: dict[str, Any]
    ) -> tuple[str | None, dict[str, Template], dict[str, Any]]:
        """The locale, its parts, and the values with `locale` and `subject`."""
        tag = choose_locale(self._available, requested)
        parts = self._compiled(tag)
        if self._public:
            values = clean_values(values, self._public)
        values = {**values, "locale": tag or self.source.settings.locale}
        values["subject"] = self._run(parts, SUBJECT, values).strip()
        return tag, parts, values

    def find_faults(self, tag: str | None, values: dict[str, Any]) -> Iterator[RenderFault]:
        """The faults of all parts of a locale; `render` raises only the first."""
        values = clean_values(values, self._public) | {"locale": tag or self.source.settings.locale, "subject": ""}
        for part, name, env in self._uncompiled(tag):
            try:
                self._run({part: self._compile(env, name)}, part, values)
            except PartError as error:
                yield error.fault

    def add_unsubscribe_header(self, header: MailHeader, values: dict[str, Any]) -> MailHeader:
        """Add `List-Unsubscribe` to a marketing mail (RFC 2369 §3.2), unless the header has one.

        Without List-Unsubscribe-Post (RFC 8058), because the page may not accept a POST. A caller whose page does sends
        both headers itself. Raises `PartError`.
        """
        if self.source.settings.category != MARKETING or any(
            name.lower() == UNSUBSCRIBE_HEADER.lower() for name in header.extra
        ):
            return header
        address = values.get(UNSUBSCRIBE_URL)
        if not isinstance(address, str) or not _UNSUBSCRIBE_ADDRESS.fullmatch(address):
            raise PartError(NO_UNSUBSCRIBE)
        return replace(header, extra={**header.extra, UNSUBSCRIBE_HEADER: f"<{address}>"})

    def _compiled(self, tag: str | None) -> dict[str, Template]:
        if tag not in self._parts:
            self._parts[tag] = {part: self._compile(env, name) for part, name, env in self._uncompiled(tag)}
        return self._parts[tag]

    def _uncompiled(self, tag: str | None) -> Iterator[tuple[str, str, MailEnvironment]]:
        """The parts of a locale, each with its file and environment."""
        prefix = f"{LOCALES}{tag}/" if tag else ""
        rich, plain = (self._environment(tag, autoescape=autoescape) for autoescape in (True, False))
        for part in PARTS:
            if f"{prefix}{part}" in self.source.files:
                yield part, f"{prefix}{part}", rich if part == HTML else plain

    def _environment(
        self, tag: str | None, *, autoescape: bool, files: Mapping[str, str] | None = None
    ) -> MailEnvironment:
        """The environment of a locale; filters and macros of layouts read the mail's language from it."""
        locale = tag or self.source.settings.locale
        files = self.source.files if files is None else files
        schemes = self.source.settings.link_schemes
        env = create_environment(
            files, autoescape=autoescape, locale=locale, strict=self.source.strict, link_schemes=schemes
        )
        functions = image_functions.build_image_functions(self.source.assets, self._public_url, html=autoescape)
        env.globals |= {
            name: guard_function(name, call, image_functions.IMAGE_FUNCTION_EXAMPLES[name])
            for name, call in functions.items()
        }
        env.raw_values = self.raw_values
        return env

    def _compile(self, env: MailEnvironment, name: str) -> Template:
        try:
            with TIME_LIMIT.part():
                return env.get_template(name)
        except Exception as error:  # also of Python's compiler, which refuses more than 20 nested loops
            raise PartError(describe_error(error, name, self.source)) from error

    def _run(self, parts: dict[str, Template], part: str, values: dict[str, Any]) -> str:
        try:
            return render_limited(parts[part], values)
        except Exception as error:
            raise PartError(describe_error(error, parts[part].name or part, self.source)) from error

    def find_image_faults(self) -> list[RenderFault]:
        """Faults for images that the version does not have; parts that cannot be parsed are left to the compiler."""
        faults = []
        if len(self.source.assets) > MAX_IMAGES_PER_VERSION:
            message = f"there are more than {MAX_IMAGES_PER_VERSION} images in it."
            faults.append(RenderFault(part=HTML, line=None, message=message))
        parser = self._environment(None, autoescape=False)
        for name, text in self.source.files.items():
            with contextlib.suppress(Exception):
                faults += image_functions.find_image_faults(name, parser.parse(text), self.source.assets)
        return faults

    def _styled_html(self, tag: str | None, values: dict[str, Any]) -> str | None:
        """The HTML from a source whose styles were moved beforehand; None: move them in the rendered HTML."""
        if tag not in self._styled:
            self._styled[tag] = self._prestyle(tag)
        styled = self._styled[tag]
        if styled is None:
            return None
        version, template = styled
        try:
            return version.finish_mail(render_limited(template, values))
        except TooSlowError as error:  # the other way would take as long again
            raise PartError(describe_error(error, template.name or HTML, self.source)) from error
        except Exception:  # noqa: BLE001 - the other way reports it, with the line in the original source
            return None

    def _prestyle(self, tag: str | None) -> tuple[StyledSource, Template] | None:
        """Move the styles in the source, as the sample shows them; the same source always gives the same result."""
        parts = self._parts[tag]
        values = {**self.source.sample_values, "locale": tag or self.source.settings.locale, "subject": ""}
        try:
            version = style_source(self.source.files, render_limited(parts[HTML], values))
            if version is None:
                return None
            name = parts[HTML].name or HTML
            return version, self._environment(tag, autoescape=True, files=version.files).get_template(name)
        except Exception:  # noqa: BLE001 - a failing sample is reported where it is rendered
            return None

    def list_subject_paths(self) -> list[list[str]]:
        """The variables that the subject of any locale reads. Raises `PartError`."""
        return list_subject_paths(self.source)

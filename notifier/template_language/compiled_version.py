"""A version of a template, compiled in a child process and rendered with one mail's values."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import process_time
from typing import Any, Final

from jinja2 import Template, nodes
from markupsafe import Markup, escape
from msgspec.structs import replace

from notifier.mail.limits import MAX_MAIL_SECONDS, TIME_LIMIT, TooSlowError
from notifier.mail.mail_parts import (
    MAX_IMAGES_PER_VERSION,
    MailHeader,
    PinnedAsset,
    RenderedParts,
    build_content_id,
    build_image_url,
)
from notifier.mail.plain_text.text_builder import build_plain_text
from notifier.mail.source_styles import StyledSource, style_source
from notifier.mail.style_inliner import inline_styles
from notifier.template_language.error_description import PartError, describe_error, describe_error_without_place
from notifier.template_language.guarded_calls import guard_function
from notifier.template_language.sandbox import MailEnvironment, RawValues, create_environment, render_limited
from notifier.template_language.template_source import (
    HTML,
    IMAGE_FUNCTIONS,
    LOCALES,
    PARTS,
    SUBJECT,
    TEXT,
    RenderFault,
    TemplateSource,
    choose_locale,
)
from notifier.template_language.template_values import MisusedError, clean_values
from notifier.template_language.variable_usage import UNSUBSCRIBE_URL

_IMAGE_FUNCTION_EXAMPLES: Final = {"asset": '{{ asset("logo") }}', "image": '{{ image("logo", alt="Larkspur") }}'}
DEFAULT_IMAGE_STYLE: Final = "border:0;display:block;max-width:100%;height:auto"
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
    """The parts of a mail before its styles are moved into the tags."""

    subject: str
    html: str
    text: str | None  # None: the template has no text part


def convert_html(convert: Callable[[str], str], html: str) -> str:
    """Convert the HTML, within the time limit of a part. Raises `PartError`."""
    try:
        with TIME_LIMIT.part():
            return convert(html)
    except Exception as error:
        raise PartError(describe_error_without_place(error, HTML)) from error


class CompiledVersion:
    """A version whose parts are compiled once per locale and cached."""

    def __init__(
        self, source: TemplateSource, public_url: str | None = None, *, keeps_raw_values: bool = False
    ) -> None:
        self.source = source
        self._public_url = public_url  # of linked images
        self.raw_values: RawValues | None = {} if keeps_raw_values else None  # shown, but neither text nor number
        self._public = [tuple(path.split(".")) for path in source.settings.public]
        self._available = {tag.lower(): tag for tag in source.locales}
        self._parts: dict[str | None, dict[str, Template]] = {}
        self._styled: dict[str | None, tuple[StyledSource, Template] | None] = {}

    @property
    def compiled_locales(self) -> int:
        """The number of compiled locales; the first mail in each takes longer."""
        return len(self._parts)

    def render(self, requested: str | None, values: dict[str, Any]) -> RenderedParts:
        """Render the parts in the closest locale, as they are sent. Raises `PartError`.

        A check renders in the same way, so that the time limits are the same.
        """
        began = process_time()
        tag, parts, values = self._begin_rendering(requested, values)
        html = self._render_styled_html(tag, values) or convert_html(
            inline_styles, self._render_part(parts, HTML, values)
        )
        text = self._render_part(parts, TEXT, values) if TEXT in parts else convert_html(build_plain_text, html)
        if process_time() - began > MAX_MAIL_SECONDS:
            raise PartError(describe_error_without_place(TooSlowError(), "mail"))
        return RenderedParts(subject=values["subject"], html=html, text=text)

    def render_unstyled(self, requested: str | None, values: dict[str, Any]) -> WrittenParts:
        """Render the parts in the closest locale, without moving styles. Raises `PartError`."""
        _, parts, values = self._begin_rendering(requested, values)
        html = self._render_part(parts, HTML, values)
        text = self._render_part(parts, TEXT, values) if TEXT in parts else None
        return WrittenParts(subject=values["subject"], html=html, text=text)

    def _begin_rendering(
        self, requested: str | None, values: dict[str, Any]
    ) -> tuple[str | None, dict[str, Template], dict[str, Any]]:
        """The locale, its parts, and the values with `locale` and `subject`."""
        tag = choose_locale(self._available, requested)
        parts = self._get_parts(tag)
        if self._public:
            values = clean_values(values, self._public)
        values = {**values, "locale": tag or self.source.settings.locale}
        values["subject"] = self._render_part(parts, SUBJECT, values).strip()
        return tag, parts, values

    def find_faults(self, tag: str | None, values: dict[str, Any]) -> Iterator[RenderFault]:
        """The faults of all parts of a locale; `render` raises only the first."""
        values = clean_values(values, self._public) | {"locale": tag or self.source.settings.locale, "subject": ""}
        for part, name, env in self._list_parts(tag):
            try:
                self._render_part({part: self._compile_part(env, name)}, part, values)
            except PartError as error:
                yield error.fault

    def add_unsubscribe_header(self, header: MailHeader, values: dict[str, Any]) -> MailHeader:
        """Add `List-Unsubscribe` to a marketing mail (RFC 2369 §3.2), unless the header has one. Raises `PartError`.

        List-Unsubscribe-Post (RFC 8058) is not added, because the page may not accept a POST. A caller whose page does
        sends both headers.
        """
        if self.source.settings.category != MARKETING or any(
            name.lower() == UNSUBSCRIBE_HEADER.lower() for name in header.extra
        ):
            return header
        address = values.get(UNSUBSCRIBE_URL)
        if not isinstance(address, str) or not _UNSUBSCRIBE_ADDRESS.fullmatch(address):
            raise PartError(NO_UNSUBSCRIBE)
        return replace(header, extra={**header.extra, UNSUBSCRIBE_HEADER: f"<{address}>"})

    def _get_parts(self, tag: str | None) -> dict[str, Template]:
        if tag not in self._parts:
            self._parts[tag] = {part: self._compile_part(env, name) for part, name, env in self._list_parts(tag)}
        return self._parts[tag]

    def _list_parts(self, tag: str | None) -> Iterator[tuple[str, str, MailEnvironment]]:
        """The parts of a locale, each with its file and environment."""
        prefix = f"{LOCALES}{tag}/" if tag else ""
        rich, plain = (self._create_environment(tag, autoescape=autoescape) for autoescape in (True, False))
        for part in PARTS:
            if f"{prefix}{part}" in self.source.files:
                yield part, f"{prefix}{part}", rich if part == HTML else plain

    def _create_environment(
        self, tag: str | None, *, autoescape: bool, files: Mapping[str, str] | None = None
    ) -> MailEnvironment:
        """The environment of a locale; filters and macros of layouts read the locale from it."""
        locale = tag or self.source.settings.locale
        files = self.source.files if files is None else files
        schemes = self.source.settings.link_schemes
        env = create_environment(
            files, autoescape=autoescape, locale=locale, strict=self.source.strict, link_schemes=schemes
        )
        functions = _build_image_functions(self.source.assets, self._public_url, html=autoescape)
        env.globals |= {
            name: guard_function(name, call, _IMAGE_FUNCTION_EXAMPLES[name]) for name, call in functions.items()
        }
        env.raw_values = self.raw_values
        return env

    def _compile_part(self, env: MailEnvironment, name: str) -> Template:
        try:
            with TIME_LIMIT.part():
                return env.get_template(name)
        except Exception as error:  # also of Python's compiler, which refuses more than 20 nested loops
            raise PartError(describe_error(error, name, self.source)) from error

    def _render_part(self, parts: dict[str, Template], part: str, values: dict[str, Any]) -> str:
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
        parser = self._create_environment(None, autoescape=False)
        for name, text in self.source.files.items():
            with contextlib.suppress(Exception):
                faults += _find_image_faults(name, parser.parse(text), self.source.assets)
        return faults

    def _render_styled_html(self, tag: str | None, values: dict[str, Any]) -> str | None:
        """The HTML from a source whose styles were moved beforehand; None if they must be moved in the mail."""
        if tag not in self._styled:
            self._styled[tag] = self._style_source(tag)
        styled = self._styled[tag]
        if styled is None:
            return None
        version, template = styled
        try:
            return version.finish_mail(render_limited(template, values))
        except TooSlowError as error:  # inlining the rendered mail would take as long again
            raise PartError(describe_error(error, template.name or HTML, self.source)) from error
        except Exception:  # noqa: BLE001 - the other way reports it, with the line in the original source
            return None

    def _style_source(self, tag: str | None) -> tuple[StyledSource, Template] | None:
        """Move the styles in the source, as the sample shows them; the same source always gives the same result."""
        parts = self._parts[tag]
        values = {**self.source.sample_values, "locale": tag or self.source.settings.locale, "subject": ""}
        try:
            version = style_source(self.source.files, render_limited(parts[HTML], values))
            if version is None:
                return None
            name = parts[HTML].name or HTML
            return version, self._create_environment(tag, autoescape=True, files=version.files).get_template(name)
        except Exception:  # noqa: BLE001 - a failing sample is reported where it is rendered
            return None


def _build_image_functions(
    assets: Mapping[str, PinnedAsset], public_url: str | None, *, html: bool
) -> dict[str, Callable[..., Any]]:
    """The functions that templates call; in a text part an image is its alternative text."""

    def find(name: str) -> PinnedAsset:
        if name not in assets:
            raise MisusedError("image", _describe_unknown_image(name), "")
        return assets[name]

    def asset(name: str, *, linked: bool = False) -> str:
        pinned = find(name)
        if linked and public_url is None:
            message = "a linked image needs the setting NOTIFIER_PUBLIC_URL; inline works without."
            raise MisusedError("asset", message, "")
        if not linked and not html:
            message = "text shows no images; asset(…, linked=true) gives a link to one."
            raise MisusedError("asset", message, "")
        return build_image_url(public_url, pinned) if linked and public_url else f"cid:{build_content_id(name, pinned)}"

    def image(name: str, alt: str, *, linked: bool = False, style: str = DEFAULT_IMAGE_STYLE) -> str:
        if not html:
            return alt
        source, pinned = asset(name, linked=linked), find(name)
        return Markup('<img src="{}" width="{}" height="{}" alt="{}" style="{}">').format(
            escape(source), pinned.width, pinned.height, alt, style
        )

    return {"asset": asset, "image": image}


def _describe_unknown_image(name: object) -> str:
    return f"there is no finished image named “{str(name)[:80]}”: upload it, or wait until it is ready."


def _find_image_faults(file: str, template: nodes.Template, assets: Mapping[str, PinnedAsset]) -> list[RenderFault]:
    """Find the calls in a file, also in branches that the sample does not take, with an unknown image."""
    own_names = {macro.name for macro in template.find_all(nodes.Macro)}
    own_names |= {name.name for name in template.find_all(nodes.Name) if name.ctx != "load"}
    for imported in template.find_all(nodes.FromImport):
        own_names |= {name if isinstance(name, str) else name[1] for name in imported.names}
    return [
        RenderFault(part=file, line=call.lineno, message=message)
        for call in template.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name in IMAGE_FUNCTIONS - own_names
        if (message := _find_call_problem(call, assets)) is not None
    ]


def _find_call_problem(call: nodes.Call, assets: Mapping[str, PinnedAsset]) -> str | None:
    arguments = [*call.args, *(keyword.value for keyword in call.kwargs if keyword.key == "name")]
    name = arguments[0].value if arguments and isinstance(arguments[0], nodes.Const) else None
    if not isinstance(name, str):
        return 'an image is named in quotes, such as image("logo", alt="Larkspur"): the version keeps it.'
    return None if name in assets else _describe_unknown_image(name)

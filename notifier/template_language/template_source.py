"""A template's pinned source (files, sample and settings), the choice of a locale, and faults of rendering."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from notifier.mail.mail_parts import PinnedAsset
from notifier.strict_json import convert_whole_numbers

SUBJECT, HTML, TEXT = "subject.txt", "body.html", "body.txt"
PARTS = (SUBJECT, HTML, TEXT)
LOCALES = "locales/"
LAYOUTS = "_layouts/"
RESERVED_NAMES = frozenset({"locale", "subject"})
"""Names that rendering provides; a variable may not have them."""
LANGUAGE_WORDS = frozenset(
    {"caller", "false", "False", "kwargs", "loop", "none", "None", "not", "self", "super", "true", "True", "varargs"}
)
"""Words of the template language; a variable with such a name could not be read everywhere."""

IMAGE_FUNCTIONS = frozenset({"asset", "image"})
"""The functions by which a template shows an image."""

_LATER_SETTINGS = {
    "when_uncertain": "resend", "from": None, "reply_to": None, "public": (), "secret": (), "link_schemes": (),
    "keep_content_days": None,
}  # fmt: skip
"""Settings that are newer than the first hashes; their defaults are left out, so that old hashes stay valid."""


class TemplateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of `template.toml`."""

    name: str
    description: str = ""
    category: str = "transactional"  # or marketing
    priority: str = "normal"  # high, normal, bulk
    locale: str = "en"  # of the parts outside `locales/`
    expires_after: str | None = None  # "1h", "3d": how long a mail is worth sending
    when_uncertain: str = "resend"  # or hold: if it is unknown whether the relay took it, a person decides
    optional: tuple[str, ...] = ()  # dotted paths of variables that a caller may leave out
    from_: str | None = msgspec.field(name="from", default=None)  # "Name <address>", unless a caller says otherwise
    reply_to: str | None = None  # the same for answers
    public: tuple[str, ...] = ()  # dotted paths of variables that strangers have typed: no markup, no live links
    secret: tuple[str, ...] = ()  # dotted paths of variables that people who edit templates must not see
    link_schemes: tuple[str, ...] = ()  # schemes that links may have besides https, http, mailto, tel and sms
    keep_content_days: int | None = None  # after the end, instead of what the service or the settings say


class TemplateSource(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that rendering one version needs, layouts included; it never changes."""

    files: dict[str, str]  # path within the template (or `_layouts/…`) → text
    sample: dict[str, Any]
    settings: TemplateSettings
    assets: dict[str, PinnedAsset] = {}  # by the name that the parts use
    strict: bool = True  # False: published before unusable links and styles were refused; they are removed instead

    @property
    def sample_values(self) -> dict[str, Any]:
        """The sample with numbers as a caller's are read."""
        values: dict[str, Any] = convert_whole_numbers(self.sample)
        return values

    @property
    def locales(self) -> list[str]:
        """The locales with parts of their own, besides the default."""
        return sorted({path.split("/")[1] for path in self.files if path.startswith(LOCALES)})

    def content_hash(self) -> str:
        """SHA-256 (hex) over the whole content."""
        settings = msgspec.to_builtins(self.settings)
        for name, default in _LATER_SETTINGS.items():
            if settings[name] == default:
                del settings[name]
        parts = {
            "files": msgspec.Raw(msgspec.json.encode(self.files, order="deterministic")),
            "sample": msgspec.Raw(msgspec.json.encode(self.sample, order="deterministic")),
            "settings": settings,
        }
        if self.assets:  # newer than the first hashes, too
            parts["assets"] = msgspec.Raw(msgspec.json.encode(self.assets, order="deterministic"))
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def list_fallback_locales(tag: str | None) -> list[str]:
    """The locales to try for a requested one, most specific first: fr-CA → fr-CA, fr (RFC 4647 §3.4, lookup)."""
    chain = []
    subtags = (tag or "").replace("_", "-").split("-")
    while subtags and subtags[0]:
        chain.append("-".join(subtags))
        subtags.pop()
    return chain


def choose_locale(available: Mapping[str, str], tag: str | None) -> str | None:
    """The locale to use for a request, or None for the default; `available` maps lower case to the tag."""
    for candidate in list_fallback_locales(tag):
        if candidate.lower() in available:
            return available[candidate.lower()]
    return None


class FaultCode(StrEnum):
    """The kind of a fault; the values are public and never change."""

    FAILED = "template_failed"
    FORBIDDEN = "template_forbidden"  # it uses what templates may not use
    TOO_SLOW = "template_too_slow"
    TOO_LARGE = "template_too_large"


class RenderFault(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why a mail could not be rendered, for the people who edit templates."""

    part: str  # the file that is at fault, such as body.html or _layouts/base.html, or `mail`
    line: int | None  # from 1; None: it is not known, or it is the whole file
    message: str
    column: int | None = None  # from 1
    advice: str = ""  # what to do about it
    code: FaultCode = FaultCode.FAILED

    def __str__(self) -> str:
        place = self.part
        if self.line:
            place += f", line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{place}: {self.message}" + (f" {self.advice}" if self.advice else "")

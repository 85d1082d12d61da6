"""Values where HTML acts on them: links, styles and attributes without quotes.

`contexts` puts these around whatever a template shows in such a place, so that it holds without its author's help:
a link leads to http, https or mail, a style is one value, and an attribute ends where its author ended it. In a check
such a value is an error; in a mail, which must leave and must be harmless, it becomes a dead link or nothing.
"""

import html
import re
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from notifier.rendering.language.filters import ValueRefusedError
from notifier.rendering.language.value_text import write_value

DEAD: Final = "#"
"""What stands in place of a link that must not live."""
LIVE: Final = ("https", "http", "mailto")
SHOWN: Final = ("https", "http", "cid")
"""The same for images: `cid:` is one that the mail brings along."""
_USUAL: Final = ("https://", "http://")
_SCHEME = re.compile(r"([^/?#:]*):")
_BARE = re.compile(r"[^A-Za-z0-9_.%-]")
_STYLE = re.compile(r"[^;{}\\<>\"'()@]*|(?:rgb|hsl)a?\([\d\s.,%/]*\)", re.IGNORECASE)
_ACTS_IN_STYLE = re.compile(r"/\*|\*/|^\s*(?!https?:)[a-z]+script\s*:|^\s*data\s*:", re.IGNORECASE)

WHOLE, SCHEME, START = "whole", "scheme", "start"
"""What follows the value in its attribute: the end or a path, a colon, or something that is not known."""


@pass_context
def link(context: Context, value: Any, follows: str, image: bool) -> Any:  # noqa: FBT001 - only `contexts` calls it
    """The value, which begins a link, if that may live; otherwise an error in a check, and later a dead link."""
    if type(value) is str and value.startswith(_USUAL) and follows != SCHEME:
        return value
    text = html.unescape(value) if isinstance(value, Markup) else str(value)
    if _lives(text, follows, SHOWN if image else LIVE):
        return value
    if _is_strict(context):
        raise ValueRefusedError("href" if not image else "src", text, "an address that begins with https://")
    return DEAD


def _lives(text: str, follows: str, schemes: tuple[str, ...]) -> bool:
    if follows == SCHEME:
        return text.strip().lower() in schemes
    found = _SCHEME.match(text)
    if found:
        return found[1].strip().lower() in schemes
    return follows == WHOLE or text.lstrip()[:1] in ("/", "?", "#")


@pass_context
def style(context: Context, value: Any) -> Any:
    """The value if it is one value of CSS, such as a colour or a width."""
    if type(value) is int:
        return value
    text = str(value)
    if _STYLE.fullmatch(text) and not _ACTS_IN_STYLE.search(text):
        return value
    if _is_strict(context):
        raise ValueRefusedError("style", text, "one value, such as a colour or a width")
    return ""


def bare(value: Any) -> Markup:
    """The value in an attribute without quotes: whatever could end it is written as a character reference."""
    text = html.unescape(value) if isinstance(value, Markup) else write_value(value)
    return Markup(_BARE.sub(lambda found: f"&#{ord(found[0])};", text) or "&#32;")  # noqa: S704 - nothing is left


@pass_context
def safe_url(context: Context, value: Any) -> str:
    """An absolute http, https or mailto address, in text parts too; anything else is treated as `link` does."""
    text = value.strip() if isinstance(value, str) else ""
    scheme, _, rest = text.partition(":")
    if scheme.lower() in LIVE and rest.strip("/") and not re.search(r"[\s\x00-\x1f\x7f]", text):
        return text
    if _is_strict(context):
        raise ValueRefusedError("safe_url", value, "an address that begins with https://, http:// or mailto:")
    return DEAD


def _is_strict(context: Context) -> bool:
    return bool(getattr(context.environment, "strict", False))


ACTING: Final = {"link in place": link, "style in place": style, "bare in place": bare}
"""By names that no template can write."""

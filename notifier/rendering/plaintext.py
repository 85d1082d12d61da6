"""The text part of a mail whose template has none, made from its HTML."""

from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig

_CONFIG = ParserConfig(css=CSS_PROFILES["strict"].copy(), display_links=True)


def text_of(html: str) -> str:
    """Readable text with the addresses of its links."""
    lines = [line.rstrip() for line in get_text(html, _CONFIG).splitlines()]
    kept = [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
    return "\n".join(kept).strip() + "\n"

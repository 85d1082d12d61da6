"""Moving CSS from `<style>` into `style` attributes, because many mail clients drop the former.

It runs on the rendered mail: before rendering it would move `{% for %}` out of tables. `@media` rules stay behind, so
a mail that has nothing else in `<style>` is left as it is: parsing and writing it again costs as much as rendering it.
"""

import re
from functools import lru_cache

import css_inline

_INLINER = css_inline.CSSInliner(
    inline_style_tags=True,
    keep_style_tags=False,
    keep_link_tags=False,
    keep_at_rules=True,
    minify_css=True,
    load_remote_stylesheets=False,
)
_OPENING = re.compile(r"<style", re.IGNORECASE)
_OPAQUE = re.compile(r"""/\*.*?\*/|"[^"\\\n{}]*"|'[^'\\\n{}]*'""", re.DOTALL)
"""Comments and strings without braces, found in one go: each may hold what looks like the other's beginning."""
_UNSURE = re.compile(r"""["'\\]|/\*|<|url\(""", re.IGNORECASE)
"""What may hide a brace after that: other strings, escapes, comments that do not end, addresses without quotes."""
_MEDIA = re.compile(r"\s*@media\b[^{};@]*", re.IGNORECASE)


def inline_css(html: str) -> str:
    """The same document with its styles inlined; nothing is ever fetched."""
    if all(_stays(html[found.end() : html.find("</style", found.end())]) for found in _OPENING.finditer(html)):
        return html
    return inlined(html)


def inlined(html: str) -> str:
    """The same, whether it is worth the time or not."""
    return _INLINER.inline(html)


@lru_cache(maxsize=256)
def _stays(element: str) -> bool:
    """Whether nothing in a style element can be inlined; takes the rest of its opening tag and its text.

    In doubt the answer is no, which costs time and nothing else. Most mails share their styles, hence the cache.
    """
    _, ends, css = element.partition(">")
    css = _OPAQUE.sub("", css)
    if not ends or _UNSURE.search(css):
        return False
    while css.strip():
        media = _MEDIA.match(css)
        if media is None or (end := _end_of_block(css, media.end())) is None:
            return False
        css = css[end:]
    return True


def _end_of_block(css: str, start: int) -> int | None:
    """The position behind the block that opens at `start`, or None if none opens there or it does not end."""
    depth = 0
    for position in range(start, len(css)):
        depth += {"{": 1, "}": -1}.get(css[position], 0)
        if depth <= 0:
            return position + 1 if position > start else None
    return None

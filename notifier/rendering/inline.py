"""Moving CSS from `<style>` into `style` attributes, because many mail clients drop the former.

It runs on the rendered mail: before rendering it would move `{% for %}` out of tables. `@media` rules stay behind.
"""

import css_inline

_INLINER = css_inline.CSSInliner(
    inline_style_tags=True,
    keep_style_tags=False,
    keep_link_tags=False,
    keep_at_rules=True,
    minify_css=True,
    load_remote_stylesheets=False,
)


def inline_css(html: str) -> str:
    """The same document with its styles inlined; nothing is ever fetched."""
    if "<style" not in html:
        return html
    return _INLINER.inline(html)

"""Rules about CSS that common clients ignore, and about CSS that cannot be moved into the tags.

The list is taken from caniemail.com. It has only CSS without which a mail's layout breaks, not details such as round
corners. Rules in `@media` are an enhancement and are not checked.
"""

from collections.abc import Iterator
from typing import Final

from tinycss2.color3 import parse_color

from notifier.mail.style_inliner import find_unmoved_rules
from notifier.template_lint.document_css import CssAtRule, CssBlock, CssDeclaration
from notifier.template_lint.lint_rule import LintFinding, SampleMail, warning_rule

_OUTLOOK: Final = "Outlook for Windows"
_IGNORED: Final = {
    "position": ("static", f"Gmail and {_OUTLOOK}"),
    "float": ("none", _OUTLOOK),
    "transform": ("none", "Gmail and Outlook"),
    "clip-path": ("none", "Gmail and Outlook"),
    "filter": ("none", "Gmail and Outlook"),
}
"""Property → its value without effect, and the clients that ignore all other values."""
_LAYOUTS: Final = frozenset({"flex", "inline-flex", "grid", "inline-grid"})
_FUNCTIONS: Final = {"calc": "Outlook and Yahoo", "var": "Gmail, Outlook and Yahoo"}


@warning_rule("Put the CSS into the template itself: <style> in the layout.")
def external_stylesheet(mail: SampleMail) -> Iterator[LintFinding]:
    """`<link>` asks for a stylesheet; it is never fetched when a mail is sent, and most clients do not either."""
    for link in mail.document.list_elements("link"):
        if "stylesheet" in link.get_value("rel").lower().split():
            yield LintFinding(message="A stylesheet is linked.", offset=link.offset)


def _list_at_rules(mail: SampleMail, keyword: str) -> Iterator[CssAtRule]:
    return (rule for rule in mail.sheet.at_rules if rule.keyword == keyword)


@warning_rule("Put the CSS into the template itself.")
def css_import(mail: SampleMail) -> Iterator[LintFinding]:
    """`@import` asks for a stylesheet, which most clients do not fetch."""
    for rule in _list_at_rules(mail, "import"):
        yield LintFinding(message="@import is ignored by most clients.", offset=rule.offset)


@warning_rule("Use fonts that people have, such as Helvetica, Arial, sans-serif.")
def web_font(mail: SampleMail) -> Iterator[LintFinding]:
    """`@font-face` stands outside `@media`; Gmail and Outlook do not load it, some Outlooks show Times instead."""
    for rule in _list_at_rules(mail, "font-face"):
        yield LintFinding(message="A web font is asked for.", offset=rule.offset)


@warning_rule("Lay it out with a table, padding and plain values; @media may hold more for those who know it.")
def ignored_css(mail: SampleMail) -> Iterator[LintFinding]:
    """CSS that common clients ignore, and without which the layout breaks (`position`, `flex`, `calc()`, …)."""
    for block in mail.sheet.blocks:
        for declaration in block.declarations:
            if clients := _name_ignoring_clients(declaration):
                text = f"{declaration.name}: {declaration.value}"
                message = f"{text if len(text) <= 60 else declaration.name} is ignored by {clients}."  # noqa: PLR2004 - a line
                yield LintFinding(message=message, offset=declaration.offset, about=declaration.name)


def _name_ignoring_clients(declaration: CssDeclaration) -> str:
    if declaration.name.startswith("--"):
        return _FUNCTIONS["var"]
    if declaration.name in _IGNORED and declaration.value.lower() != _IGNORED[declaration.name][0]:
        return _IGNORED[declaration.name][1]
    if declaration.name == "display" and declaration.value.lower() in _LAYOUTS:
        return _OUTLOOK
    if declaration.name.startswith("margin") and any(
        getattr(token, "value", 0) < 0 for token in _list_numbers(declaration)
    ):
        return "Gmail and Outlook.com"
    functions = (token.lower_name for token in declaration.tokens if token.type == "function")
    return next((_FUNCTIONS[name] for name in functions if name in _FUNCTIONS), "")


def _list_numbers(declaration: CssDeclaration) -> Iterator[object]:
    return (token for token in declaration.tokens if token.type in ("number", "percentage", "dimension"))


@warning_rule("Give all rules that compete with it the same importance, or select by names, classes and ids alone.")
def lost_rule(mail: SampleMail) -> Iterator[LintFinding]:
    """A rule stays in `<style>` because moving it into the tags could change the look; some clients ignore it there."""
    for rule in find_unmoved_rules(mail.html):
        selector = " ".join(rule.selector.split())
        name = f"The rule for {selector}" if len(selector) <= 60 else "The rule"  # noqa: PLR2004 - a line
        message = f"{name} stays in <style>: {rule.reason}."
        yield LintFinding(message=message, offset=rule.offset, about=rule.selector)


@warning_rule("Add background-color, near the image's colours.")
def background_without_colour(mail: SampleMail) -> Iterator[LintFinding]:
    """A background image without a colour behind it; where it is not shown, as in Outlook, text may be unreadable."""
    for block in mail.sheet.blocks:
        image = next((declaration for declaration in block.declarations if _is_background_image(declaration)), None)
        if image and not _has_background_colour(block):
            yield LintFinding(message="A background image has no colour behind it.", offset=image.offset)


def _is_background_image(declaration: CssDeclaration) -> bool:
    if declaration.name not in ("background", "background-image"):
        return False
    return any(
        token.type == "url" or (token.type == "function" and token.lower_name == "url") for token in declaration.tokens
    )


def _has_background_colour(block: CssBlock) -> bool:
    if block.element and block.element.get_value("bgcolor"):
        return True
    return any(
        declaration.name == "background-color"
        or (declaration.name == "background" and any(map(parse_color, declaration.tokens)))
        for declaration in block.declarations
    )

"""The text part that is made from the HTML, and the inlining of styles."""

from notifier.mail.plain_text.text_builder import build_plain_text
from notifier.mail.style_inliner import inline_styles


def test_html_becomes_readable_text() -> None:
    """Headings, paragraphs and lists are kept apart; markup is gone and entities are letters."""
    text = build_plain_text("<h1>Hello</h1><p>Tea &amp; cake</p><ul><li>one</li><li>two</li></ul>")
    assert "<" not in text
    assert [line.strip() for line in text.splitlines() if line.strip()] == ["Hello", "Tea & cake", "* one", "* two"]


def test_the_address_of_a_link_is_kept() -> None:
    """A link's address is in the text part."""
    assert build_plain_text('<p><a href="https://shop.example/pay">Pay</a></p>') == "Pay <https://shop.example/pay>\n"


def test_blank_lines_do_not_pile_up() -> None:
    """At most one blank line in a row, none at the start, and no trailing spaces."""
    text = build_plain_text("<div><br><br><p>a</p><br><br><br><br><p>b   </p><br></div>")
    assert text == "a\n\nb\n"


def test_nothing_visible_makes_an_empty_line() -> None:
    """The text part of a mail with images only is an empty line."""
    assert build_plain_text('<img src="https://shop.example/a.png">') == "\n"


def test_styles_move_into_the_elements() -> None:
    """Rules of `<style>` become `style` attributes, and the element is removed."""
    html = inline_styles("<html><head><style>p { color: red }</style></head><body><p>a</p></body></html>")
    assert '<p style="color:red">a</p>' in html.replace(": ", ":").replace(";", "")
    assert "<style" not in html


def test_media_rules_stay() -> None:
    """Rules that cannot be inlined, such as media rules, stay in `<style>`."""
    html = inline_styles(
        "<html><head><style>p{color:red}@media (max-width:600px){p{color:blue}}</style></head>"
        "<body><p>a</p></body></html>"
    )
    assert "@media" in html
    assert "<style" in html


def test_without_styles_nothing_is_touched() -> None:
    """HTML without `<style>` is unchanged, even if it is no document."""
    assert inline_styles("<p>a<br>b") == "<p>a<br>b"


def test_a_stylesheet_is_never_fetched() -> None:
    """A link to a stylesheet is removed without fetching it."""
    html = inline_styles(
        '<html><head><style>p{color:red}</style><link rel="stylesheet" href="https://nowhere.invalid/a.css"></head>'
        "<body><p>a</p></body></html>"
    )
    assert "nowhere.invalid" not in html

"""Link addresses in the generated text part: unchanged and written once."""

import pytest

from notifier.mail.plain_text.text_builder import build_plain_text

RESET = "https://shop.example/reset?user=1&region=eu&currency=EUR&section=2&notify=1&timestamp=5&order=9&copy=1"


def test_an_address_is_decoded_once() -> None:
    """An address is decoded exactly once, with `&` escaped or not."""
    escaped = RESET.replace("&", "&amp;")
    assert build_plain_text(f'<a href="{escaped}">Reset</a> or {escaped}') == f"Reset <{RESET}> or {RESET}\n"
    assert build_plain_text(f'<a href="{RESET}">Reset</a>') == f"Reset <{RESET}>\n"
    assert build_plain_text('<a href="https://x.example/?a=%26amp;amp;&amp;lt=1">x</a>') == (
        "x <https://x.example/?a=%26amp;amp;&lt=1>\n"
    )


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://x.example/go">\n   Follow your\n parcel\n</a>', "Follow your parcel <https://x.example/go>"),
        ('<a href="https://x.example/faq">https://x.example/faq</a>', "https://x.example/faq"),
        ('<a href="https://x.example/">x.example</a>', "https://x.example/"),
        ('<a href="http://x.example">http://x.example/</a>', "http://x.example"),
        ('<a href="https://x.example/?a=1">x.example</a>', "x.example <https://x.example/?a=1>"),
        ('<a href="https://t.example/c">https://x.example</a>', "https://x.example <https://t.example/c>"),
        ('<a href="https://x.example/1">Open https://x.example/1 now</a>', "Open https://x.example/1 now"),
        ('a<a href="https://x.example/1">https://x.example/1</a>b', "ahttps://x.example/1 b"),
        ('<a href="mailto:help@x.example">help@x.example</a>', "help@x.example"),
        ('<a href="mailto:Help%2Bme@x.example">help+me@x.example</a>', "help+me@x.example"),
        (
            '<a href="mailto:help@x.example?subject=Hi">help@x.example</a>',
            "help@x.example <mailto:help@x.example?subject=Hi>",
        ),
        ('<a href="tel:+4943112345">+49 (431) 12-345</a>', "+49 (431) 12-345"),
        ('<a href="tel:+49431">Call us</a>.', "Call us <tel:+49431>."),
        ('<a href="/faq?a=1&amp;b=2">FAQ</a>', "FAQ </faq?a=1&b=2>"),
        (
            '<a href="#top">Top</a> <a href="">Empty</a> <a name="x">Name</a> <a href="javascript:x()">Run</a>',
            "Top Empty Name Run",
        ),
        (
            '<a href=" https://x.example/\n1 ">a</a> <a href="https://x.example/a b">c</a>',
            "a <https://x.example/1> c <https://x.example/a%20b>",
        ),
        ('<a href="https://x.example/(1)">a</a>', "a <https://x.example/(1)>"),
        ('<a href="https://x.example/ü?q=%20">a</a>', "a <https://x.example/ü?q=%20>"),
    ],
)
def test_an_address_stands_behind_its_words(html: str, text: str) -> None:
    """The address follows in angle brackets (RFC 3986, appendix C), unless it equals the words or is no target."""
    assert build_plain_text(html) == text + "\n"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://x.example"><img src="x" alt="Logo"></a>', "Logo <https://x.example>"),
        ('<a href="https://x.example"><img src="x"></a>', "<https://x.example>"),
        ('a<a href="https://x.example"><img src="x" alt=""></a>b', "a <https://x.example> b"),
        ('<a href="https://x.example"></a>a', "a"),
        ('<a href="https://x.example"><img src="x" width="1" height="1"></a>a', "a"),
        ('<a href="https://x.example"><i hidden>lost</i></a>a', "a"),
        ('<p hidden><a href="https://x.example">lost</a></p>a', "a"),
        ('<td style="font-size:0"><a href="https://x.example"><img alt="Logo"></a></td>', "Logo <https://x.example>"),
        ('<map><area href="https://x.example/1" alt="North"></map>', "North <https://x.example/1>"),
        ('<svg><a xlink:href="https://x.example/2"><text>Map</text></a></svg>', "Map <https://x.example/2>"),
        ('<a href="https://x.example"><h3>Tea</h3><p>4.00</p></a>a', "Tea\n\n4.00 <https://x.example>\n\na"),
        (
            '<a href="https://x.example"><table><tr><td>Tea</td><td>4.00</td></tr></table></a>',
            "Tea  4.00 <https://x.example>",
        ),
        (
            '<a href="https://x.example/1">a<a href="https://x.example/2">b</a>',
            "a <https://x.example/1>b <https://x.example/2>",
        ),
        ('<a href="https://x.example">a<p>b', "a\n\nb <https://x.example>"),
        ('<a href="https://x.example">a<br></a>b', "a <https://x.example>\nb"),
        ('<ul><li><a href="https://x.example">x.example</a></ul>', "* https://x.example"),
    ],
)
def test_links_around_anything(html: str, text: str) -> None:
    """Links around images, blocks, tables and nothing; an invisible link is left out."""
    assert build_plain_text(html) == text + "\n"

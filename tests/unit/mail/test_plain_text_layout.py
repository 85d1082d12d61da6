"""Layout of the generated text part: boxes, tables, lists, spaces, and replacements for what is not text."""

import pytest

from notifier.mail.plain_text.text_builder import build_plain_text

COLUMNS = (
    '<table><tr><td><div style="display:inline-block">Ship to Ada</div><!--[if mso]></td><td><![endif]-->'
    '<div style="display:inline-block">Order 42</div></td></tr></table>'
)
LONG = "A column of text that is longer than sixty characters, and has to be read by itself."


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (COLUMNS, "Ship to Ada  Order 42"),
        ("<table><tr><td>Ship to Ada</td><td>Order 42</td></tr></table>", "Ship to Ada  Order 42"),
        ('<div style="display:flex"><b>Ship to Ada</b><b>Order 42</b></div>', "Ship to Ada  Order 42"),
        (
            '<p style="display:table-cell">Ship to Ada</p><p style="display:table-cell">Order 42</p>',
            "Ship to Ada  Order 42",
        ),
        ('<span style="float:left">Ship to Ada</span><span>Order 42</span>', "Ship to Ada\nOrder 42"),
        ("<div>Ship to Ada</div><div>Order 42</div>", "Ship to Ada\nOrder 42"),
        ("<div>Ship to <span>Ada</span><p>Order</p>42</div>", "Ship to Ada\n\nOrder\n\n42"),
        ('<span style="display:block">a</span><span style="display:block">b</span>', "a\nb"),
        ('<div style="display:inline">a</div><div style="display:inline">b</div>', "ab"),
        ('<b style="padding-right:20px">Total</b>7.50', "Total 7.50"),
        ('<a style="display:inline-block">Yes</a><a style="display:inline-block">No</a>', "Yes No"),
        ('(<b style="display:inline-block">new</b>), <b style="display:inline-block">old</b>.', "(new), old."),
        ("w<b>or</b>d, <i>w</i><u>o</u>rd", "word, word"),
        ('<td align="center">   Follow\n   your\tparcel  </td>', "Follow your parcel"),
        (f"<table><tr><td>{LONG}</td><td>{LONG}</td></tr></table>", f"{LONG}\n{LONG}"),
        (f"<table><tr><td>{LONG}</td><td>3.00</td></tr></table>", f"{LONG}  3.00"),
        ("<table><tr><td>a<br>b</td><td>c</td></tr></table>", "a\nb\nc"),
        ("<table><tr><td></td><td>a</td><td>&nbsp;</td><td>b</td></tr></table>", "a  b"),
        ("<button>Press</button><input value=Send><select><option>A<option selected>B</select>", "Press Send B"),
    ],
)
def test_words_of_different_boxes_stand_apart(html: str, text: str) -> None:
    """Short table cells share a line; all other boxes have their own lines."""
    assert build_plain_text(html) == text + "\n"


def test_a_table_of_figures_is_read_by_lines() -> None:
    """Each table row is a line, head and foot included, with blank lines around the table."""
    html = (
        "Your order<table><caption>Order 42</caption><thead><tr><th>Item</th><th>Sum</th></tr></thead><tbody>"
        "<tr><td>Tea</td><td>4.00</td></tr><tr><td>Cake<td>3.50</tbody><tfoot><tr><td>Total</td><td>7.50</td></table>Bye"
    )
    assert build_plain_text(html) == ("Your order\n\nOrder 42\nItem  Sum\nTea  4.00\nCake  3.50\nTotal  7.50\n\nBye\n")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", "* a\n* b\n  * c\n* d"),
        ('<ol start="9"><li>a<li>b<br>c<li value="3">d</ol>', "9. a\n10. b\n    c\n3. d"),
        (
            '<ol type="a"><li>a<li>b</ol><ol type=I><li>x<li>y<li>z<li>q</ol>',
            "a. a\nb. b\n\nI. x\nII. y\nIII. z\nIV. q",
        ),
        ('<ol style="list-style-type:lower-roman"><li>a<li>b</ol>', "i. a\nii. b"),
        ('<ol start="27" type="A"><li>a</ol><ol start="0" type="a"><li>b</ol>', "AA. a\n\n0. b"),
        ('<ul style="list-style:none;padding:0"><li>a<li>b</ul>', "a\nb"),
        ("<ul><li></li><li>a</li><li><p>b</p><p>c</p></li></ul>", "* a\n\n* b\n\n  c"),
        ("<li>a<li>b", "* a\n* b"),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>", "a\nb\nc\nd"),
        ("<blockquote>a<br>b<blockquote>c</blockquote></blockquote>d", "> a\n> b\n\n> > c\n\nd"),
        ("<pre>\n a  b\n\tc\n\n\nd</pre>", "a  b\n\tc\n\nd"),
        ('x<p style="white-space:pre-line">a   b\n  c</p>', "x\n\na b\nc"),
        ("<h1>a</h1>b<hr>c<h6>d</h6>", "a\n\nb\n\n---\n\nc\n\nd"),
        ("a<br>b<br><br>c<br><br><br><br>d<br>", "a\nb\n\nc\n\nd"),
        ("10<sup>6</sup> m<sup>2</sup> 4<sup>th</sup> H<sub>2</sub>O €19<sup>99</sup>", "10⁶ m2 4th H2O €19⁹⁹"),
        ("<q>a</q>, <del>b</del> <ins>c</ins>", "“a”, b c"),
        ("<details><summary>a</summary>b</details>", "a\nb"),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>", "漢(かん)"),
        ("<noscript>a</noscript> <video>b</video>", "a b"),
    ],
)
def test_what_is_said_by_layout_is_said_by_signs(html: str, text: str) -> None:
    """Lists, quotes, headings, rules and line breaks become characters."""
    assert build_plain_text(html).lstrip(" ") == text + "\n"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a&nbsp;&nbsp; b &nbsp;", "a b"),
        ("un&shy;break&#8203;able&zwnj; &zwnj;&nbsp;&zwnj; x", "unbreakable x"),
        ("می‌خواهم 👨‍👩‍👧", "می‌خواهم 👨‍👩‍👧"),
        ("<p dir=rtl>مرحبا <b>آدا</b></p>", "مرحبا آدا"),
        ("您好<b>Ada</b>。", "您好Ada。"),
        ("<p>&rlm;&lrm;</p><p>&#xFEFF;</p>a", "a"),
        ("&amp;region= &amp;amp;lt; &lt;b&gt; &#8364; &unknown; & <3", "&region= &amp;lt; <b> € &unknown; & <3"),
        ("a&#0;b&#1;c&#133;d&#8232;e", "a\ufffdbc…d e"),
        ("1&#8239;234", "1\u202f234"),
    ],
)
def test_characters_are_those_of_the_html(html: str, text: str) -> None:
    """Character references are decoded once; invisible characters go unless they belong to a word."""
    assert build_plain_text(html) == text + "\n"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<img src="x" alt="Larkspur"><img src="y" alt=""><img src="z">', "Larkspur"),
        ('<img alt="A"><img alt="B">', "A B"),
        ('<img src="open.gif" width="1" height="1" alt="lost">a', "a"),
        ("<head><title>x</title><style>p{}</style></head><script>y</script><template>z</template>a", "a"),
        ("<!--[if mso]>lost<![endif]-->a<!--[if !mso]><!-->b<!--<![endif]--><![if !mso]>c<![endif]>", "abc"),
        ("<!-- a -- > b -->c<!---->d<?php e ?>f<!f>g", "cdfg"),
        ("<iframe>lost</iframe><noframes>lost</noframes><datalist><option>lost</datalist>a", "a"),
        ("<textarea>a <b>\nc</textarea>", "a <b>\nc"),
        ("<input type=hidden value=x><input type=checkbox value=x><input type=password value=x>a", "a"),
        ('<html xmlns="http://www.w3.org/1999/xhtml"><head/><body><p/>a<br/>b<div/>c</body></html>', "a\nb\n\nc"),
        ("<P CLASS=X>a<BR>b<IMG ALT=c>", "a\nb c"),
        ("<p>a<b>b<p>c</b>d", "ab\n\ncd"),
        ("a</body></html>b", "ab"),
        ("<table>a<tr><td>b</table>c", "a\n\nb\n\nc"),
        ("", ""),
    ],
)
def test_only_what_is_shown_is_said(html: str, text: str) -> None:
    """Text that a browser does not show is left out; broken tags are read as browsers do."""
    assert build_plain_text(html) == text + "\n"

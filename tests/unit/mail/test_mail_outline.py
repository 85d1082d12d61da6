"""The links and the preheader of a mail, as the editor shows them beside a preview."""

from notifier.mail.link_target import insert_link_target
from notifier.mail.mail_outline import MAX_CHARACTERS, MAX_LINKS, MailLink, read_outline


def test_links_have_their_words_and_where_they_lead() -> None:
    """A link is named by its text, or by the text of its image; anchors without an address are left out."""
    outline = read_outline(
        '<body><a href="https://shop.example/?a=1&amp;b=2">Track <b>it</b></a><a name="here">no link</a>'
        '<a href="https://shop.example"><img src="cid:logo" alt="The shop"></a>'
        '<a href="mailto:a@b.example"> </a></body>'
    )
    assert outline.links == [
        MailLink(text="Track it", url="https://shop.example/?a=1&b=2"),
        MailLink(text="The shop", url="https://shop.example"),
        MailLink(text="", url="mailto:a@b.example"),
    ]


def test_the_preheader_is_the_first_hidden_text() -> None:
    """What fills it up is left out; hidden elements without a text are none."""
    outline = read_outline(
        '<body><div style="DISPLAY : none"> </div><div style="display:none">Arrives on Tuesday &#847;&zwnj;&nbsp;&#847;'
        '</div><p>Hello</p><p style="display:none">later</p></body>'
    )
    assert outline.preheader == "Arrives on Tuesday"
    assert read_outline("<p>Hello</p>").preheader == ""


def test_long_mails_have_a_short_outline() -> None:
    """Links are shown up to a number and a length, and a mail that is too long for a reader is not read at all."""
    many = read_outline(f'<a href="https://a.example/{"x" * 1000}">y</a>' * (MAX_LINKS + 1))
    assert len(many.links) == MAX_LINKS
    assert len(many.links[0].url) == 300
    assert read_outline('<a href="https://a.example">y</a>' + " " * MAX_CHARACTERS).links == []


def test_links_open_a_new_tab_wherever_the_mail_begins() -> None:
    """The base element stands in the head, and never before the doctype."""
    base = '<base target="_blank">'
    assert insert_link_target("<!DOCTYPE html><p>x") == f"<!DOCTYPE html>{base}<p>x"
    assert insert_link_target('<!doctype html><html lang="en"><p>x') == f'<!doctype html><html lang="en">{base}<p>x'
    assert insert_link_target("<html><HEAD ><title>") == f"<html><HEAD >{base}<title>"
    assert insert_link_target("<p>x") == f"{base}<p>x"

"""An open message in a real Chromium: dark look, HTML source, check, attachments, release and link."""

from collections.abc import Callable
from email.message import EmailMessage
from typing import TYPE_CHECKING

import httpx2
import pytest
from integration.inbox.test_page_safety import PIXEL
from playwright.sync_api import expect

from notifier.inbox.inbox_server import BackgroundInbox

if TYPE_CHECKING:
    from integration.inbox.conftest import InboxPage

Send = Callable[..., None]
FAULTY = '<html lang="en">\n<title>x</title>\n<p onclick="run()">Hello &amp; <b>"you"</b></p><!-- end -->\n</html>'


@pytest.fixture
def inbox(page: "InboxPage") -> BackgroundInbox:
    """The inbox of the page."""
    return page.inbox


def open_mail(page: "InboxPage", subject: str) -> None:
    """Open the mail with this subject once it is listed."""
    page.find(f".row:has-text('{subject}')").click()
    page.until_reading(subject)


def test_a_mail_is_seen_as_readers_with_dark_mode_see_it(page: "InboxPage", send: Send) -> None:
    """Dark gives the frame a dark scheme of its own, also for the next mail; light is the default."""
    html = "<style>p{color:rgb(1,2,3)}@media (prefers-color-scheme:dark){p{color:rgb(9,8,7)}}</style><p>x</p>"
    send("Looks", html=html)
    open_mail(page, "Looks")
    text = page.find("iframe.paper").content_frame.locator("p")
    expect(text).to_have_css("color", "rgb(1, 2, 3)")

    page.find("#dark").click()
    expect(page.find("#dark")).to_have_attribute("aria-pressed", "true")
    expect(text).to_have_css("color", "rgb(9, 8, 7)")
    send("Another", html=html)
    open_mail(page, "Another")
    expect(text).to_have_css("color", "rgb(9, 8, 7)")
    page.find("#dark").click()
    expect(text).to_have_css("color", "rgb(1, 2, 3)")


def test_the_html_source_is_text_in_numbered_lines(page: "InboxPage", send: Send) -> None:
    """The source is shown as it is written, with colours, and nothing of it becomes an element."""
    send("Source", html=FAULTY)
    open_mail(page, "Source")
    page.find("#tab-markup").click()

    page.until_texts(".line", *FAULTY.split("\n"), "")
    assert page.texts(".line .value") == ['"en"', '"run()"']
    assert page.texts(".line .comment") == ["<!-- end -->"]
    expect(page.find(".source b")).to_have_count(0)


def test_a_finding_of_the_check_leads_to_its_line(page: "InboxPage", send: Send) -> None:
    """The check lists what the rules for templates find; a finding's button shows its line of the source."""
    send("Faulty", html=FAULTY)
    open_mail(page, "Faulty")
    page.find("#tab-check").click()

    first = page.find(".finding").first
    expect(first).to_contain_text("onclick runs a script, which no mail may. Remove the attribute. event_attribute")
    expect(first.locator(".severity")).to_have_text("error")
    expect(page.find(".check strong")).to_have_text("1 error, 1 warning")
    first.locator("button").click()
    page.until_texts(".line.marked", FAULTY.split("\n")[2])
    expect(page.find("#tab-markup")).to_be_focused()


def test_images_are_shown_and_other_files_are_saved(page: "InboxPage", send: Send) -> None:
    """An attached PNG has a thumbnail; a PDF and an SVG have links that save them."""
    mail = EmailMessage()
    mail["Subject"] = "Files"
    mail.set_content("x")
    mail.add_attachment(PIXEL, maintype="image", subtype="png", filename="dot.png")
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="a.pdf")
    mail.add_attachment(b"<svg/>", maintype="image", subtype="svg+xml", filename="a.svg")
    send(raw=mail.as_bytes())
    expect(page.find(".row-marks svg")).to_have_count(1)
    open_mail(page, "Files")

    expect(page.find(".thumbnail img")).to_have_count(1)
    expect(page.find(".thumbnail img")).to_have_js_property("naturalWidth", 1)
    assert page.texts(".file-name") == ["dot.png", "a.pdf", "a.svg"]
    for number, link in enumerate(page.find(".file").all()):
        expect(link).to_have_attribute("download", ("dot.png", "a.pdf", "a.svg")[number])
    assert page.errors == []


def test_a_message_is_released_to_a_chosen_recipient(page: "InboxPage", send: Send) -> None:
    """The dialog offers the allowed servers and the first recipient, and says what became of the release."""
    send("Release me")
    open_mail(page, "Release me")
    page.find("#release-open").click()
    server = f"localhost:{page.elsewhere.smtp_port}"
    expect(page.find("#release-server")).to_have_value(server)
    expect(page.find("#release-to")).to_have_value("ann@customer.example")

    page.find("#release-to").fill("bob@customer.example")
    page.press("Enter")
    page.until_texts("#release-result", f"Released to bob@customer.example through {server}.")
    assert page.elsewhere.wait_for(to="bob@customer.example").subject == "Release me"
    page.press("Escape")
    expect(page.find("#release")).to_be_hidden()
    page.until_reading("Release me")


def test_an_inbox_that_may_not_release_says_how_it_could(page: "InboxPage", send: Send) -> None:
    """Without release ports the dialog names the option to start the inbox with."""
    with BackgroundInbox() as other:
        send("Stays", via=other)
        page.url = other.http_url
        page.open()
        open_mail(page, "Stays")
        page.find("#release-open").click()
        expect(page.find("#release-text")).to_contain_text("notifier inbox --release-port 2525")
        expect(page.find("#release-fields")).to_be_hidden()
        expect(page.find("#release-send")).to_be_hidden()
        page.page.goto("about:blank")


def test_a_mail_of_ours_leads_to_its_notification(page: "InboxPage", send: Send) -> None:
    """The Message-ID of a notification becomes a link to the console; other mail has none."""
    send(raw=b"Subject: Ours\r\nMessage-ID: <0193786f11117abc8abcabcdefabcdef@shop.example>\r\n\r\nx\r\n")
    open_mail(page, "Ours")
    link = page.find("#notification")
    expect(link).to_have_attribute("href", "http://console.example/console/mail/0193786f-1111-7abc-8abc-abcdefabcdef")
    expect(link).to_have_attribute("rel", "noopener")
    send(raw=b"Subject: Theirs\r\nMessage-ID: <0193786f11114abc8abcabcdefabcdef@shop.example>\r\n\r\nx\r\n")
    open_mail(page, "Theirs")
    expect(link).to_have_count(0)


def test_the_page_says_that_chaos_is_on(page: "InboxPage", send: Send) -> None:
    """A notice appears and goes as chaos is turned on and off."""
    send("Calm")
    expect(page.find("#chaos")).to_be_hidden()
    jim = f"{page.url}/api/v2/jim"
    httpx2.post(jim, json={"AcceptChance": 0}, trust_env=False).raise_for_status()
    expect(page.find("#chaos")).to_have_text("Chaos is on: mail may be refused")
    httpx2.delete(jim, trust_env=False).raise_for_status()
    expect(page.find("#chaos")).to_be_hidden()

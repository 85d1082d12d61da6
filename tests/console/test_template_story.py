"""Staff change a template: from the first word to the mail in the inbox, with scripts and without."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Locator, Page, expect
from support.console_browser import DESKTOP, PHONE, ConsoleBrowser, find_violations, press_tab_until
from support.console_rig import ConsoleRig
from support.seeded_installation import SqliteSeed
from support.staff_people import PASSWORD
from support.template_pages import HTML_PART, SUBJECT_PART, EditorPerson

CHANGES = {
    "order_shipped": ("It\u2019s on its way", "It has left our store"),
    "welcome": ("There\u2019s no rush.", "Take your time."),
}
"""A sentence of each template, and what staff make of it."""


@contextmanager
def open_editor(
    rig: ConsoleRig, browser: ConsoleBrowser, slug: str, *, with_scripts: bool, role: str = "admin"
) -> Iterator[EditorPerson]:
    """Open the editor as somebody who is signed in."""
    with browser.open_page(token=rig.tokens[role], with_scripts=with_scripts) as page:
        person = EditorPerson(page=page, slug=slug, with_scripts=with_scripts)
        person.open_editor()
        yield person


@contextmanager
def open_editor_by_link(
    rig: ConsoleRig, browser: ConsoleBrowser, slug: str, *, with_scripts: bool
) -> Iterator[EditorPerson]:
    """Sign in by a printed link, at a desk with scripts and on a phone without, and find the way to the editor."""
    name, width = ("Wendy", DESKTOP) if with_scripts else ("Wilma", PHONE)
    with browser.open_page(with_scripts=with_scripts, width=width) as page:
        page.goto(f"/console/welcome/{rig.links[name]}")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Save and sign in").click()
        page.get_by_role("link", name="Templates", exact=True).click()
        page.locator("tbody tr", has_text=slug).get_by_role("link").click()
        page.get_by_role("link", name="Edit").click()
        person = EditorPerson(page=page, slug=slug, with_scripts=with_scripts)
        person.wait_until_ready()
        yield person


def submit(rig: ConsoleRig, seed: SqliteSeed, slug: str, **variables: Any) -> None:
    """Ask for a mail as the shop does."""
    body = {"to": f"{slug}@example.com", "template": slug, "variables": variables}
    headers = {"Authorization": f"Bearer {seed.keys.shop}"}
    reply = httpx2.post(f"{rig.url}/v1/notifications", json=body, headers=headers)
    assert reply.status_code == 202, reply.text


@pytest.mark.parametrize(("slug", "with_scripts"), [("order_shipped", True), ("welcome", False)])
def test_a_sentence_is_changed_and_nobody_breaks(
    slug: str, *, with_scripts: bool, rig: ConsoleRig, browser: ConsoleBrowser, sqlite_seed: SqliteSeed
) -> None:
    """Preview, mistake, unfinished draft, a caller that would break, a default, published, in the inbox."""
    before, after = CHANGES[slug]
    with open_editor_by_link(rig, browser, slug, with_scripts=with_scripts) as person:
        page = person.page
        html, sample = person.read_part("body.html"), json.loads(person.read_part("sample.json"))
        submit(rig, sqlite_seed, slug, **sample)

        person.write_part(SUBJECT_PART, person.read_part("subject.txt"))  # without what a draft has added
        changed = html.replace(before, after)
        person.write_part(HTML_PART, changed)
        expect(person.frame.get_by_text(after).first).to_be_visible()

        save_mistake(person, changed, after)

        person.wait_until_ready()
        person.write_sample(json.dumps(sample | {"ticket": "AB-12"}))
        person.write_part(HTML_PART, changed.replace(after, f"{after} {{{{ ticket }}}}"))
        expect(person.frame.get_by_text("AB-12").first).to_be_visible()
        person.press("Save and publish…")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Not yet: shop would break.")
        expect(page.locator("body")).to_contain_text('{{ ticket|default("") }}')
        if with_scripts:
            assert find_violations(page) == []
            copy_note(page)
        page.get_by_role("link", name="Open HTML, line").click()

        person.wait_until_ready()
        person.write_part(HTML_PART, changed.replace(after, f'{after} {{{{ ticket|default("") }}}}'))
        person.press("Save and publish…")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Ready. Nobody breaks")
        page.get_by_label("Why this change").fill("Warmer words")
        page.get_by_role("button", name="Publish version").click()
        person.expect_flash("is live")
        expect(page.get_by_text("Warmer words")).to_be_visible()
        rig.inbox.clear()
        submit(rig, sqlite_seed, slug, **sample)
        mail = rig.inbox.wait_for(to=f"{slug}@example.com", timeout=60)
        assert after in (mail.html or "")
        page.get_by_role("searchbox").fill(f"{slug}@example.com")
        page.get_by_role("button", name="Find").click()
        page.locator("tbody th a").first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(re.compile("Probably|Not yet"))
        expect(page.locator(".timeline li").first).to_be_visible()
        if with_scripts:
            assert find_violations(page) == []
    assert browser.take_faults() == []


def save_mistake(person: EditorPerson, html: str, sentence: str) -> None:
    """Write a wrong filter, see it marked on its line, save the draft unfinished, and be refused publishing."""
    page = person.page
    wrong = html.replace(sentence, f"{sentence}\n{{{{ name|mony }}}}")
    line = wrong[: wrong.index("{{ name|mony }}")].count("\n") + 1
    person.write_part(HTML_PART, wrong)
    if person.with_scripts:
        mistake = page.locator(".remark-list li", has_text="mony").first
        expect(mistake).to_contain_text(f"HTML, line {line}")
        expect(page.locator(".cm-lint-marker-error").first).to_be_visible()
        expect(person.frame.get_by_text(sentence).first).to_be_visible()  # the last preview that worked
    else:
        expect(person.frame.locator("body")).to_contain_text(f"HTML, line {line}")
    person.press("Save draft")
    person.expect_flash(f"Saved. It cannot be published until this is mended: HTML, line {line}")
    person.wait_until_ready()
    person.press("Save and publish…")
    person.expect_flash("cannot be published")
    assert page.url.endswith("/edit")


def copy_note(page: Page) -> None:
    """Copy what the team of the calling service has to know."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("A note for the team of shop").click()
    page.get_by_role("button", name="Copy a note for the team").click()
    expect(page.locator("#said")).to_have_text("Copied.")
    note = page.evaluate("navigator.clipboard.readText()")
    assert "1 of the last 1 requests of shop would be refused" in note


def follow(page: Page, wanted: Locator) -> None:
    """Go to a link or a button by Tab and press Enter, which loads another page."""
    press_tab_until(page, wanted)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_a_template_is_made_and_published_by_the_keyboard_alone(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """From the first page to the live version: a mistake is found by its link and mended, without a mouse."""
    with browser.open_page(token=rig.tokens["admin"]) as page:
        page.goto("/console/")
        follow(page, page.get_by_role("link", name="Templates", exact=True))
        follow(page, page.get_by_role("link", name="New template"))
        press_tab_until(page, page.get_by_label("Name", exact=True))
        page.keyboard.type("Price watch")
        press_tab_until(page, page.get_by_label("Short name"))
        page.keyboard.type("price_watch")
        follow(page, page.get_by_role("button", name="Make it"))
        person = EditorPerson(page=page, slug="price_watch", with_scripts=True)
        person.wait_until_ready()

        subject = page.get_by_role("textbox", name=SUBJECT_PART, exact=True)
        press_tab_until(page, subject)
        page.keyboard.press("Control+A")
        page.keyboard.type("A better price, {{ name|mony }} ")
        mistake = page.locator(".remark-list li", has_text="mony").first
        expect(mistake).to_contain_text("Subject, line 1")
        press_tab_until(page, mistake.get_by_role("link"))
        page.keyboard.press("Enter")
        expect(subject).to_be_focused()
        page.keyboard.press("Control+A")
        page.keyboard.type("A better price, {{ name }} ")
        expect(page.locator(".mail-head")).to_contain_text("A better price, Ada")

        follow(page, page.get_by_role("button", name="Save and publish…"))
        expect(page.get_by_role("heading", level=1)).to_contain_text("Ready. Nobody has sent it yet")
        press_tab_until(page, page.get_by_label("Why this change"))
        page.keyboard.type("Readers asked for it")
        follow(page, page.get_by_role("button", name="Publish version 1"))
        person.expect_flash("Version 1 is live")
    assert browser.take_faults() == []


def test_links_of_a_preview_open_nothing(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """A click leaves the preview as it is; where the link leads is written below, as words."""
    with open_editor(rig, browser, "newsletter", with_scripts=True, role="editor") as person:
        page = person.page
        link = person.frame.locator("a[href^='https:']").first
        url = link.get_attribute("href") or ""
        link.click()
        page.get_by_text("where they lead").click()
        expect(page.locator("#preview-links")).to_contain_text(url)
        expect(page.locator("#preview-links a")).to_have_count(0)
        expect(link).to_be_visible()
        assert len(page.context.pages) == 1
    assert all("Blocked opening" in fault for fault in browser.take_faults())


def test_two_people_save_one_draft(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """The second sees both sides of what differs, and chooses for each part; nothing is lost."""
    with (
        open_editor(rig, browser, "newsletter", with_scripts=False) as first,
        open_editor(rig, browser, "newsletter", with_scripts=True, role="editor") as second,
    ):
        html = first.read_part("body.html")
        first.write_part(SUBJECT_PART, "Theirs: {{ title }}")
        first.press("Save draft")
        second.page.get_by_text("Another language").click()
        second.page.get_by_label("New language").fill("fr")
        second.press("Add it")  # the page that comes still knows what its text is based on
        second.wait_until_ready()
        second.write_part(SUBJECT_PART, "Mine: {{ title }}")
        second.write_part(HTML_PART, html.replace("{% extends", "{# mine #}\n{% extends", 1))
        second.press("Save draft")
        page = second.page
        expect(page.get_by_role("heading", level=1)).to_contain_text("Not saved yet: Admin has saved this draft")
        expect(page.get_by_text("Theirs: {{ title }}")).to_be_visible()
        expect(page.get_by_text("Mine: {{ title }}")).to_be_visible()
        page.get_by_label("Subject: which one?").select_option("Take theirs")
        with page.expect_navigation():
            page.get_by_role("button", name="Save what I chose").click()
        second.expect_flash("Saved what you chose of both sides.")
        expect(page.locator("textarea[data-file='subject.txt']")).to_have_value("Theirs: {{ title }}")
        expect(page.locator("textarea[data-file='body.html']")).to_have_value(
            html.replace("{% extends", "{# mine #}\n{% extends", 1)
        )
    assert browser.take_faults() == []


def test_a_past_mail_fills_the_preview(rig: ConsoleRig, browser: ConsoleBrowser, sqlite_seed: SqliteSeed) -> None:
    """Its values stand in the form as own values, and the preview shows them."""
    with open_editor(rig, browser, "order_shipped", with_scripts=False, role="editor") as person:
        page = person.page
        sample = json.loads(person.read_part("sample.json"))
        submit(rig, sqlite_seed, "order_shipped", **sample | {"store": "Store of the past"})
        page.reload()
        page.get_by_text("Values for the preview").click()
        person.press("Fill in its values")
        expect(page.get_by_label("My own values")).to_have_value(re.compile("Store of the past"))
        expect(page.locator(".mail-head")).to_contain_text("Store of the past")
    assert browser.take_faults() == []


def test_a_test_mail_goes_to_oneself(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """The draft is saved and sent to the address of the person."""
    rig.inbox.clear()
    with open_editor(rig, browser, "daily_report", with_scripts=True, role="editor") as person:
        person.press("Save and send a test mail to me")
        person.expect_flash("A test mail is on its way to")
    assert rig.inbox.wait_for(timeout=60).html
    assert browser.take_faults() == []


def test_tab_leaves_the_editor_and_control_s_saves(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Nobody is trapped at the keyboard."""
    with open_editor(rig, browser, "newsletter", with_scripts=True, role="editor") as person:
        page = person.page
        page.get_by_role("textbox", name=SUBJECT_PART, exact=True).focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('.cm-editor')") is None
        page.get_by_role("textbox", name=SUBJECT_PART, exact=True).click()
        with page.expect_navigation():
            page.keyboard.press("Control+S")
        person.expect_flash("Saved.")
    assert browser.take_faults() == []

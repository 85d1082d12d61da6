"""Chromium, driven by Playwright: pages in a width and a colour scheme, and what they do that they should not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, expect

from support import browser
from support.browser import WAIT_MILLISECONDS

AXE = Path(__file__).parents[2] / ".venv" / "openapi" / "node_modules" / "axe-core" / "axe.min.js"
STRANGE_HOST = "console.example"
"""A name by which the browser reaches the program, and which is not the console's."""
PHONE, TABLET, DESKTOP = 375, 768, 1440
MAX_TABS = 100
Scheme = Literal["light", "dark"]
MAIL_FRAME = "/frame"
"""How the URLs of mails in frames end."""
_RECORD_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""
_RUN_AXE = """async () => (await axe.run(document, {iframes: false})).violations.map((violation) =>
  `${violation.id}: ${violation.help}: ${violation.nodes.map((node) => node.html).join(" | ")}`)"""


@cache
def _read_axe() -> str:
    return AXE.read_text()


@dataclass
class ConsoleBrowser:
    """A browser, and what pages did that they should not."""

    browser: Browser
    url: str  # of the program
    faults: list[str] = field(default_factory=list)  # dialogs, script errors, what a policy refused to load

    def take_faults(self) -> list[str]:
        """Return the faults so far, and forget them, so that each test has its own."""
        faults, self.faults = self.faults, []
        return faults

    @contextmanager
    def open_page(
        self,
        *,
        token: str | None = None,
        width: int = DESKTOP,
        scheme: Scheme = "light",
        with_scripts: bool = True,
    ) -> Iterator[Page]:
        """Open an empty page in a browser profile of its own, signed in by the token of a session."""
        context = self.browser.new_context(
            base_url=self.url,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=with_scripts,
            reduced_motion="reduce",
            timezone_id="Europe/Amsterdam",
        )
        context.set_default_timeout(WAIT_MILLISECONDS)
        if token is not None:
            cookie: Any = {"name": "notifier-on-this-machine", "value": token, "url": self.url, "httpOnly": True}
            context.add_cookies([cookie])
        self._watch(context, with_scripts=with_scripts)
        try:
            yield context.new_page()
        finally:
            context.close()

    def _watch(self, context: BrowserContext, *, with_scripts: bool) -> None:
        if with_scripts:
            context.add_init_script(_RECORD_VIOLATIONS)
        context.on("weberror", lambda error: self.faults.append(f"error: {error.error}"))
        context.on("dialog", self._note_dialog)
        context.on("console", lambda message: self._note_message(message.type, message.text, message.location["url"]))

    def _note_dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _note_message(self, kind: str, text: str, source: str) -> None:
        # What a mail asks for in its frame is refused, and that is right.
        is_of_frame = source.endswith(MAIL_FRAME) or f"{MAIL_FRAME}'" in text
        if kind in {"error", "warning"} and not is_of_frame and "the server responded with a status of" not in text:
            self.faults.append(f"console: {text}")


def find_violations(page: Page) -> list[str]:
    """Find what the page's policy has refused so far."""
    violations: list[str] = page.evaluate("window.violations")
    return violations


def find_barriers(page: Page) -> list[str]:
    """Find what axe-core reports about a page: things that keep people from using it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_read_axe())
    barriers: list[str] = page.evaluate(_RUN_AXE)
    return barriers


def find_overflow(page: Page) -> list[str]:
    """Find elements that make the page wider than its window."""
    script = """() => document.documentElement.scrollWidth <= document.documentElement.clientWidth ? [] :
      [...document.querySelectorAll("body *")].filter((each) => each.getBoundingClientRect().right >
        document.documentElement.clientWidth + 1).map((each) => each.outerHTML.slice(0, 120))"""
    wide: list[str] = page.evaluate(script)
    return wide


def find_hidden_characters(page: Page) -> list[str]:
    """Find characters that nobody sees, or that turn text around, in what a page shows or names.

    Fields keep what was typed, and links what they lead to.
    """
    script = r"""() => {
      const hidden = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;
      const texts = [document.title];
      for (const each of document.querySelectorAll("*")) {
        for (const {name, value} of each.attributes) if (!["value", "href", "src"].includes(name)) texts.push(value);
        for (const node of each.childNodes) if (node.nodeType === Node.TEXT_NODE) texts.push(node.data);
      }
      return texts.filter((text) => hidden.test(text)).map((text) => JSON.stringify(text.slice(0, 80)));
    }"""
    found: list[str] = page.evaluate(script)
    return found


def press_tab_until(page: Page, wanted: Locator) -> None:
    """Press Tab until the element has the focus, as somebody without a mouse does."""
    for _ in range(MAX_TABS):
        if wanted.evaluate("(each) => each === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} is not reached by {MAX_TABS} presses of Tab")


@contextmanager
def start_browser(url: str) -> Iterator[ConsoleBrowser]:
    """Start Chromium until the block ends."""
    expect.set_options(timeout=WAIT_MILLISECONDS)
    with browser.start_chromium(f"--host-resolver-rules=MAP {STRANGE_HOST} 127.0.0.1") as started:
        yield ConsoleBrowser(started, url)


def describe_faults(faults: object) -> str:
    """Describe faults for the message of a failed test."""
    return json.dumps(faults, indent=1, ensure_ascii=False)

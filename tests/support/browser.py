"""A real browser without network access, which shows pages in a given width and colour scheme.

While it runs, its thread counts as one with a running event loop: a module that uses it has no asynchronous tests.
"""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
"""Without the parts of a desktop browser if possible: it takes half the time."""
WAIT_MILLISECONDS = 60_000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_EMPTY_PAGE = "data:text/html,"


@contextmanager
def start_chromium(*flags: str) -> Iterator[Browser]:
    """Start Chromium until the block ends."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class BrowserWindow:
    """A window of a browser that shows one page."""

    page: Page
    devtools: CDPSession

    def load(self, html: str) -> None:
        """Show a document without an origin. It takes the place of the one before: a navigation starts a process."""
        if self.page.url != _EMPTY_PAGE:
            self.page.goto(_EMPTY_PAGE)
        frame = self.devtools.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        self.devtools.send("Page.setDocumentContent", {"frameId": frame, "html": html})
        self.page.wait_for_load_state("load")

    def set_view(self, width: int, scheme: str, *, scale: float = 1) -> None:
        """Set the width in CSS pixels and the colour scheme, `light` or `dark`."""
        self.devtools.send("Emulation.setScrollbarsHidden", {"hidden": True})
        size = {"width": width, "height": 800, "deviceScaleFactor": scale, "mobile": False}
        self.devtools.send("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools.send("Emulation.setEmulatedMedia", {"features": features})

    def run_script(self, body: str, *arguments: Any) -> Any:
        """Run the body of a function with these arguments in the page, and return what it returns."""
        return self.page.evaluate(f"(values) => (function () {{ {body}\n }})(...values)", list(arguments))

    def take_screenshot(self) -> bytes:
        """Take a PNG of the whole page, also below the window."""
        size = self.devtools.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        how = {"captureBeyondViewport": True, "clip": clip, "optimizeForSpeed": True}
        taken = self.devtools.send("Page.captureScreenshot", how)
        return base64.b64decode(taken["data"])


@contextmanager
def open_window() -> Iterator[BrowserWindow]:
    """Open a window with an empty profile until the block ends."""
    with start_chromium() as browser:
        # Otherwise Playwright's own colour scheme would win in frames.
        page = browser.new_page(color_scheme="null", viewport={"width": 1280, "height": 800})
        page.set_default_timeout(WAIT_MILLISECONDS)
        yield BrowserWindow(page, page.context.new_cdp_session(page))

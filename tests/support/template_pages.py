"""A person at the editor of a template, with scripts or without."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import FrameLocator, Page, TimeoutError, expect  # noqa: A004 - the library's own name

HTML_PART, SUBJECT_PART = "HTML", "Subject"
MAX_TRIES, TRY_MILLISECONDS = 10, 10_000
_PASTE = """(text) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  document.activeElement.dispatchEvent(
    new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
}"""
"""As by Ctrl+V. Chromium's own insertion of several lines would set styles, which the policy refuses."""


@dataclass(frozen=True, kw_only=True)
class EditorPerson:
    """A person who edits one template."""

    page: Page
    slug: str
    with_scripts: bool

    @property
    def url(self) -> str:
        """The page of the editor."""
        return f"/console/templates/{self.slug}/edit"

    @property
    def frame(self) -> FrameLocator:
        """The frame with the preview."""
        return self.page.frame_locator(".preview-side iframe:not(.behind)")

    def read_part(self, file: str) -> str:
        """Read a part of the shipped template, as it is before anything is changed."""
        return (Path("templates") / self.slug / file).read_text()

    def open_editor(self) -> None:
        """Open the editor."""
        self.page.goto(self.url)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the editor lies over the text boxes, if there are scripts."""
        if self.with_scripts:
            self.page.wait_for_selector("html[data-ready=yes]")

    def write_part(self, word: str, text: str) -> None:
        """Replace the whole text of a part."""
        box = self.page.get_by_role("textbox", name=word, exact=True)
        if self.with_scripts:
            box.focus()
            self.page.keyboard.press("Control+A")
            self.page.evaluate(_PASTE, text)
        else:
            box.fill(text)
            self.show_preview()

    def show_preview(self) -> None:
        """Press the button; with scripts the preview comes by itself."""
        if not self.with_scripts:
            self.page.get_by_role("button", name="Preview").click()

    def write_sample(self, text: str) -> None:
        """Replace the sample values. They are unfolded again if another page came below the click."""
        folded = self.page.locator("details:not([open]) > summary", has_text="Values for the preview")
        box = self.page.get_by_label("Sample values")
        for _ in range(MAX_TRIES):
            with contextlib.suppress(TimeoutError):
                if folded.count():
                    folded.click(timeout=TRY_MILLISECONDS)
                box.fill(text, timeout=TRY_MILLISECONDS)
                break
        else:
            raise AssertionError("the values for the preview stay folded")
        self.show_preview()

    def press(self, name: str) -> None:
        """Press a button that leads to another page, and wait for that."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name).click()

    def expect_flash(self, text: str) -> None:
        """Expect what the page says first."""
        expect(self.page.locator(".notice.done")).to_contain_text(text)

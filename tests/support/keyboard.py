"""A person at a page who uses the keyboard alone."""

from playwright.sync_api import Locator, Page

MAX_STEPS = 120
"""Presses of Tab after which somebody has given up."""


def go_to(page: Page, wanted: Locator) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(MAX_STEPS):
        page.keyboard.press("Tab")
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {wanted}")


def follow(page: Page, wanted: Locator) -> None:
    """Go to a link or a button and press Enter, which loads another page."""
    go_to(page, wanted)
    with page.expect_navigation():
        page.keyboard.press("Enter")

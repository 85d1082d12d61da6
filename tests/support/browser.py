"""A real browser without network access, which shows pages in a given width and colour scheme."""

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
)
_EMPTY_PAGE = "data:text/html,"
_WAIT_UNTIL_LOADED = """
const [done] = arguments;
if (document.readyState === "complete") done();
else window.addEventListener("load", () => done());
"""


def start_browser(profile: Path) -> webdriver.Chrome:
    """Start Chromium with an empty profile in that directory; the caller quits it."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("Chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def load_page(driver: webdriver.Chrome, html: str) -> None:
    """Show a document without an origin. It takes the place of the one before: a navigation starts a new process."""
    if driver.current_url != _EMPTY_PAGE:
        driver.get(_EMPTY_PAGE)
    frame = _do(driver, "Page.getFrameTree", {})["frameTree"]["frame"]["id"]
    _do(driver, "Page.setDocumentContent", {"frameId": frame, "html": html})
    driver.execute_async_script(_WAIT_UNTIL_LOADED)


def set_view(driver: webdriver.Chrome, width: int, scheme: str, *, scale: float = 1) -> None:
    """Set the window's width in CSS pixels and the colour scheme, `light` or `dark`."""
    _do(driver, "Emulation.setScrollbarsHidden", {"hidden": True})
    size = {"width": width, "height": 800, "deviceScaleFactor": scale, "mobile": False}
    _do(driver, "Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    _do(driver, "Emulation.setEmulatedMedia", {"features": features})


def take_screenshot(driver: webdriver.Chrome) -> bytes:
    """Take a PNG of the whole page, also below the window."""
    size = _do(driver, "Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    how = {"captureBeyondViewport": True, "clip": clip, "optimizeForSpeed": True}
    taken = _do(driver, "Page.captureScreenshot", how)
    return base64.b64decode(taken["data"])


def _do(driver: webdriver.Chrome, command: str, words: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = driver.execute_cdp_cmd(command, words)
    return answer

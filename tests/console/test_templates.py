"""Rules for the files that pages are made of: what the policy allows, and what works without scripts."""

import gzip
import re
from pathlib import Path

import pytest

CONSOLE = Path(__file__).parents[2] / "notifier" / "console"
TEMPLATES = sorted((CONSOLE / "templates").rglob("*.html"))
HTMX_ATTRIBUTES = {"hx-get", "hx-target", "hx-swap", "hx-trigger", "hx-push-url"}
"""Others can run code of an attribute, for which the policy would have to allow `unsafe-eval`."""
MAX_STYLE_BYTES, MAX_SCRIPT_BYTES = 12 * 1024, 40 * 1024
"""Compressed: all style sheets, and all scripts without the editor's."""


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(CONSOLE / "templates").as_posix())
def test_templates_need_no_exception_from_the_policy(path: Path) -> None:
    """No handler and no style in an attribute, no script without a nonce, and only harmless attributes of htmx."""
    text = path.read_text()
    assert set(re.findall(r"\s(?:data-)?(hx-[a-z:-]+)(?=[\s=>])", text)) <= HTMX_ATTRIBUTES
    assert not re.findall(r"hx-trigger=[\"'][^\"']*\[", text)
    assert not re.findall(r"\s(?:on[a-z]+|style)=", text)
    assert all("nonce=" in tag for tag in re.findall(r"<(?:script|style)\b[^>]*>", text))
    assert not re.findall(r"javascript:|srcdoc=", text)
    assert not re.findall(r"\|\s*safe\b", text.replace("{{ style|safe }}", ""))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(CONSOLE / "templates").as_posix())
def test_links_change_nothing(path: Path) -> None:
    """A form that is not a search is sent by POST, with its method in small letters."""
    for tag in re.findall(r"<form\b[^>]*>", path.read_text()):
        assert re.search(r'method="(post|get)"', tag), tag


def test_scripts_and_styles_are_small() -> None:
    """The style sheets and the scripts of a page keep within their budgets when they are compressed."""
    static = CONSOLE / "static"
    styles, scripts = (
        sorted(static.rglob("*.css")),
        [path for path in static.rglob("*.js") if "editor" not in path.name],
    )
    for files, most in ((styles, MAX_STYLE_BYTES), (scripts, MAX_SCRIPT_BYTES)):
        assert files
        assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= most


def test_own_scripts_cannot_run_text() -> None:
    """Our scripts put no text into a page as HTML and run no text as code; dialogs stop nobody."""
    for path in (CONSOLE / "static").glob("*.js"):
        assert not re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|alert\(", path.read_text()
        ), path.name

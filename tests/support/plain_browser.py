"""A browser without scripts: it follows links and sends the forms of pages as they stand."""

from collections.abc import Iterator
from typing import Self
from urllib.parse import urlencode, urljoin

import httpx2
from selectolax.lexbor import LexborHTMLParser, LexborNode

from support.console_client import SAME_ORIGIN

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
"""Browsers send it with a form that has no fields, too."""


class PlainBrowser:
    """One person's browser, with the page that it shows."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=url, follow_redirects=True, timeout=100)
        self._page = LexborHTMLParser("")
        self._url = url

    @property
    def text(self) -> str:
        """The words of the page, with single spaces."""
        body = self._page.body
        return " ".join(body.text(separator=" ").split()) if body is not None else ""

    def open(self, url: str, **query: str) -> None:
        """Open a page."""
        self._show(self._client.get(url, params=query) if query else self._client.get(url))

    def follow(self, words: str, *, within: str = "body") -> None:
        """Follow the first link with these words. `within`: the selector of a part of the page."""
        self.open(urljoin(self._url, _find(self._page, f"{within} a[href]", words).attributes["href"] or ""))

    def press(self, words: str, *, instead: tuple[str, str] = ("", ""), **fields: str) -> None:
        """Fill in fields of the form with this button, and send it. `instead`: old and new words of its texts."""
        button = _find(self._page, "button", words)
        form: LexborNode | None = button
        while form is not None and form.tag != "form":
            form = form.parent
        assert form is not None, f"{words} is in no form"
        values = [(name, fields.get(name, value)) for name, value in _list_fields(form, *instead)]
        assert {name for name, _ in values} >= fields.keys()
        assert not instead[0] or instead[1] in "".join(value for _, value in values)
        action = button.attributes.get("formaction") or form.attributes.get("action") or ""
        assert form.attributes["method"] == "post"
        self._show(
            self._client.post(urljoin(self._url, action), content=urlencode(values), headers=SAME_ORIGIN | _FORM)
        )

    def _show(self, reply: httpx2.Response) -> None:
        assert reply.status_code == httpx2.codes.OK, reply.text
        self._url, self._page = str(reply.url), LexborHTMLParser(reply.text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._client.close()


def _find(page: LexborHTMLParser, selector: str, words: str) -> LexborNode:
    for node in page.css(selector):
        if " ".join(node.text().split()) == words:
            return node
    raise AssertionError(f"{words!r} is not on the page: {page.text()}")


def _list_fields(form: LexborNode, old: str, new: str) -> Iterator[tuple[str, str]]:
    for node in form.css("input[name], textarea[name], select[name]"):
        name, value = node.attributes["name"] or "", node.attributes.get("value") or ""
        if node.tag == "textarea":
            text = node.text().removeprefix("\n")
            yield name, text.replace(old, new) if old else text
        elif node.tag == "select":
            chosen = node.css_first("option[selected]") or node.css_first("option")
            shown = chosen.text() if chosen is not None else ""
            yield name, chosen.attributes.get("value", shown) or "" if chosen is not None else ""
        elif "form" in node.attributes:
            continue  # of another form
        elif node.attributes.get("type") not in {"checkbox", "radio"} or "checked" in node.attributes:
            yield name, value

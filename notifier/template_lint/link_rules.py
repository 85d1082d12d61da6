"""Rules about links and images: addresses that work in a mail, and texts for people who cannot see the image."""

import re
from collections.abc import Iterator
from typing import Final

from notifier.template_lint.html_document import HtmlAttribute, HtmlElement
from notifier.template_lint.lint_rule import LintFinding, SampleMail, error_rule, warning_rule

_CONTROLS = re.compile(r"[\x00-\x20]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=:)")
_DANGEROUS_SCHEMES: Final = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})
_LINK_ELEMENTS: Final = ("a", "area")
_VAGUE_TEXTS: Final = frozenset({"click here", "here", "more", "hier", "hier klicken", "ici", "cliquez ici"})
"""Link texts that fail WCAG 2.4.9 (F84), in the languages of the shipped templates."""


def _get_scheme(address: str) -> str:
    """The scheme as a browser reads it, without control characters; an empty text if there is none."""
    match = _SCHEME.match(_CONTROLS.sub("", address).lower())
    return match[0] if match else ""


def _list_links(mail: SampleMail) -> Iterator[tuple[HtmlElement, HtmlAttribute]]:
    for element in mail.document.list_elements(*_LINK_ELEMENTS):
        if href := element.get_attribute("href"):
            yield element, href


def _list_addresses(mail: SampleMail) -> Iterator[tuple[str, HtmlAttribute]]:
    """The addresses of links and images, each with a word for its kind."""
    yield from (("a link", href) for _, href in _list_links(mail))
    for image in mail.document.list_elements("img"):
        if src := image.get_attribute("src"):
            yield "an image", src


def _build_finding(message: str, attribute: HtmlAttribute) -> LintFinding:
    return LintFinding(message=message, offset=attribute.value_offset, value=attribute.value.strip())


def _shorten(address: str) -> str:
    return address if len(address) <= 60 else f"{address[:59]}…"  # noqa: PLR2004 - about what a line has room for


@error_rule("Link to an https address.")
def dangerous_link(mail: SampleMail) -> Iterator[LintFinding]:
    """A link leads into the reader's own files, or runs a script: `file:`, `about:`, `javascript:` and others."""
    for _, href in _list_links(mail):
        if _get_scheme(href.value) in _DANGEROUS_SCHEMES:
            yield _build_finding(f"A link leads to {_shorten(href.value)!r}, which clients refuse.", href)


@warning_rule("Write the whole address, with https:// at its beginning.")
def relative_link(mail: SampleMail) -> Iterator[LintFinding]:
    """The address of a link or an image is relative; a mail has no base URL."""
    for kind, attribute in _list_addresses(mail):
        address = attribute.value.strip()
        if address and not address.startswith("#") and not _get_scheme(address):
            yield _build_finding(f"The address of {kind}, {_shorten(address)!r}, is not a whole one.", attribute)


@warning_rule("Give it an address, or take it out.")
def empty_link(mail: SampleMail) -> Iterator[LintFinding]:
    """A link or an image has an empty address, or only a #."""
    for kind, attribute in _list_addresses(mail):
        if attribute.value.strip() in ("", "#"):
            yield LintFinding(message=f"{kind.capitalize()} leads nowhere.", offset=attribute.offset)
    for image in mail.document.list_elements("img"):
        if not image.get_attribute("src"):
            yield LintFinding(message="An image has no src.", offset=image.offset)


@warning_rule("Use the https address.")
def insecure_link(mail: SampleMail) -> Iterator[LintFinding]:
    """A link or an image has an `http:` address, which others on the way can read and change."""
    for kind, attribute in _list_addresses(mail):
        if _get_scheme(attribute.value) == "http":
            yield _build_finding(f"The address of {kind}, {_shorten(attribute.value)!r}, is not encrypted.", attribute)


@warning_rule("Say in the link where it leads: “Track your parcel”.")
def vague_link(mail: SampleMail) -> Iterator[LintFinding]:
    """A link's text is “click here” or “more”, which does not help people who jump from link to link (WCAG F84)."""
    links = {id(link): link for link, _ in _list_links(mail)}
    words: dict[int, str] = {}
    for text in mail.document.texts:
        for element in text.parent.walk_outward() if text.parent else ():
            if id(element) in links:
                words[id(element)] = words.get(id(element), "") + text.unescaped
    for link, label in words.items():
        plain = " ".join(label.split()).strip(".:!»→> ")
        if plain.lower() in _VAGUE_TEXTS:
            yield LintFinding(message=f"The text of a link is only “{plain}”.", offset=links[link].offset)


@warning_rule('Say in alt what the image shows; alt="" if it is only decoration.')
def image_without_alt(mail: SampleMail) -> Iterator[LintFinding]:
    """An image has no `alt`; many clients show only this text until the reader loads images."""
    for image in mail.document.list_elements("img"):
        if not image.get_attribute("alt"):
            yield LintFinding(message="An image has no alt.", offset=image.offset)


@warning_rule('Add the width in pixels as an attribute: width="560".')
def image_without_width(mail: SampleMail) -> Iterator[LintFinding]:
    """An image has no `width` attribute; Outlook ignores the one in styles, and shows the file's own size."""
    for image in mail.document.list_elements("img"):
        if not image.get_value("width").strip():
            yield LintFinding(message="An image has no width.", offset=image.offset)


@warning_rule("Attach the image and show it by cid:, or link to it.")
def data_image(mail: SampleMail) -> Iterator[LintFinding]:
    """An image stands in the HTML itself (`data:`); Gmail and Outlook do not show those."""
    for image in mail.document.list_elements("img"):
        src = image.get_attribute("src")
        if src and _get_scheme(src.value) == "data":
            yield LintFinding(message="An image stands in the HTML itself.", offset=src.value_offset)

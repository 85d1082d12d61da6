"""Rules about links and images: addresses that work in a mail, and texts for people who cannot see the image."""

import re
from collections.abc import Iterator
from typing import Final

from notifier.rendering.lint.document import Attribute, Element
from notifier.rendering.lint.rule import Found, Mail, error, warning

_CONTROLS = re.compile(r"[\x00-\x20]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=:)")
_DANGEROUS: Final = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})
_LINKS: Final = ("a", "area")
_VAGUE: Final = frozenset({"click here", "here", "more", "hier", "hier klicken", "ici", "cliquez ici"})
"""Link texts that fail WCAG 2.4.9 (F84), in the languages of the shipped templates."""


def _scheme(address: str) -> str:
    """The scheme as a browser reads it, without control characters; an empty text if there is none."""
    match = _SCHEME.match(_CONTROLS.sub("", address).lower())
    return match[0] if match else ""


def _links(mail: Mail) -> Iterator[tuple[Element, Attribute]]:
    for element in mail.document.named(*_LINKS):
        if href := element.attribute("href"):
            yield element, href


def _addresses(mail: Mail) -> Iterator[tuple[str, Attribute]]:
    """The addresses of links and images, each with a word for its kind."""
    yield from (("a link", href) for _, href in _links(mail))
    for image in mail.document.named("img"):
        if src := image.attribute("src"):
            yield "an image", src


def _found(message: str, attribute: Attribute) -> Found:
    return Found(message=message, offset=attribute.value_offset, value=attribute.value.strip())


def _short(address: str) -> str:
    return address if len(address) <= 60 else f"{address[:59]}…"  # noqa: PLR2004 - about what a line has room for


@error("Link to an https address.")
def dangerous_link(mail: Mail) -> Iterator[Found]:
    """A link leads into the reader's own files, or runs a script: `file:`, `about:`, `javascript:` and others."""
    for _, href in _links(mail):
        if _scheme(href.value) in _DANGEROUS:
            yield _found(f"A link leads to {_short(href.value)!r}, which clients refuse.", href)


@warning("Write the whole address, with https:// at its beginning.")
def relative_link(mail: Mail) -> Iterator[Found]:
    """The address of a link or an image is not a whole one; a mail has no site that it would belong to."""
    for kind, attribute in _addresses(mail):
        address = attribute.value.strip()
        if address and not address.startswith("#") and not _scheme(address):
            yield _found(f"The address of {kind}, {_short(address)!r}, is not a whole one.", attribute)


@warning("Give it an address, or take it out.")
def empty_link(mail: Mail) -> Iterator[Found]:
    """A link or an image has an empty address, or only a #."""
    for kind, attribute in _addresses(mail):
        if attribute.value.strip() in ("", "#"):
            yield Found(message=f"{kind.capitalize()} leads nowhere.", offset=attribute.offset)
    for image in mail.document.named("img"):
        if not image.attribute("src"):
            yield Found(message="An image has no src.", offset=image.offset)


@warning("Use the https address.")
def insecure_link(mail: Mail) -> Iterator[Found]:
    """A link or an image has an `http:` address, which others on the way can read and change."""
    for kind, attribute in _addresses(mail):
        if _scheme(attribute.value) == "http":
            yield _found(f"The address of {kind}, {_short(attribute.value)!r}, is not encrypted.", attribute)


@warning("Say in the link where it leads: “Track your parcel”.")
def vague_link(mail: Mail) -> Iterator[Found]:
    """A link's text is “click here” or “more”, which says nothing to those who go from link to link (WCAG F84)."""
    links = {id(link): link for link, _ in _links(mail)}
    words: dict[int, str] = {}
    for text in mail.document.texts:
        for element in text.parent.around() if text.parent else ():
            if id(element) in links:
                words[id(element)] = words.get(id(element), "") + text.shown
    for link, label in words.items():
        plain = " ".join(label.split()).strip(".:!»→> ")
        if plain.lower() in _VAGUE:
            yield Found(message=f"The text of a link is only “{plain}”.", offset=links[link].offset)


@warning('Say in alt what the image shows; alt="" if it is only decoration.')
def image_without_alt(mail: Mail) -> Iterator[Found]:
    """An image has no `alt`; many clients show that and no image until they are asked."""
    for image in mail.document.named("img"):
        if not image.attribute("alt"):
            yield Found(message="An image has no alt.", offset=image.offset)


@warning('Add the width in pixels as an attribute: width="560".')
def image_without_width(mail: Mail) -> Iterator[Found]:
    """An image has no `width` attribute; Outlook ignores the one in styles, and shows the file's own size."""
    for image in mail.document.named("img"):
        if not image.value("width").strip():
            yield Found(message="An image has no width.", offset=image.offset)


@warning("Attach the image and show it by cid:, or link to it.")
def data_image(mail: Mail) -> Iterator[Found]:
    """An image stands in the HTML itself (`data:`); Gmail and Outlook do not show those."""
    for image in mail.document.named("img"):
        src = image.attribute("src")
        if src and _scheme(src.value) == "data":
            yield Found(message="An image stands in the HTML itself.", offset=src.value_offset)

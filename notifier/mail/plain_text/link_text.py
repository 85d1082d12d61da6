"""The address of a link as the text part writes it, and whether the link's own words say it already."""

import re
from typing import Final
from urllib.parse import unquote

_LINE_ENDS: Final = re.compile(r"[\t\n\r]")  # a browser drops them from an address (URL Standard §4.4)
_NOT_IN_ADDRESSES: Final = str.maketrans({sign: f"%{ord(sign):02X}" for sign in ' "<>'})
_LEADS_NOWHERE: Final = re.compile(r"#|(?:javascript|vbscript|data|about|cid):", re.IGNORECASE)
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
_PERSONAL: Final = re.compile(r"(?:mailto|tel|sms):", re.IGNORECASE)
_TELEPHONE_BLANKS: Final = re.compile(r"[\s().\u2010-\u2013/-]")


def clean_address(href: str) -> str:
    """Clean an attribute's value into an address; empty for what leads nowhere from a text."""
    address = _LINE_ENDS.sub("", href.strip(" \t\n\r\f\0")).translate(_NOT_IN_ADDRESSES)
    return "" if _LEADS_NOWHERE.match(address) else address


def get_link_text(words: str, address: str) -> str | None:
    """Get what to write in place of both when the words are the address; None: they say something else.

    A web address is written with its scheme, so that it can be followed; people and telephones as the words have them.
    """
    if _normalise_for_comparison(words) != _normalise_for_comparison(address):
        return None
    return words if _PERSONAL.match(address) else address


def _normalise_for_comparison(text: str) -> str:
    if _PERSONAL.match(text) or "@" in text or text.startswith("+"):
        person = unquote(_PERSONAL.sub("", text, count=1)).casefold()
        return person if "@" in person else _TELEPHONE_BLANKS.sub("", person)
    return _WEB.sub("", text, count=1).casefold().removesuffix("/")

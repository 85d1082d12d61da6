"""Makes the links of a mail that is shown in a frame open a new tab, so that the frame goes on showing the mail.

A sandbox decides whether a new tab may be opened at all. The patterns end at the next `<`, so they take linear time.
"""

import re

_HEAD_OPENS = (
    re.compile(r"<head(?:\s[^<>]*)?>", re.IGNORECASE),
    re.compile(r"<html(?:\s[^<>]*)?>", re.IGNORECASE),
)
_DOCTYPE = re.compile(r"\s*+<!doctype[^<>]*>", re.IGNORECASE)
_BASE = '<base target="_blank">'


def insert_link_target(html: str) -> str:
    """Insert the base element, as far in as possible: before the doctype it would cause quirks mode."""
    places = (opening.search(html) for opening in _HEAD_OPENS)
    place = next(filter(None, places), None) or _DOCTYPE.match(html)
    end = place.end() if place else 0
    return html[:end] + _BASE + html[end:]

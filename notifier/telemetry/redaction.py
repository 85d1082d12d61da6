"""Removes personal data from texts of relays and callers, for logs and for readers who do not own the mail.

Relays quote addresses, names and tokens in their replies. Only the sentence around them remains.
"""

import re
import unicodedata

MAX_REDACTED_TEXT = 300
"""Characters of such a text that are logged or shown."""
REDACTED = "[removed]"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_QUOTED = re.compile(r"""<[^<>]*>|"[^"]*"|`[^`]*`|\u201c[^\u201d]*\u201d|(?<!\w)'[^']*'(?!\w)""")
_TOKEN = re.compile(r"[A-Za-z0-9+/=_~-]{20,}")
_SETTING = re.compile(r"NOTIFIER_[A-Z_]+")


def redact_text(text: str) -> str:
    """Return the text in one line, without addresses, quoted strings and long tokens."""
    plain = unicodedata.normalize("NFKC", _UNPRINTABLE.sub(" ", text[:MAX_REDACTED_TEXT]))[:MAX_REDACTED_TEXT]
    unquoted = _QUOTED.sub(REDACTED, " ".join(plain.split()))
    words = unquoted.replace(" @", "@").replace("@ ", "@").split()
    return _TOKEN.sub(_redact_token, " ".join(REDACTED if _has_address(word) else word for word in words))


def _redact_token(token: re.Match[str]) -> str:
    return token[0] if _SETTING.fullmatch(token[0]) else REDACTED


def _has_address(word: str) -> bool:
    return "@" in word or "%40" in word

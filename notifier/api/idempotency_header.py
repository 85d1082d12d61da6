"""Reads the Idempotency-Key of a request."""

import re

from fastapi import Request

from notifier.api.errors.problem_responses import BadRequestError

MAX_IDEMPOTENCY_KEY_LENGTH = 255
_IN_QUOTES = r'(?:[!#-\[\]-~]|\\["\\])'
IDEMPOTENCY_KEY_PATTERN = f'^(?:[!#-~](?:[ -~]*[!-~])?|"{_IN_QUOTES}(?:(?:{_IN_QUOTES}| )*{_IN_QUOTES})?")$'
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_QUOTED_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_ESCAPED_CHARACTER = re.compile(r'\\(["\\])')


def get_idempotency_key(request: Request, *, suffix_length: int = 0) -> str | None:
    """Get the Idempotency-Key, which must leave `suffix_length` characters for a suffix; None if there is none."""
    fields = request.headers.getlist("idempotency-key")
    if not fields:
        return None
    key, problem = parse_idempotency_key(fields[0], suffix_length=suffix_length)
    if len(fields) > 1:
        problem = "there is more than one"
    if problem is not None:
        raise BadRequestError("invalid_idempotency_key", f"Idempotency-Key: {problem}")
    return key


def parse_idempotency_key(text: str, *, suffix_length: int = 0) -> tuple[str | None, str | None]:
    """Parse an Idempotency-Key; returns the key, or None and what is wrong.

    It may be in double quotes as in draft-ietf-httpapi-idempotency-key-header (a string of RFC 8941 §3.3.3).
    """
    key = text
    if text.startswith('"'):
        quoted = _QUOTED_KEY.match(text)
        if quoted is None:
            return None, 'the quote at its beginning is not closed; within quotes write \\" for " and \\\\ for \\'
        if quoted.end() < len(text):
            return None, "nothing may follow the closing quote, not even parameters"
        key = _ESCAPED_CHARACTER.sub(r"\1", quoted[1])
    if not is_idempotency_key(key) or len(key) + suffix_length > MAX_IDEMPOTENCY_KEY_LENGTH:
        length = MAX_IDEMPOTENCY_KEY_LENGTH - suffix_length
        return None, f"it has 1 to {length} printable ASCII characters, and no space at its beginning or end"
    return key, None


def is_idempotency_key(text: str) -> bool:
    """Whether a text is 1 to 255 printable ASCII characters without a space at its ends."""
    return _IDEMPOTENCY_KEY.fullmatch(text) is not None

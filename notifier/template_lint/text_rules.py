"""Rules about the subject and the text: what an inbox cuts, forgotten braces, markup in the text part."""

import re
from collections.abc import Iterator
from typing import Final

from notifier.template_language.template_source import HTML, SUBJECT, TEXT
from notifier.template_lint.lint_rule import LintFinding, RequiredOrigin, SampleMail, error_rule, warning_rule

MAX_SUBJECT_LENGTH: Final = 78  # RFC 5322 §2.1.1, and what phones show
MAX_LINE_BYTES: Final = 998  # bytes, RFC 5322 §2.1.1
_BRACES = re.compile(r"\{{1,3}\s*[A-Za-z_][\w.]*\s*\}{1,3}")
_HTML_IN_TEXT = re.compile(
    r"</?(?:a|b|br|div|em|h[1-6]|hr|i|img|li|ol|p|span|strong|table|td|th|tr|u|ul)(?:\s[^<>]*)?/?>|&(?:nbsp|amp|lt|gt|#\d+);",
    re.IGNORECASE,
)


@warning_rule("Say the most important thing first, and less.")
def long_subject(mail: SampleMail) -> Iterator[LintFinding]:
    """The subject of the sample has more than 78 characters; many clients cut it there."""
    if (size := len(mail.subject)) > MAX_SUBJECT_LENGTH:
        yield LintFinding(message=f"The subject has {size} characters; many clients cut after 78.", part=SUBJECT)


@error_rule("Say in a few words what the mail is about.")
def empty_subject(mail: SampleMail) -> Iterator[LintFinding]:
    """The subject is empty once it is rendered, with the whole sample or without its optional variables."""
    if not mail.subject:
        yield LintFinding(message="The subject is empty.", part=SUBJECT)


@warning_rule("Write two braces on either side, as in {{ name }}, if a variable is meant.")
def braces_left(mail: SampleMail) -> Iterator[LintFinding]:
    """A brace in the subject, or something like `{name}` in the text, which reaches people as it stands."""
    if match := re.search(r"[{}]", mail.subject):
        yield LintFinding(
            message="The subject has a brace in it.",
            part=SUBJECT,
            offset=match.start(),
            required_origin=RequiredOrigin.TEXT,
        )
    for text in mail.document.texts:
        if not (text.parent and text.parent.name in ("style", "script", "title")):
            yield from _find_braces(text.raw, HTML, text.offset)
    if mail.text is not None:
        yield from _find_braces(mail.text, TEXT, 0)


def _find_braces(text: str, part: str, offset: int) -> Iterator[LintFinding]:
    for match in _BRACES.finditer(text):
        place = offset + match.start()
        yield LintFinding(
            message=f"{match[0]} is sent as it stands.", part=part, offset=place, required_origin=RequiredOrigin.TEXT
        )


@warning_rule("Break the line, or use the filter wordwrap.")
def long_text_line(mail: SampleMail) -> Iterator[LintFinding]:
    """A line of the text part has more than 998 bytes, more than a line of mail may have (RFC 5322 §2.1.1)."""
    offset = 0
    for line in (mail.text or "").split("\n"):
        if len(line.encode()) > MAX_LINE_BYTES:
            message = f"A line has {len(line)} characters; a line of mail has at most 998."
            yield LintFinding(message=message, part=TEXT, offset=offset)
        offset += len(line) + 1


@warning_rule("Write plain text there: addresses as they are, and no tags.")
def markup_in_text(mail: SampleMail) -> Iterator[LintFinding]:
    """The text part has HTML tags or `&nbsp;` and the like in it, which are shown as they stand."""
    for match in _HTML_IN_TEXT.finditer(mail.text or ""):
        message = f"The text part has {match[0][:40]!r} in it."
        yield LintFinding(message=message, part=TEXT, offset=match.start(), required_origin=RequiredOrigin.TEXT)

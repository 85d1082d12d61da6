"""Rules about a rendered mail: its tags, the HTML as a whole, the subject, the text part, the unsubscribe link."""

import re
from collections.abc import Iterator
from typing import Final

from notifier.mail.plain_text.text_builder import has_hidden_start
from notifier.template_language.template_source import HTML, SUBJECT, TEXT
from notifier.template_language.variable_usage import UNSUBSCRIBE_URL
from notifier.template_lint.html_document import TagFlaw, TagProblem, parse_document
from notifier.template_lint.lint_rule import LintFinding, RequiredOrigin, SampleMail, error_rule, warning_rule


def _list_problems(mail: SampleMail, *flaws: TagFlaw) -> Iterator[TagProblem]:
    return (problem for problem in mail.document.problems if problem.flaw in flaws)


@error_rule("Add the closing tag where what it holds ends; a comment ends with -->.")
def unclosed_tag(mail: SampleMail) -> Iterator[LintFinding]:
    """A tag is opened and never closed; `<p>`, `<td>` and others that need no closing tag are fine."""
    for problem in _list_problems(mail, TagFlaw.UNCLOSED):
        yield LintFinding(
            message=f"<{problem.name}{' …' if problem.name == '!--' else ''}> is never closed.",
            offset=problem.offset,
            about=problem.name,
        )


@error_rule("Remove it, or add the tag that it should close.")
def stray_closing_tag(mail: SampleMail) -> Iterator[LintFinding]:
    """A closing tag closes nothing; a paragraph has ended where a `<div>`, a list or a table begins."""
    for problem in _list_problems(mail, TagFlaw.STRAY):
        why = " A paragraph ends where a table, a list or a <div> begins." if problem.name == "p" else ""
        yield LintFinding(message=f"</{problem.name}> closes nothing.{why}", offset=problem.offset, about=problem.name)


@error_rule("Close the tags in the opposite order of opening them.")
def wrong_nesting(mail: SampleMail) -> Iterator[LintFinding]:
    """A closing tag comes after that of the element around it, or elements stand more than 500 deep."""
    for problem in _list_problems(mail, TagFlaw.NESTING):
        message = f"</{problem.name}> comes after the end of what it stands in."
        yield LintFinding(message=message, offset=problem.offset, about=problem.name)
    for problem in _list_problems(mail, TagFlaw.DEEP):
        yield LintFinding(message="More than 500 elements stand within one another here.", offset=problem.offset)


@error_rule("Look for a quotation mark or a > that is missing there or just before.")
def broken_tag(mail: SampleMail) -> Iterator[LintFinding]:
    """A tag does not end, or an attribute's name contains a quotation mark or a <: a character is missing."""
    for problem in _list_problems(mail, TagFlaw.BROKEN):
        where = f" near {problem.name}" if problem.name else " and takes the rest of the mail with it"
        yield LintFinding(message=f"This tag is broken{where}.", offset=problem.offset)


@warning_rule("Remove one of the two.")
def duplicate_attribute(mail: SampleMail) -> Iterator[LintFinding]:
    """A tag has the same attribute twice; clients ignore the second."""
    for element in mail.document.elements:
        names: set[str] = set()
        for attribute in element.attributes:
            if attribute.name in names:
                message = f"<{element.name}> has {attribute.name} twice; the second is ignored."
                yield LintFinding(message=message, offset=attribute.offset, about=attribute.name)
            names.add(attribute.name)


@error_rule('Write quotation marks around it: href="{{ url }}".')
def unquoted_variable(mail: SampleMail) -> Iterator[LintFinding]:
    """An attribute's value is a variable without quotation marks: a blank in it would begin another attribute."""
    for element in mail.document.elements:
        for attribute in element.attributes:
            if not attribute.quoted:
                for offset in {attribute.value_offset, attribute.value_offset + len(attribute.raw) - 1}:
                    message = f"The value of {attribute.name} is a variable without quotation marks."
                    yield LintFinding(
                        message=message, offset=offset, about=attribute.name, required_origin=RequiredOrigin.VALUE
                    )


MAX_GMAIL_HTML: Final = 90 * 1024  # bytes; Gmail hides what follows at about 102 KB
MAX_GMAIL_STYLE: Final = 8192  # characters; Gmail ignores the <style> that exceeds them
FORBIDDEN_ELEMENTS: Final = ("script", "form", "iframe", "frame", "frameset", "object", "embed", "applet")


@error_rule("Take it out: link to a page that does this instead.")
def forbidden_element(mail: SampleMail) -> Iterator[LintFinding]:
    """The mail has a script, form, frame or plug-in; clients remove it, or treat the mail as dangerous."""
    for element in mail.document.list_elements(*FORBIDDEN_ELEMENTS):
        message = f"<{element.name}> does not work in mail, and makes it look dangerous."
        yield LintFinding(message=message, offset=element.offset, about=element.name)


@error_rule("Remove the attribute.")
def event_attribute(mail: SampleMail) -> Iterator[LintFinding]:
    """A tag has an attribute such as `onclick` that runs a script."""
    for element in mail.document.elements:
        for attribute in element.attributes:
            if attribute.name.startswith("on"):
                message = f"{attribute.name} runs a script, which no mail may."
                yield LintFinding(message=message, offset=attribute.offset, about=attribute.name)


@warning_rule('Write <html lang="{{ locale }}">, or extend the layout, which does.')
def missing_lang(mail: SampleMail) -> Iterator[LintFinding]:
    """`<html>` has no `lang`: a screen reader then guesses how to speak the mail."""
    roots = mail.document.list_elements("html")
    if not any(root.get_value("lang").strip() for root in roots):
        offset = roots[0].offset if roots else None
        yield LintFinding(message="The mail does not say which language it is in.", offset=offset)


@warning_rule("Write <title>{{ subject }}</title> in <head>, or extend the layout, which does.")
def missing_title(mail: SampleMail) -> Iterator[LintFinding]:
    """There is no `<title>` with text; it names the mail in a browser, and to screen readers."""
    texts = mail.document.texts
    if not any(text.parent and text.parent.name == "title" and text.unescaped.strip() for text in texts):
        heads = mail.document.list_elements("head")
        yield LintFinding(message="The mail has no title.", offset=heads[0].offset if heads else None)


@warning_rule("Begin <body> with a hidden line of text, or fill the layout's block preheader.")
def missing_preheader(mail: SampleMail) -> Iterator[LintFinding]:
    """The first text in `<body>` is not a hidden one; an inbox shows it after the subject."""
    if not has_hidden_start(mail.sent_html):
        bodies = mail.document.list_elements("body")
        offset = bodies[0].offset if bodies else None
        yield LintFinding(
            message="There is no preheader: the line that an inbox shows after the subject.", offset=offset
        )


@warning_rule("Shorten it, or say less in styles.")
def large_html(mail: SampleMail) -> Iterator[LintFinding]:
    """The HTML has more than 90 KB once its styles are in the tags; Gmail hides what follows the first 102."""
    if (size := len(mail.sent_html.encode())) > MAX_GMAIL_HTML:
        yield LintFinding(message=f"The HTML has {size // 1024} KB; Gmail hides what follows the first 102.")


@warning_rule("Take out rules that no tag needs, or write fewer into @media.")
def large_style(mail: SampleMail) -> Iterator[LintFinding]:
    """What stays in `<style>` once a mail is made has more than 8,192 characters; Gmail ignores all of it."""
    size = sum(
        len(text.raw) for text in parse_document(mail.sent_html).texts if text.parent and text.parent.name == "style"
    )
    if size > MAX_GMAIL_STYLE:
        yield LintFinding(message=f"{size:,} characters stay in <style>; Gmail ignores more than {MAX_GMAIL_STYLE:,}.")


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
    """A brace in the subject, or something like `{name}` in the text, which readers would see."""
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


@error_rule('Add <a href="{{ unsubscribe_url }}">Unsubscribe</a> to the HTML, and {{ unsubscribe_url }} to the text.')
def unsubscribe_not_shown(mail: SampleMail) -> Iterator[LintFinding]:
    """A marketing mail does not show the `unsubscribe_url`: as a link in the HTML, and in the text."""
    address = mail.values.get(UNSUBSCRIBE_URL)
    if mail.source.settings.category != "marketing" or not isinstance(address, str) or not address:
        return
    if not any(address in link.get_value("href") for link in mail.document.list_elements("a", "area")):
        yield LintFinding(message="The HTML has no link to unsubscribe_url.", part=HTML)
    if mail.text is not None and address not in mail.text:
        yield LintFinding(message="The text does not have unsubscribe_url.", part=TEXT)

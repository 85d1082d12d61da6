"""Rules about the whole HTML part: what clients refuse, what screen readers need, what an inbox shows."""

from collections.abc import Iterator
from typing import Final

from notifier.mail.plain_text.text_builder import has_hidden_start
from notifier.template_lint.html_document import parse_document
from notifier.template_lint.lint_rule import LintFinding, SampleMail, error_rule, warning_rule

MAX_GMAIL_HTML: Final = 90 * 1024  # octets; Gmail hides what follows at about 102 KB
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

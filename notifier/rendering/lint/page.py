"""Rules about the whole HTML part: what clients refuse, what screen readers need, what an inbox shows."""

from collections.abc import Iterator
from typing import Final

from notifier.rendering.lint.document import parse
from notifier.rendering.lint.rule import Found, Mail, error, warning
from notifier.rendering.plaintext.part import begins_hidden

GMAIL_CLIP: Final = 90 * 1024  # octets; Gmail hides what follows at about 102 KB
GMAIL_STYLES: Final = 8192  # characters; Gmail ignores the <style> that exceeds them
FORBIDDEN: Final = ("script", "form", "iframe", "frame", "frameset", "object", "embed", "applet")


@error("Take it out: link to a page that does this instead.")
def forbidden_element(mail: Mail) -> Iterator[Found]:
    """The mail has a script, form, frame or plug-in; clients remove it, or treat the mail as dangerous."""
    for element in mail.document.named(*FORBIDDEN):
        message = f"<{element.name}> does not work in mail, and makes it look dangerous."
        yield Found(message=message, offset=element.offset, about=element.name)


@error("Remove the attribute.")
def event_attribute(mail: Mail) -> Iterator[Found]:
    """A tag has an attribute such as `onclick` that runs a script."""
    for element in mail.document.elements:
        for attribute in element.attributes:
            if attribute.name.startswith("on"):
                message = f"{attribute.name} runs a script, which no mail may."
                yield Found(message=message, offset=attribute.offset, about=attribute.name)


@warning('Write <html lang="{{ locale }}">, or extend the layout, which does.')
def missing_lang(mail: Mail) -> Iterator[Found]:
    """`<html>` has no `lang`: a screen reader then guesses how to speak the mail."""
    roots = mail.document.named("html")
    if not any(root.value("lang").strip() for root in roots):
        offset = roots[0].offset if roots else None
        yield Found(message="The mail does not say which language it is in.", offset=offset)


@warning("Write <title>{{ subject }}</title> in <head>, or extend the layout, which does.")
def missing_title(mail: Mail) -> Iterator[Found]:
    """There is no `<title>` with text; it names the mail in a browser, and to screen readers."""
    texts = mail.document.texts
    if not any(text.parent and text.parent.name == "title" and text.shown.strip() for text in texts):
        heads = mail.document.named("head")
        yield Found(message="The mail has no title.", offset=heads[0].offset if heads else None)


@warning("Begin <body> with a hidden line of text, or fill the layout's block preheader.")
def missing_preheader(mail: Mail) -> Iterator[Found]:
    """The first text in `<body>` is not a hidden one; an inbox shows it after the subject."""
    if not begins_hidden(mail.sent_html):
        bodies = mail.document.named("body")
        offset = bodies[0].offset if bodies else None
        yield Found(message="There is no preheader: the line that an inbox shows after the subject.", offset=offset)


@warning("Shorten it, or say less in styles.")
def large_html(mail: Mail) -> Iterator[Found]:
    """The HTML has more than 90 KB once its styles are in the tags; Gmail hides what follows the first 102."""
    if (size := len(mail.sent_html.encode())) > GMAIL_CLIP:
        yield Found(message=f"The HTML has {size // 1024} KB; Gmail hides what follows the first 102.")


@warning("Take out rules that no tag needs, or write fewer into @media.")
def large_style(mail: Mail) -> Iterator[Found]:
    """What stays in `<style>` once a mail is made has more than 8,192 characters; Gmail ignores all of it."""
    size = sum(len(text.raw) for text in parse(mail.sent_html).texts if text.parent and text.parent.name == "style")
    if size > GMAIL_STYLES:
        yield Found(message=f"{size:,} characters stay in <style>; Gmail ignores more than {GMAIL_STYLES:,}.")

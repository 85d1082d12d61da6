"""Rules about a template's variables and settings, and the unsubscribe link of marketing."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from notifier.address import InvalidAddressError, with_name
from notifier.rendering.language.value_text import RawValue
from notifier.rendering.lint.rule import Found, Mail, error, warning
from notifier.rendering.source import HTML, TEXT, TemplateSource
from notifier.rendering.usage import Variables

SAMPLE: Final = "sample.json"
SETTINGS: Final = "template.toml"
WAY_OUT: Final = "unsubscribe_url"


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A source with what is known about its variables."""

    source: TemplateSource
    variables: Variables
    raw_values: Collection[RawValue] = ()  # shown by the sample's mails


@error("Add it to sample.json, or ask for it first: {% if name is defined %} … {% endif %}.")
def undefined_variable(whole: Whole) -> Iterator[Found]:
    """A part reads a variable that the sample does not have, without asking first whether it is there."""
    for read in whole.variables.undefined:
        path = ".".join(step for step in read.path if step != "[]")
        yield Found(message=f"{path} is not in the sample.", file=read.file, line=read.line, about=path)


@warning("Remove it from sample.json: every caller would have to send it for nothing.")
def unused_variable(whole: Whole) -> Iterator[Found]:
    """The sample has a variable that no part reads."""
    for path in whole.variables.unused:
        yield Found(message=f"No part reads {path}.", file=SAMPLE, about=path)


@warning(
    "Write {% if paid %} … {% endif %}, use the filter join for a list, and name a value of an object: address.city."
)
def raw_value(whole: Whole) -> Iterator[Found]:
    """True or false, null, a list or an object is shown as it is: `true`, nothing, all items, all names and values."""
    for value in whole.raw_values:
        name = f"“{value.expression}”" if value.expression else "What is shown here"
        yield Found(message=f"{name} is {value.kind}.", file=value.file, line=value.line, about=value.expression)


@warning("Correct its spelling, or remove it.")
def unmatched_path(whole: Whole) -> Iterator[Found]:
    """`optional`, `public` or `secret` names a variable that there is not."""
    for setting, path in whole.variables.unmatched:
        message = f"{setting} names {path}, which neither the sample nor a part has."
        yield Found(message=message, file=SETTINGS, about=f"{setting} {path}")


@error("Write one address, such as Shop <hello@shop.example>.")
def wrong_mailbox(whole: Whole) -> Iterator[Found]:
    """`from` or `reply_to` is no address that mail can be sent from or to."""
    settings = whole.source.settings
    for name, mailbox in (("from", settings.from_), ("reply_to", settings.reply_to)):
        if mailbox is not None:
            try:
                with_name(mailbox)
            except InvalidAddressError as wrong:
                yield Found(message=f"{name} is not a mailbox: {wrong}", file=SETTINGS, about=name)


@error("Add unsubscribe_url to the sample, with an https address, and take it out of optional.")
def unsubscribe_not_asked(whole: Whole) -> Iterator[Found]:
    """A marketing template's sample has no `unsubscribe_url` with an https address, or it is optional."""
    settings, way_out = whole.source.settings, whole.source.sample.get(WAY_OUT)
    if settings.category != "marketing":
        return
    if not isinstance(way_out, str) or not way_out.lower().startswith("https://"):
        yield Found(message="Callers are not asked for an https unsubscribe_url.", file=SAMPLE)
    elif WAY_OUT in settings.optional:
        yield Found(message="Callers may leave unsubscribe_url out.", file=SETTINGS)


@error('Add <a href="{{ unsubscribe_url }}">Unsubscribe</a> to the HTML, and {{ unsubscribe_url }} to the text.')
def unsubscribe_not_shown(mail: Mail) -> Iterator[Found]:
    """A marketing mail does not show the `unsubscribe_url`: as a link in the HTML, and in the text."""
    way_out = mail.values.get(WAY_OUT)
    if mail.source.settings.category != "marketing" or not isinstance(way_out, str) or not way_out:
        return
    if not any(way_out in link.value("href") for link in mail.document.named("a", "area")):
        yield Found(message="The HTML has no link to unsubscribe_url.", part=HTML)
    if mail.text is not None and way_out not in mail.text:
        yield Found(message="The text does not have unsubscribe_url.", part=TEXT)

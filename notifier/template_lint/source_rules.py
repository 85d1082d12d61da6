"""Rules about a template's variables and settings."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from notifier.email_address import InvalidAddressError, parse_named_address
from notifier.template_language.template_source import TemplateSource
from notifier.template_language.template_values import RawValue
from notifier.template_language.variable_usage import UNSUBSCRIBE_URL, VariableUsage
from notifier.template_lint.lint_rule import LintFinding, error_rule, warning_rule

SAMPLE_FILE: Final = "sample.json"
SETTINGS_FILE: Final = "template.toml"


@dataclass(frozen=True, kw_only=True)
class CheckedSource:
    """A source with what is known about its variables."""

    source: TemplateSource
    variables: VariableUsage
    raw_values: Collection[RawValue] = ()  # shown by the sample's mails


@error_rule("Add it to sample.json, or ask for it first: {% if name is defined %} … {% endif %}.")
def undefined_variable(whole: CheckedSource) -> Iterator[LintFinding]:
    """A part reads a variable that the sample does not have, without asking first whether it is there."""
    for read in whole.variables.undefined:
        path = ".".join(step for step in read.path if step != "[]")
        yield LintFinding(message=f"{path} is not in the sample.", file=read.file, line=read.line, about=path)


@warning_rule("Remove it from sample.json: every caller would have to send it for nothing.")
def unused_variable(whole: CheckedSource) -> Iterator[LintFinding]:
    """The sample has a variable that no part reads."""
    for path in whole.variables.unused:
        yield LintFinding(message=f"No part reads {path}.", file=SAMPLE_FILE, about=path)


@warning_rule(
    "Write {% if paid %} … {% endif %}, use the filter join for a list, and name a value of an object: address.city."
)
def raw_value(whole: CheckedSource) -> Iterator[LintFinding]:
    """True or false, null, a list or an object is shown as it is: `true`, nothing, all items, all names and values."""
    for value in whole.raw_values:
        name = f"“{value.expression}”" if value.expression else "What is shown here"
        yield LintFinding(message=f"{name} is {value.kind}.", file=value.file, line=value.line, about=value.expression)


@warning_rule("Correct its spelling, or remove it.")
def unmatched_path(whole: CheckedSource) -> Iterator[LintFinding]:
    """`optional`, `public` or `secret` names a variable that does not exist."""
    for setting, path in whole.variables.unmatched:
        message = f"{setting} names {path}, which neither the sample nor a part has."
        yield LintFinding(message=message, file=SETTINGS_FILE, about=f"{setting} {path}")


@error_rule("Write one address, such as Shop <hello@shop.example>.")
def wrong_mailbox(whole: CheckedSource) -> Iterator[LintFinding]:
    """`from` or `reply_to` is no address that mail can be sent from or to."""
    settings = whole.source.settings
    for name, mailbox in (("from", settings.from_), ("reply_to", settings.reply_to)):
        if mailbox is not None:
            try:
                parse_named_address(mailbox)
            except InvalidAddressError as wrong:
                yield LintFinding(message=f"{name} is not a mailbox: {wrong}", file=SETTINGS_FILE, about=name)


@error_rule("Add unsubscribe_url to the sample, with an https address, and take it out of optional.")
def unsubscribe_not_asked(whole: CheckedSource) -> Iterator[LintFinding]:
    """A marketing template's sample has no `unsubscribe_url` with an https address, or it is optional."""
    settings, address = whole.source.settings, whole.source.sample.get(UNSUBSCRIBE_URL)
    if settings.category != "marketing":
        return
    if not isinstance(address, str) or not address.lower().startswith("https://"):
        yield LintFinding(message="Callers are not asked for an https unsubscribe_url.", file=SAMPLE_FILE)
    elif UNSUBSCRIBE_URL in settings.optional:
        yield LintFinding(message="Callers may leave unsubscribe_url out.", file=SETTINGS_FILE)

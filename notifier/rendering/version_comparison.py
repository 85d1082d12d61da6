"""How a mail differs between two versions of its template, found in a child: both may be anybody's text.

It answers with what differs, never with a whole mail; diffs are made only where they were asked for, and are bounded.
"""

from datetime import UTC, datetime

from notifier.mail.header_fields import HeaderValueError
from notifier.mail.mime_document import NulInPartError, build_mime_message
from notifier.mail.size_limit import OutputTooLargeError
from notifier.rendering.line_diff import DiffBudget
from notifier.rendering.protocol import Mailbox, MailComparison, MailHeader, MailVariables, RenderedParts, RenderFault
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.render_fault import PartError, describe_error_without_place
from notifier.template_language.time_limit import TooSlowError
from notifier.template_language.variable_schema import VARIABLES_DECODER

COMPARED_PARTS = ("subject", "html", "text")
MAX_DIFF_LINES, MAX_LINE_LENGTH = 200, 400
"""Of the diff of one part; the rest of it is not worth reading."""
CONTEXT_LINES = 2  # lines around a change

_HEADER = MailHeader(
    message_id="<compare@example.org>",
    date=datetime(2026, 1, 1, tzinfo=UTC),
    sender=Mailbox("sender@example.org"),
    recipient="to@example.org",
)


def compare_versions(
    before: CompiledVersion | None, after: CompiledVersion | None, payload: MailVariables, *, with_diffs: bool
) -> MailComparison:
    """One mail, made of both versions and taken apart."""
    old, new = _render_preview(before, payload), _render_preview(after, payload)
    if not isinstance(old, RenderedParts) or not isinstance(new, RenderedParts):
        return MailComparison(
            before=old if isinstance(old, RenderFault) else None, after=new if isinstance(new, RenderFault) else None
        )
    parts = {name: (getattr(old, name), getattr(new, name)) for name in COMPARED_PARTS}
    differing = {name: texts for name, texts in parts.items() if texts[0] != texts[1]}
    return MailComparison(
        changed=list(differing),
        shape=[count for texts in differing.values() for count in _measure_change(*texts)],
        diffs={name: diff_texts(*texts) for name, texts in differing.items()} if with_diffs else {},
    )


def _render_preview(version: CompiledVersion | None, payload: MailVariables) -> RenderedParts | RenderFault | None:
    """The parts, if a whole mail can be made of them."""
    if version is None:
        return None
    try:
        values = VARIABLES_DECODER.decode(payload.variables)
        parts = version.render(payload.locale, values)
        build_mime_message(version.add_unsubscribe_header(_HEADER, values), parts)
    except Exception as error:  # noqa: BLE001 - one bad mail must not take its neighbours along
        return describe_mail_error(error)
    return parts


def describe_mail_error(error: Exception) -> RenderFault:
    """What kept a mail from being made, in words for the people who edit templates."""
    if isinstance(error, PartError):
        return error.fault
    if isinstance(error, (HeaderValueError, NulInPartError)):
        return RenderFault(part="mail", line=None, message=str(error))
    if isinstance(error, UnicodeError):
        advice = "Look for \\ud… in the template and in the values, and write the character itself."
        return RenderFault(part="mail", line=None, message="there is half a character in it.", advice=advice)
    if isinstance(error, (RecursionError, MemoryError, OutputTooLargeError, TooSlowError)):
        return describe_error_without_place(error, "mail")
    advice = f"Tell who runs Notifier that it was “{type(error).__name__}”."
    return RenderFault(part="mail", line=None, message="the mail could not be put together.", advice=advice)


def _measure_change(old: str, new: str) -> tuple[int, int]:
    """How many lines of each lie between the first that differs and the last."""
    mine, theirs = old.split("\n"), new.split("\n")
    least = min(len(mine), len(theirs))
    first = next((n for n in range(least) if mine[n] != theirs[n]), least)
    last = next((n for n in range(least - first) if mine[-1 - n] != theirs[-1 - n]), least - first)
    return len(mine) - first - last, len(theirs) - first - last


def diff_texts(old: str, new: str) -> str:
    """A unified diff of two texts, cut where it becomes too long to read."""
    lines = DiffBudget(size=None).unified(old.splitlines(), new.splitlines(), ("published", "draft"), CONTEXT_LINES)
    kept = lines[: MAX_DIFF_LINES + 1]
    if len(kept) > MAX_DIFF_LINES:
        kept[MAX_DIFF_LINES:] = ["…"]
    return "\n".join(line if len(line) <= MAX_LINE_LENGTH else line[:MAX_LINE_LENGTH] + "…" for line in kept)

"""Compare a mail between two versions of its template; runs in a child process, because both are untrusted.

The answer says what differs, and never contains a whole mail. Diffs are made only on request, and are bounded.
"""

from datetime import UTC, datetime

from notifier.mail.header_fields import HeaderValueError
from notifier.mail.limits import OutputTooLargeError, TooSlowError
from notifier.mail.mail_parts import Mailbox, MailHeader, RenderedParts
from notifier.mail.mime_document import NulInPartError, build_mime_message
from notifier.rendering.line_diff import DiffBudget
from notifier.rendering.protocol import MailComparison, MailVariables
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError, describe_error_without_place
from notifier.template_language.template_source import RenderFault
from notifier.template_language.variable_schema import VARIABLES_DECODER

COMPARED_PARTS = ("subject", "html", "text")
MAX_DIFF_LINES, MAX_LINE_LENGTH = 200, 400
"""Lines, and characters of a line, of the diff of one part."""
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
    """Render one mail with both versions and compare the parts; None stands for a version that does not exist."""
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
    """The parts of the mail, or the fault that keeps it from being made."""
    if version is None:
        return None
    try:
        values = VARIABLES_DECODER.decode(payload.variables)
        parts = version.render(payload.locale, values)
        build_mime_message(version.add_unsubscribe_header(_HEADER, values), parts)
    except Exception as error:  # noqa: BLE001 - one bad mail must not stop the others
        return describe_mail_error(error)
    return parts


def describe_mail_error(error: Exception) -> RenderFault:
    """Describe why a mail could not be made, for the people who edit templates."""
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
    """How many lines of each text lie between the first difference and the last."""
    mine, theirs = old.split("\n"), new.split("\n")
    least = min(len(mine), len(theirs))
    first = next((n for n in range(least) if mine[n] != theirs[n]), least)
    last = next((n for n in range(least - first) if mine[-1 - n] != theirs[-1 - n]), least - first)
    return len(mine) - first - last, len(theirs) - first - last


def diff_texts(old: str, new: str) -> str:
    """A unified diff of two texts, cut if it is too long to read."""
    lines = DiffBudget(size=None).unified(old.splitlines(), new.splitlines(), ("published", "draft"), CONTEXT_LINES)
    excerpt = lines[: MAX_DIFF_LINES + 1]
    if len(excerpt) > MAX_DIFF_LINES:
        excerpt[MAX_DIFF_LINES:] = ["…"]
    return "\n".join(line if len(line) <= MAX_LINE_LENGTH else line[:MAX_LINE_LENGTH] + "…" for line in excerpt)

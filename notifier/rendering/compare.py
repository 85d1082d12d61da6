"""Compare a mail between two versions of its template; runs in a child process, because both are untrusted.

The answer says what differs, and never contains a whole mail. Diffs are made only on request, and are bounded.
"""

from datetime import UTC, datetime

from notifier.rendering.headers import HeaderValueError
from notifier.rendering.job import Compared, Mailbox, MailHeader, Payload, Preview, RenderFault
from notifier.rendering.language.faults import PartError, fault_without_place
from notifier.rendering.language.size_limit import OutputTooLargeError
from notifier.rendering.language.time_limit import TooSlowError
from notifier.rendering.line_diff import DiffBudget
from notifier.rendering.mime import NulInPartError, compose
from notifier.rendering.variables import DECODER
from notifier.rendering.version import CompiledVersion

PARTS = ("subject", "html", "text")
MOST_LINES, LONGEST_LINE = 200, 400
"""Lines, and characters of a line, of the diff of one part."""
CONTEXT = 2  # lines around a change

_HEADER = MailHeader(
    message_id="<compare@example.org>",
    date=datetime(2026, 1, 1, tzinfo=UTC),
    sender=Mailbox("sender@example.org"),
    recipient="to@example.org",
)


def compared(
    before: CompiledVersion | None, after: CompiledVersion | None, payload: Payload, *, with_diffs: bool
) -> Compared:
    """Render one mail with both versions and compare the parts; None stands for a version that does not exist."""
    old, new = _made(before, payload), _made(after, payload)
    if not isinstance(old, Preview) or not isinstance(new, Preview):
        return Compared(
            before=old if isinstance(old, RenderFault) else None, after=new if isinstance(new, RenderFault) else None
        )
    parts = {name: (getattr(old, name), getattr(new, name)) for name in PARTS}
    differing = {name: texts for name, texts in parts.items() if texts[0] != texts[1]}
    return Compared(
        changed=list(differing),
        shape=[count for texts in differing.values() for count in _shape(*texts)],
        diffs={name: diff(*texts) for name, texts in differing.items()} if with_diffs else {},
    )


def _made(version: CompiledVersion | None, payload: Payload) -> Preview | RenderFault | None:
    """The parts of the mail, or the fault that keeps it from being made."""
    if version is None:
        return None
    try:
        values = DECODER.decode(payload.variables)
        parts = version.render(payload.locale, values)
        compose(version.header(_HEADER, values), parts)
    except Exception as error:  # noqa: BLE001 - one bad mail must not stop the others
        return fault_in_mail(error)
    return parts


def fault_in_mail(error: Exception) -> RenderFault:
    """Describe why a mail could not be made, for the people who edit templates."""
    if isinstance(error, PartError):
        return error.fault
    if isinstance(error, (HeaderValueError, NulInPartError)):
        return RenderFault(part="mail", line=None, message=str(error))
    if isinstance(error, UnicodeError):
        advice = "Look for \\ud… in the template and in the values, and write the character itself."
        return RenderFault(part="mail", line=None, message="there is half a character in it.", advice=advice)
    if isinstance(error, (RecursionError, MemoryError, OutputTooLargeError, TooSlowError)):
        return fault_without_place(error, "mail")
    advice = f"Tell who runs Notifier that it was “{type(error).__name__}”."
    return RenderFault(part="mail", line=None, message="the mail could not be put together.", advice=advice)


def _shape(old: str, new: str) -> tuple[int, int]:
    """How many lines of each text lie between the first difference and the last."""
    mine, theirs = old.split("\n"), new.split("\n")
    least = min(len(mine), len(theirs))
    first = next((n for n in range(least) if mine[n] != theirs[n]), least)
    last = next((n for n in range(least - first) if mine[-1 - n] != theirs[-1 - n]), least - first)
    return len(mine) - first - last, len(theirs) - first - last


def diff(old: str, new: str) -> str:
    """A unified diff of two texts, cut if it is too long to read."""
    lines = DiffBudget(size=None).unified(old.splitlines(), new.splitlines(), ("published", "draft"), CONTEXT)
    excerpt = lines[: MOST_LINES + 1]
    if len(excerpt) > MOST_LINES:
        excerpt[MOST_LINES:] = ["…"]
    return "\n".join(line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…" for line in excerpt)

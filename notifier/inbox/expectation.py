"""What a test waits for, and what it is told when that does not come."""

from collections.abc import Iterable
from dataclasses import dataclass

from notifier.inbox.received_message import ReceivedMessage

_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A mail to that envelope recipient (whatever its case) whose subject contains that text; None is anything."""

    to: str | None = None
    subject: str | None = None

    def matches(self, message: ReceivedMessage) -> bool:
        """Whether this is the mail."""
        recipients = {recipient.lower() for recipient in message.recipients}
        return (self.to is None or self.to.lower() in recipients) and (self.subject or "") in message.subject

    def __str__(self) -> str:
        to = f" to {self.to}" if self.to is not None else ""
        subject = f" with {self.subject!r} in its subject" if self.subject is not None else ""
        return f"mail{to}{subject}"


class MailNotReceived(AssertionError):  # noqa: N818 - reads as the verdict of a test
    """The mail did not come in time."""

    def __init__(self, expected: Expectation, seconds: float, arrived: Iterable[ReceivedMessage]) -> None:
        self.expected = expected
        self.arrived = tuple(arrived)
        super().__init__(f"no {expected} arrived within {seconds:g} s; {_told(self.arrived)}")


def _told(arrived: tuple[ReceivedMessage, ...]) -> str:
    if not arrived:
        return "the inbox is empty"
    lines = [f"  to {', '.join(message.recipients)}: {message.subject!r}" for message in arrived[-_LISTED:]]
    return "\n".join([f"these {len(arrived)} did (the last {len(lines)}):", *lines])

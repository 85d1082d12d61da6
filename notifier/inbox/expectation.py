"""What a test waits for, and the error if it does not arrive."""

from collections.abc import Iterable
from dataclasses import dataclass

from notifier.inbox.received_message import ReceivedMessage

_MAX_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A mail to that envelope recipient (in any case) whose subject contains that text; None matches anything."""

    to: str | None = None
    subject: str | None = None

    def matches(self, message: ReceivedMessage) -> bool:
        """True if this is the mail."""
        recipients = {recipient.lower() for recipient in message.recipients}
        return (self.to is None or self.to.lower() in recipients) and (self.subject or "") in message.subject

    def __str__(self) -> str:
        to = f" to {self.to}" if self.to is not None else ""
        subject = f" with {self.subject!r} in its subject" if self.subject is not None else ""
        return f"mail{to}{subject}"


class MailNotReceived(AssertionError):  # noqa: N818 - the result of a test
    """The mail did not come in time."""

    def __init__(self, expected: Expectation, seconds: float, arrived: Iterable[ReceivedMessage]) -> None:
        self.expected = expected
        self.arrived = tuple(arrived)
        super().__init__(f"no {expected} arrived within {seconds:g} s; {_describe_arrived(self.arrived)}")


def _describe_arrived(arrived: tuple[ReceivedMessage, ...]) -> str:
    if not arrived:
        return "the inbox is empty"
    lines = [f"  to {', '.join(message.recipients)}: {message.subject!r}" for message in arrived[-_MAX_LISTED:]]
    return "\n".join([f"these {len(arrived)} did (the last {len(lines)}):", *lines])

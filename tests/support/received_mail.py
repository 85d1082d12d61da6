"""A mail that a relay has accepted."""

from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message


@dataclass(frozen=True)
class ReceivedMail:
    """A mail that the relay answered with 250."""

    sender: str
    recipient: str
    data: bytes  # as sent, dots unstuffed

    @property
    def message(self) -> Message:
        """The parsed message."""
        return message_from_bytes(self.data)

    @property
    def pair(self) -> tuple[str, str]:
        """The identity of a mail: Message-ID and recipient."""
        return str(self.message["Message-ID"]), self.recipient

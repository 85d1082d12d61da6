"""Stores received mail in memory, with limits; the newest mail is kept.

Waiting tasks wake up at each change. It belongs to one event loop and is not safe across threads.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from notifier.inbox.received_message import ReceivedMessage

MAX_MESSAGES = 2_000
"""Mails that the inbox keeps; the oldest are deleted first."""
MAX_BYTES = 256 * 1024 * 1024
"""Bytes of mails and envelopes that the inbox keeps; the oldest are deleted first, the newest is always kept."""


class MessageStore:
    """Keeps the newest messages, limited in number and total size."""

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self.version = 0  # incremented at each change
        self.closed = False
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._bytes = 0
        self._arrived = 0
        self._messages: dict[str, tuple[int, ReceivedMessage]] = {}
        self._next_change = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: ReceivedMessage) -> None:
        """Add a message, and delete the oldest ones beyond the limits."""
        self._arrived += 1
        self._messages[message.id] = (self._arrived, message)
        self._bytes += _size(message)
        while len(self._messages) > self._max_messages or (self._bytes > self._max_bytes and len(self._messages) > 1):
            self._forget(next(iter(self._messages)))
        self.announce_change()

    def get(self, message_id: str) -> ReceivedMessage | None:
        """Get the message with that id, or None."""
        numbered = self._messages.get(message_id)
        return numbered[1] if numbered else None

    def list_oldest_first(self) -> list[ReceivedMessage]:
        """List all messages in order of arrival."""
        return [message for _, message in self._messages.values()]

    def list_newest_first(self) -> list[ReceivedMessage]:
        """List all messages, newest first."""
        return [message for _, message in reversed(self._messages.values())]

    def remove(self, message_id: str) -> bool:
        """Delete one message; False if it does not exist."""
        if message_id not in self._messages:
            return False
        self._forget(message_id)
        self.announce_change()
        return True

    def clear(self) -> None:
        """Delete all messages."""
        self._messages.clear()
        self._bytes = 0
        self.announce_change()

    def close(self) -> None:
        """Wake all waiting tasks for the last time."""
        self.closed = True
        self.announce_change()

    async def wait_for_change(self, since: int) -> None:
        """Wait until the version is not `since`, or the store is closed."""
        while self.version == since and not self.closed:
            await self._next_change.wait()

    def iterate_arrivals(self) -> AsyncIterator[ReceivedMessage]:
        """Iterate over messages that arrive after this call, until the store is closed."""
        return self._arrivals_after(self._arrived)

    async def wait_for(self, matches: Callable[[ReceivedMessage], bool], seconds: float) -> ReceivedMessage | None:
        """Return the first message that matches, waiting until it arrives; None after this many seconds."""
        arrivals = self._arrivals_after(0)
        try:
            async with asyncio.timeout(seconds):
                async for message in arrivals:
                    if matches(message):
                        return message
        except TimeoutError:
            pass
        return None

    async def _arrivals_after(self, last: int) -> AsyncIterator[ReceivedMessage]:
        # Nothing is registered while this generator is suspended, so an abandoned one leaks nothing.
        while not self.closed:
            version = self.version
            for number, message in self._newer_than(last):
                last = number
                yield message
            await self.wait_for_change(version)

    def _newer_than(self, last: int) -> list[tuple[int, ReceivedMessage]]:
        newer = []
        for numbered in reversed(self._messages.values()):
            if numbered[0] <= last:
                break
            newer.append(numbered)
        newer.reverse()
        return newer

    def _forget(self, message_id: str) -> None:
        _, message = self._messages.pop(message_id)
        self._bytes -= _size(message)

    def announce_change(self) -> None:
        """Wake all tasks that wait for a change."""
        self.version += 1
        self._next_change.set()
        self._next_change = asyncio.Event()


def _size(message: ReceivedMessage) -> int:
    return len(message.raw) + sum(map(len, message.recipients))

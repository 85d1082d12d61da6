"""Faults on demand, as MailHog's Jim makes them: the SMTP server refuses, drops or slows what clients send.

Each fault has a chance. It is off until a client of the API turns it on.
"""

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass, fields
from typing import Any

_CHUNKS_PER_SECOND = 10
_MIN_SPEED = 1.0  # bytes per second; at 0 a connection would hang for ever
_MAX_SPEED = 1e9


class InvalidChaosError(ValueError):
    """The JSON does not describe chaos; the message is a sentence for its sender."""


@dataclass(frozen=True, kw_only=True)
class ChaosSettings:
    """The chances (0 to 1) and speeds. The defaults are those of MailHog."""

    disconnect_chance: float = 0.005  # after each reply
    accept_chance: float = 0.99  # of a new connection
    link_speed_affect: float = 0.1  # the chance that a new connection is slow
    link_speed_min: float = 1024.0  # bytes per second, in each direction
    link_speed_max: float = 10240.0
    reject_sender_chance: float = 0.05
    reject_recipient_chance: float = 0.05
    reject_auth_chance: float = 0.05

    @classmethod
    def from_json(cls, body: Any) -> "ChaosSettings":
        """Read MailHog's JSON, with names in any case; what is not named becomes 0. Raises InvalidChaosError."""
        if not isinstance(body, dict):
            raise InvalidChaosError('Send a JSON object such as {"AcceptChance": 1, "RejectSenderChance": 0.5}.')
        values = {str(name).lower(): value for name, value in body.items()}
        return cls(**{name: _read_number(key, values.get(key.lower(), 0)) for name, key in _list_names()})

    def to_json(self) -> dict[str, float]:
        """Write MailHog's JSON."""
        return {key: getattr(self, name) for name, key in _list_names()}


def _list_names() -> list[tuple[str, str]]:
    """The name of each setting here and in MailHog's JSON."""
    return [(field.name, field.name.title().replace("_", "")) for field in fields(ChaosSettings)]


def _read_number(key: str, value: Any) -> float:
    maximum = _MAX_SPEED if key in {"LinkSpeedMin", "LinkSpeedMax"} else 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum:
        unit = " bytes per second" if maximum == _MAX_SPEED else ""
        raise InvalidChaosError(f"{key} is a number from 0 to {maximum:,.0f}{unit}.")
    return float(value)


class ChaosControl:
    """Decides by chance what fails. Without settings nothing does."""

    def __init__(self) -> None:
        self.settings: ChaosSettings | None = None
        self._random = random.Random()  # noqa: S311 - chance, not a secret

    def refuses_connection(self) -> bool:
        """Whether a new connection is closed without a greeting."""
        return self.settings is not None and not self._happens(self.settings.accept_chance)

    def disconnects(self) -> bool:
        """Whether the connection is closed after a reply."""
        return self.settings is not None and self._happens(self.settings.disconnect_chance)

    def rejects_sender(self) -> bool:
        """Whether MAIL FROM is refused."""
        return self.settings is not None and self._happens(self.settings.reject_sender_chance)

    def rejects_recipient(self) -> bool:
        """Whether RCPT TO is refused."""
        return self.settings is not None and self._happens(self.settings.reject_recipient_chance)

    def rejects_login(self) -> bool:
        """Whether AUTH is refused."""
        return self.settings is not None and self._happens(self.settings.reject_auth_chance)

    def choose_speed(self) -> float | None:
        """The speed of a new connection in bytes per second; None if it is not slowed down."""
        if self.settings is None or not self._happens(self.settings.link_speed_affect):
            return None
        return max(self._random.uniform(self.settings.link_speed_min, self.settings.link_speed_max), _MIN_SPEED)

    def _happens(self, chance: float) -> bool:
        return self._random.random() < chance


class SlowReader:
    """A stream reader that waits for as long as what it returns would take at this speed."""

    def __init__(self, reader: asyncio.StreamReader, speed: float) -> None:
        self._reader = reader
        self._speed = speed

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Read until the separator."""
        return await self._slow_down(self._reader.readuntil(separator))

    async def readline(self) -> bytes:
        """Read a line."""
        return await self._slow_down(self._reader.readline())

    async def read(self, count: int) -> bytes:
        """Read up to so many bytes."""
        return await self._slow_down(self._reader.read(count))

    async def _slow_down(self, reading: Awaitable[bytes]) -> bytes:
        data = await reading
        await asyncio.sleep(len(data) / self._speed)
        return data


async def write_slowly(writer: asyncio.StreamWriter, data: bytes, speed: float) -> None:
    """Write in pieces, at this speed in bytes per second."""
    size = max(1, int(speed / _CHUNKS_PER_SECOND))
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(len(piece) / speed)

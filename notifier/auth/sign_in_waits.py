"""Growing waits after wrong passwords, by e-mail address and by client address.

Each is counted before the password is checked, so that requests at the same time gain nothing. A password that comes
during a wait is neither checked nor counted. Unknown people wait as known ones do. Somebody whose client address is
known to belong to the person does not wait for what strangers tried, so nobody can be locked out.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import insert_if_absent
from notifier.db.tables import SignInWait, get_columns

FORGET_AFTER = timedelta(hours=24)
"""A count is forgotten so long after the last wrong password."""
_wait = get_columns(SignInWait)


@dataclass(frozen=True, kw_only=True)
class WaitSubject:
    """Whose wrong passwords are counted together, and how long they wait."""

    hash: bytes
    free: int  # wrong passwords without a wait
    longest: timedelta


def build_email_subject(email: str) -> WaitSubject:
    """Build the subject of all wrong passwords for an e-mail address, whether or not somebody has it."""
    return WaitSubject(hash=_hash("email", email), free=5, longest=timedelta(minutes=15))


def build_address_subject(address: str) -> WaitSubject:
    """Build the subject of all wrong passwords from a client address. Many people of one office may share it."""
    return WaitSubject(hash=_hash("address", group_address(address)), free=10, longest=timedelta(minutes=1))


def build_session_subject(session_id: UUID) -> WaitSubject:
    """Build the subject of all wrong passwords in a session, where the person is asked for theirs again."""
    return WaitSubject(hash=_hash("session", str(session_id)), free=5, longest=timedelta(minutes=15))


def group_address(address: str) -> str:
    """Reduce an IPv6 address to its /64, which one subscriber has; others are kept as they are."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)  # noqa: PLR2004


async def get_wait_seconds(connection: AsyncConnection, subjects: Sequence[WaitSubject], now: datetime) -> int:
    """Get how many seconds the next password has to wait; 0: none."""
    hashes = [subject.hash for subject in subjects]
    times = (await connection.execute(select(_wait.open_at).where(_wait.subject_hash.in_(hashes)))).scalars()
    return max((_count_seconds(time - now) for time in times), default=0)


async def count_attempt(connection: AsyncConnection, subjects: Sequence[WaitSubject], now: datetime) -> int:
    """Count an attempt as failed until it succeeds. Returns the seconds to wait if a wait is running; 0: counted."""
    await connection.execute(delete(SignInWait).where(_wait.failed_at < now - FORGET_AFTER))
    ordered = sorted(subjects, key=lambda subject: subject.hash)  # two requests never wait for each other in a circle
    for subject in ordered:
        values = {"subject_hash": subject.hash, "failures": 0, "failed_at": now, "open_at": now}
        await insert_if_absent(connection, SignInWait, values)
    rows = await connection.execute(
        select(_wait.subject_hash, _wait.failures, _wait.open_at)
        .where(_wait.subject_hash.in_([subject.hash for subject in ordered]))
        .order_by(_wait.subject_hash)
        .with_for_update()
    )
    states = {row.subject_hash: row for row in rows}
    seconds = max(_count_seconds(row.open_at - now) for row in states.values())
    if seconds > 0:
        return seconds
    for subject in ordered:
        failures = states[subject.hash].failures + 1
        values = {"failures": failures, "failed_at": now, "open_at": now + _get_wait(subject, failures)}
        await connection.execute(update(SignInWait).where(_wait.subject_hash == subject.hash).values(values))
    return 0


async def settle_success(
    connection: AsyncConnection, subjects: Sequence[WaitSubject], now: datetime, *, keeps_others: WaitSubject | None
) -> None:
    """Forget all wrong passwords of the subjects, because the password was right.

    `keeps_others`: a client address, for which only this attempt is taken back: others may be for other people.
    """
    for subject in sorted({*subjects, *([keeps_others] if keeps_others else [])}, key=lambda subject: subject.hash):
        if subject == keeps_others:
            await take_back_attempt(connection, subject, now)
        else:
            await connection.execute(delete(SignInWait).where(_wait.subject_hash == subject.hash))


async def take_back_attempt(connection: AsyncConnection, subject: WaitSubject, now: datetime) -> None:
    """Take back one attempt."""
    condition = _wait.subject_hash == subject.hash
    values = {"failures": _wait.failures - 1, "open_at": now}
    await connection.execute(update(SignInWait).where(condition, _wait.failures > 0).values(values))


def _get_wait(subject: WaitSubject, failures: int) -> timedelta:
    """Get the wait after so many failures: 1, 2, 4, … seconds after the free ones, up to the longest."""
    beyond = failures - subject.free
    if beyond <= 0:
        return timedelta()
    return min(timedelta(seconds=2 ** min(beyond - 1, 20)), subject.longest)


def _count_seconds(wait: timedelta) -> int:
    return max(0, -(-wait // timedelta(seconds=1)))


def _hash(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind}:{text}".encode(errors="replace")).digest()

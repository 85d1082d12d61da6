"""Compare what the relay received with what the database says, mail by mail, without any I/O.

A mail is a pair of Message-ID and recipient. For each count the report names the mails.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

from chaos.relay_log import Event, Name

from notifier.states import EntryState, Status

_WAITING = frozenset({Status.QUEUED, Status.DEFERRED, Status.UNKNOWN})
_TAKEN = frozenset({Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED})
_WITHDRAWN = frozenset({Status.CANCELLED, Status.SUPPRESSED, Status.EXPIRED})
SHOWN = 5  # mails named behind each number


@dataclass(frozen=True, kw_only=True)
class Row:
    """A notification in the database at the end."""

    id: str
    recipient: str
    message_id: str
    status: Status
    reason: str | None = None
    uncertain_at: datetime | None = None
    first_doubt: datetime | None = None  # when the earliest attempt that ended Uncertain began
    digests: frozenset[str] = frozenset()  # SHA-256 of the bytes of its attempts

    @property
    def pair(self) -> tuple[str, str]:
        """The Message-ID and recipient under which the relay knows it."""
        return self.message_id, self.recipient

    def doubted_by(self, wall: float) -> bool:
        """Return whether it was `unknown` before this moment, in seconds since 1970."""
        moments = [moment.timestamp() for moment in (self.uncertain_at, self.first_doubt) if moment is not None]
        return self.uncertain_at is not None and min(moments) <= wall


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An outbox entry that is left at the end."""

    subject_id: str
    state: EntryState


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All facts that are known after everything has settled."""

    acknowledged: Mapping[str, str]  # id of every 202, and its recipient
    events: Sequence[Event]
    rows: Sequence[Row]
    entries: Sequence[Entry] = ()
    cancelled: Collection[str] = ()  # ids whose cancel the API has confirmed


@dataclass(frozen=True, kw_only=True)
class Report:
    """The verdict: the names of faulty mails, and counts of the others."""

    submitted: int = 0
    sent: int = 0
    failed: int = 0
    cancelled: int = 0
    unknown_ever: list[str] = field(default_factory=list)
    unknown_now: list[str] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)  # taken twice, and `unknown` before the second time
    unflagged: list[str] = field(default_factory=list)  # taken twice, silently
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # failed after a 250, or not cancelled after a confirmed cancel
    stuck: list[str] = field(default_factory=list)
    poisoned: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)  # two rows for one recipient and idempotency key
    strange: list[str] = field(default_factory=list)  # accepted by the relay, without a row
    altered: list[str] = field(default_factory=list)  # attempts differ in their bytes

    FAULTS = ("unflagged", "lost", "wrong", "stuck", "poisoned", "doubled", "strange", "altered")

    @property
    def faults(self) -> dict[str, list[str]]:
        """The fault lists that are not empty."""
        return {name: mails for name in self.FAULTS if (mails := getattr(self, name))}

    def table(self, title: str, **more: object) -> str:
        """Return the report as text for a person."""
        lines = [f"== {title}"]
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int):
                lines.append(f"  {each.name:<14}{value:>8,}")
            else:
                must = "  (must be 0)" if each.name in self.FAULTS else ""
                names = f"  {', '.join(value[:SHOWN])}" if value and each.name in self.FAULTS else ""
                lines.append(f"  {each.name:<14}{len(value):>8,}{must}{names}")
        lines += [f"  {name.replace('_', ' ')}: {value}" for name, value in more.items()]
        return "\n".join(lines)


def judge(evidence: Evidence) -> Report:
    """Judge every acknowledged mail, every row and every mail that the relay received."""
    taken = _by_pair(evidence.events, Name.TAKEN)
    rows = {row.id: row for row in evidence.rows}
    pairs = {row.pair for row in evidence.rows}
    entries = {entry.subject_id: entry for entry in evidence.entries}
    twice = [row for row in evidence.rows if len(taken.get(row.pair, ())) > 1]
    unflagged = [row for row in twice if not _is_flagged(row, taken[row.pair])]
    lost = [recipient for id_, recipient in evidence.acknowledged.items() if id_ not in rows]
    lost += [row.recipient for row in evidence.rows if _is_lost(row, entries.get(row.id), taken.get(row.pair, ()))]
    return Report(
        submitted=len(evidence.acknowledged),
        sent=sum(row.status is Status.SENT for row in evidence.rows),
        failed=sum(row.status is Status.FAILED for row in evidence.rows),
        cancelled=sum(row.status is Status.CANCELLED for row in evidence.rows),
        unknown_ever=[row.recipient for row in evidence.rows if row.uncertain_at is not None],
        unknown_now=[row.recipient for row in evidence.rows if row.status is Status.UNKNOWN],
        flagged=[row.recipient for row in twice if row not in unflagged],
        unflagged=[row.recipient for row in unflagged],
        lost=lost,
        wrong=[row.recipient for row in evidence.rows if _is_wrong(row, evidence, taken.get(row.pair, ()))],
        stuck=[_name(rows, entry) for entry in evidence.entries if _is_stuck(entry, rows.get(entry.subject_id))],
        poisoned=[row.recipient for row in evidence.rows if row.reason == "poison"],
        doubled=_doubled(evidence.rows),
        strange=[pair[1] for pair in taken if pair not in pairs],
        altered=_altered(evidence),
    )


def _by_pair(events: Iterable[Event], *names: Name) -> dict[tuple[str, str], list[Event]]:
    by_pair: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if event.name in names:
            by_pair[event.pair].append(event)
    return by_pair


def _is_flagged(row: Row, taken: Sequence[Event]) -> bool:
    """Return whether it was `unknown` before the relay received it for the second time."""
    return row.doubted_by(taken[1].wall)


def _is_lost(row: Row, entry: Entry | None, taken: Sequence[Event]) -> bool:
    """Return whether it is `sent` but was never received, or waits without an entry."""
    if row.status in _TAKEN:
        return not taken
    return row.status in _WAITING and entry is None


def _is_stuck(entry: Entry, row: Row | None) -> bool:
    """Return whether an entry is left that is not held for a person (`unknown` twice, or the policy `hold`)."""
    is_unknown = row is not None and row.status is Status.UNKNOWN and row.uncertain_at is not None
    return not (is_unknown and entry.state is EntryState.HELD)


def _is_wrong(row: Row, evidence: Evidence, taken: Sequence[Event]) -> bool:
    """Return whether a cancelled mail was received or is not cancelled, or a mail with a 250 has failed."""
    if row.id in evidence.cancelled and row.status is not Status.CANCELLED:
        return True
    if row.status in _WITHDRAWN:
        return bool(taken)
    return row.status is Status.FAILED and any(event.reply == "250" for event in taken)


def _name(rows: Mapping[str, Row], entry: Entry) -> str:
    row = rows.get(entry.subject_id)
    return f"{row.recipient} ({entry.state}, {row.status})" if row else f"entry of {entry.subject_id}"


def _doubled(rows: Iterable[Row]) -> list[str]:
    return [recipient for recipient, count in Counter(row.recipient for row in rows).items() if count > 1]


def _altered(evidence: Evidence) -> list[str]:
    """Return the mails for which the relay or the attempts recorded different bytes."""
    digests: dict[tuple[str, str], set[str]] = {row.pair: set(row.digests) for row in evidence.rows}
    for event in evidence.events:
        if event.name in (Name.TAKEN, Name.REFUSED):
            digests.setdefault(event.pair, set()).add(event.sha256)
    return [recipient for (_, recipient), variants in digests.items() if len(variants) > 1]

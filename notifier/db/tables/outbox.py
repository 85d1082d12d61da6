"""The durable queue: one small row for each piece of pending work, and one for each sender process."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_enum_type
from notifier.states import EntryKind, EntryState, Priority

_OPEN = text("state = 'ready' AND lost < 2")
_LEASED = text("state = 'leased'")
_HELD = text("state = 'held'")
_SUSPECT = text("state = 'ready' AND lost >= 2")
# Always true. Only statements that contain it use the index by subject. So the planner never uses that index for a
# claim, which would then read all entries of a service.
_ANY = text("attempts >= 0")


class OutboxEntry(Table, table=True):
    """Pending work. `due_at` is used for the schedule, for retries and for the end of a lease."""

    __tablename__ = "outbox_entry"
    __table_args__ = (
        # Service before time, because a claim takes the oldest entries of one service after the other.
        Index(
            "ix_outbox_entry_ready",
            *("kind", "priority", "service_id", "due_at", "id"),
            postgresql_where=_OPEN,
            sqlite_where=_OPEN,
        ),
        Index("ix_outbox_entry_leased", "due_at", postgresql_where=_LEASED, sqlite_where=_LEASED),
        Index("ix_outbox_entry_suspect", "due_at", postgresql_where=_SUSPECT, sqlite_where=_SUSPECT),
        Index("ix_outbox_entry_held", "due_at", postgresql_where=_HELD, sqlite_where=_HELD),
        # By service, because a search for `queued` reads the entries of one service.
        Index("ix_outbox_entry_subject", "service_id", "subject_id", postgresql_where=_ANY, sqlite_where=_ANY),
        {
            "postgresql_with": {
                "fillfactor": 70,
                "autovacuum_vacuum_scale_factor": 0.0,
                "autovacuum_vacuum_threshold": 5000,
                "autovacuum_vacuum_cost_delay": 0,
            }
        },
    )

    id: UUID = Field(primary_key=True)
    kind: EntryKind = Field(sa_type=build_enum_type(EntryKind, "kind"))
    subject_id: UUID
    service_id: UUID
    priority: Priority = Field(sa_type=build_enum_type(Priority, "priority"))
    state: EntryState = Field(sa_type=build_enum_type(EntryState, "state"))
    due_at: datetime = Field(sa_type=UtcDateTime)
    lease_no: int = 0
    leased_by: UUID | None = None
    marked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    attempts: int = 0
    lost: int = 0
    faults: int = 0
    fault: str | None = Field(default=None, max_length=255)


class SenderProcess(Table, table=True):
    """One sender process, from start to end. The beat shows that it is alive."""

    __tablename__ = "sender_process"

    id: UUID = Field(primary_key=True)  # new at every start
    host: str = Field(max_length=255)
    started_at: datetime = Field(sa_type=UtcDateTime)
    beat_at: datetime = Field(sa_type=UtcDateTime)
    sent_rate: float | None = None  # mails per second while mails wait; None: not measured yet


class RelayState(Table, table=True):
    """Why a sender cannot hand mail to a relay. No row: it can."""

    __tablename__ = "relay_state"

    sender_id: UUID = Field(primary_key=True)
    relay: str = Field(primary_key=True, max_length=255)
    reason: str = Field(max_length=1000)
    since: datetime = Field(sa_type=UtcDateTime)


class RelayConnections(Table, table=True):
    """How many connections a relay takes from a sender. No row: as many as the setting allows."""

    __tablename__ = "relay_connections"

    sender_id: UUID = Field(primary_key=True)
    relay: str = Field(primary_key=True, max_length=255)
    in_force: int
    maximum: int  # that the setting allows
    reason: str = Field(max_length=1000)
    since: datetime = Field(sa_type=UtcDateTime)

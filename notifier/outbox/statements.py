"""All queue SQL, in trip order: claim, mark, settle, rescue, look; each statement with one line of purpose.

Where the two databases must differ, both texts stand one under the other. Every write after a claim carries the
fence (`id`, `lease_no`). `notifier.outbox.store` runs them.
"""

from typing import Any

from sqlalchemy import DateTime, TextClause, bindparam, text
from sqlalchemy.types import TypeEngine

from notifier.db.columns import UtcDateTime
from notifier.db.tables import OutboxEntry, columns
from notifier.states import Priority

RANKED = (Priority.HIGH, Priority.NORMAL, Priority.BULK)
SUSPECT = 2
"""An entry lost so often is claimed alone: it may be what kills its holders."""
_ID: TypeEngine[Any] = columns(OutboxEntry).id.type
_TIME = UtcDateTime()
_NOW = "coalesce(:now, now())"
_CLAIMED = "id, lease_no, subject_id, service_id, priority, due_at, attempts, lost, faults, fault"
_BATCH = "json_to_recordset(CAST(:batch AS json)) AS b(id uuid, lease_no int)"
_IN_BATCH = "(id, lease_no) IN (SELECT value ->> 'id', value ->> 'lease_no' FROM json_each(:batch))"


def _postgres(sql: str) -> TextClause:
    """A statement that takes its times from the database's clock, unless a test hands in `now`."""
    statement = text(sql)
    return statement.bindparams(bindparam("now", type_=DateTime(timezone=True))) if ":now" in sql else statement


def _sqlite(sql: str, **types: TypeEngine[Any]) -> TextClause:
    """A statement whose columns have their types named, because SQLite knows only texts."""
    return text(sql).columns(**types)  # type: ignore[return-value]


# 0. Enqueue -----------------------------------------------------------------------------------------------------------

_NEW = """INSERT INTO outbox_entry
  (id, kind, subject_id, service_id, priority, due_at, state, lease_no, attempts, lost, faults)"""


# The entries of what the same statement writes; `source` is a CTE of its author with the columns of a new entry.
def enqueue_from(source: str) -> str:
    """The text of an INSERT, the same on both databases."""
    return f"{_NEW} SELECT id, kind, subject_id, service_id, priority, due_at, 'ready', 0, 0, 0, 0 FROM {source}"


# 1. Claim -------------------------------------------------------------------------------------------------------------

# Due entries of one priority, oldest first; locked ones are somebody else's.
_DUE = """
  {name} AS MATERIALIZED (
    SELECT id, due_at, {rank} AS rank FROM outbox_entry
    WHERE state = 'ready' AND kind = :kind AND priority = '{name}' AND due_at <= {now} AND lost {lost}
    ORDER BY due_at, id LIMIT :{name} {lock})"""

# The best `room` of them: each priority gets its reserve first, then rank decides.
_PICKED = """
  waiting AS (
    SELECT id, due_at, rank, row_number() OVER (PARTITION BY rank ORDER BY due_at, id) AS place
    FROM (SELECT * FROM high UNION ALL SELECT * FROM normal UNION ALL SELECT * FROM bulk) AS due),
  picked AS {materialized} (
    SELECT id, due_at FROM waiting ORDER BY (place > :reserve), rank, place LIMIT :room)"""


def _due_and_picked(now: str, lock: str, materialized: str, lost: str) -> str:
    due = ",".join(_DUE.format(name=p.value, rank=rank, now=now, lock=lock, lost=lost) for rank, p in enumerate(RANKED))
    return f"WITH {due},{_PICKED.format(materialized=materialized)}"


# Lease the picked entries and raise their fence, in one statement.
def _claim_postgres(lost: str) -> TextClause:
    return _postgres(
        _due_and_picked(_NOW, "FOR UPDATE SKIP LOCKED", "MATERIALIZED", lost)
        + f"""
UPDATE outbox_entry AS e
SET state = 'leased', lease_no = e.lease_no + 1, leased_by = :holder, marked_at = NULL,
    due_at = {_NOW} + make_interval(secs => :lease)
FROM picked WHERE e.id = picked.id AND e.state = 'ready'
RETURNING e.id, e.lease_no, e.subject_id, e.service_id, e.priority, picked.due_at, e.attempts, e.lost, e.faults, e.fault
"""
    )


# SQLite cannot return the old due time from an UPDATE, so it reads first; its writer is alone in the transaction.
def _pick_sqlite(lost: str) -> TextClause:
    return _sqlite(
        _due_and_picked(":now", "", "", lost)
        + f" SELECT {_CLAIMED} FROM outbox_entry JOIN picked USING (id, due_at) WHERE state = 'ready'",
        id=_ID,
        subject_id=_ID,
        service_id=_ID,
        due_at=_TIME,
    )


CLAIM_POSTGRES = {False: _claim_postgres(f"< {SUSPECT}"), True: _claim_postgres(f">= {SUSPECT}")}
PICK_SQLITE = {False: _pick_sqlite(f"< {SUSPECT}"), True: _pick_sqlite(f">= {SUSPECT}")}
"""By whether suspects are wanted: they and the others are never claimed together."""
LEASE_SQLITE = text(
    "UPDATE outbox_entry SET state = 'leased', lease_no = lease_no + 1, leased_by = :holder, marked_at = NULL,"
    " due_at = :ends WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'ready'"
)

# Whether an entry that must be claimed alone is due.
_SUSPECTED = (
    "SELECT 1 FROM outbox_entry WHERE state = 'ready' AND lost >= 2 AND kind = :kind AND due_at <= {now} LIMIT 1"
)
SUSPECTED_POSTGRES, SUSPECTED_SQLITE = _postgres(_SUSPECTED.format(now=_NOW)), text(_SUSPECTED.format(now=":now"))

# Entries that this process holds without knowing it: its claim was committed, and the reply was lost.
_DISOWN = """
UPDATE outbox_entry SET state = 'ready', leased_by = NULL, due_at = {now}
WHERE state = 'leased' AND leased_by = :holder AND marked_at IS NULL AND {unknown} RETURNING id
"""
DISOWN_POSTGRES = _postgres(_DISOWN.format(now=_NOW, unknown="NOT (id = ANY(CAST(:ids AS uuid[])))"))
DISOWN_SQLITE = text(_DISOWN.format(now=":now", unknown="id NOT IN (SELECT value FROM json_each(:ids))"))

# 2. Mark --------------------------------------------------------------------------------------------------------------

# The one gate to the body: only for the present holder, while its lease runs; the lease becomes that of a body.
MARK_POSTGRES = _postgres(f"""
UPDATE outbox_entry AS e SET marked_at = {_NOW}, due_at = {_NOW} + make_interval(secs => :lease)
FROM {_BATCH}
WHERE e.id = b.id AND e.lease_no = b.lease_no AND e.state = 'leased' AND e.leased_by = :holder AND e.due_at > {_NOW}
RETURNING e.id, e.lease_no
""")
MARK_SQLITE = _sqlite(
    f"""
UPDATE outbox_entry SET marked_at = :now, due_at = :ends
WHERE {_IN_BATCH} AND state = 'leased' AND leased_by = :holder AND due_at > :now RETURNING id, lease_no
""",
    id=_ID,
)

# 3. Settle ------------------------------------------------------------------------------------------------------------

# Delete finished entries whose fence held, in whatever state they are by now.
FINISH_POSTGRES = text(
    f"DELETE FROM outbox_entry AS e USING {_BATCH} WHERE e.id = b.id AND e.lease_no = b.lease_no"
    " RETURNING e.id, e.lease_no"
)
FINISH_SQLITE = _sqlite(f"DELETE FROM outbox_entry WHERE {_IN_BATCH} RETURNING id, lease_no", id=_ID)

# Put entries back (or hold them) with a new due time and what has been burnt, if the fence held; the mark is gone.
PUT_BACK_POSTGRES = _postgres(f"""
UPDATE outbox_entry AS e
SET state = b.state, leased_by = NULL, marked_at = NULL, attempts = b.attempts, faults = b.faults, fault = b.fault,
    due_at = coalesce(b.due_at, {_NOW} + make_interval(secs => b.delay))
FROM json_to_recordset(CAST(:batch AS json))
  AS b(id uuid, lease_no int, state text, due_at timestamptz, delay float8, attempts int, faults int, fault text)
WHERE e.id = b.id AND e.lease_no = b.lease_no RETURNING e.id, e.lease_no
""")
PUT_BACK_SQLITE = _sqlite(
    """
UPDATE outbox_entry
SET state = b.state, leased_by = NULL, marked_at = NULL, attempts = b.attempts, faults = b.faults, fault = b.fault,
    due_at = b.due_at
FROM (SELECT value ->> 'id' AS id, value ->> 'lease_no' AS lease_no, value ->> 'state' AS state,
             value ->> 'due_at' AS due_at, value ->> 'attempts' AS attempts, value ->> 'faults' AS faults,
             value ->> 'fault' AS fault FROM json_each(:batch)) AS b
WHERE outbox_entry.id = b.id AND outbox_entry.lease_no = b.lease_no RETURNING outbox_entry.id, outbox_entry.lease_no
""",
    id=_ID,
)

# The work is known to be done: the entry goes whoever claimed it since, unless its present holder has its own mark.
_UNMARKED = "AND NOT (state = 'leased' AND marked_at IS NOT NULL)"
PROVE_POSTGRES = text(f"DELETE FROM outbox_entry AS e USING {_BATCH} WHERE e.id = b.id {_UNMARKED}")
PROVE_SQLITE = text(f"DELETE FROM outbox_entry WHERE id IN (SELECT value ->> 'id' FROM json_each(:batch)) {_UNMARKED}")

# 4. Rescue ------------------------------------------------------------------------------------------------------------

# Whose leases are meant: overrun ones, those of one holder, or all there are.
_WHOSE = {"overrun": "due_at <= {now}", "holder": "leased_by = :holder", "all": "1 = 1"}

# Claims of the dead about which the handler must decide: a body may have begun, or they were lost too often.
_LOST = """
SELECT {claimed}, marked_at FROM outbox_entry
WHERE state = 'leased' AND kind = :kind AND {whose} AND (marked_at IS NOT NULL OR lost >= :most)
ORDER BY id LIMIT :limit {lock}
"""

# The other claims of the dead become ready again; the fence stays, so a late settle still counts.
_RESCUE = """
UPDATE outbox_entry SET state = 'ready', leased_by = NULL, lost = lost + 1, due_at = {due}
WHERE id IN (SELECT id FROM outbox_entry WHERE state = 'leased' AND kind = :kind AND {whose}
             AND marked_at IS NULL AND lost < :most ORDER BY due_at LIMIT 1000 {lock})
RETURNING id
"""
# One that was lost while it was alone waits, so that a host that kills whatever runs on it convicts nobody.
_DUE_POSTGRES = f"{_NOW} + make_interval(secs => CASE lost WHEN 2 THEN 10 WHEN 3 THEN 60 ELSE 0 END)"
_DUE_SQLITE = "CASE lost WHEN 2 THEN :soon WHEN 3 THEN :later ELSE :now END"
_SKIP = "FOR UPDATE SKIP LOCKED"
LOST_POSTGRES = {
    whose: _postgres(_LOST.format(claimed=_CLAIMED, whose=which.format(now=_NOW), lock=_SKIP))
    for whose, which in _WHOSE.items()
}
RESCUE_POSTGRES = {
    whose: _postgres(_RESCUE.format(due=_DUE_POSTGRES, whose=which.format(now=_NOW), lock=_SKIP))
    for whose, which in _WHOSE.items()
}
LOST_SQLITE = {
    whose: _sqlite(
        _LOST.format(claimed=_CLAIMED, whose=which.format(now=":now"), lock=""),
        id=_ID,
        subject_id=_ID,
        service_id=_ID,
        due_at=_TIME,
        marked_at=_TIME,
    )
    for whose, which in _WHOSE.items()
}
RESCUE_SQLITE = {
    whose: text(_RESCUE.format(due=_DUE_SQLITE, whose=which.format(now=":now"), lock=""))
    for whose, which in _WHOSE.items()
}

# What was held for a person until the notification expired is ready to be closed.
_RIPEN = "UPDATE outbox_entry SET state = 'ready' WHERE state = 'held' AND due_at <= {now} RETURNING id"
RIPEN_POSTGRES, RIPEN_SQLITE = _postgres(_RIPEN.format(now=_NOW)), text(_RIPEN.format(now=":now"))

# 5. Withdraw, look ----------------------------------------------------------------------------------------------------

# A person or caller takes the work back, while no body of it may have begun.
WITHDRAW = text("DELETE FROM outbox_entry WHERE subject_id = :subject AND marked_at IS NULL RETURNING id").bindparams(
    bindparam("subject", type_=_ID)
)
LEFT = text("SELECT count(*) FROM outbox_entry WHERE subject_id = :subject").bindparams(bindparam("subject", type_=_ID))

# The oldest due entry of each priority: how far behind the queue is.
DUE_AGE = text(
    "SELECT priority, min(due_at) AS due_at FROM outbox_entry WHERE state = 'ready' AND kind = :kind GROUP BY priority"
).columns(due_at=_TIME)

# The number of entries of each state.
DEPTH = text("SELECT state, count(*) AS depth FROM outbox_entry GROUP BY state")

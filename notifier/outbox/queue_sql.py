"""All queue SQL, in trip order: claim, mark, settle, rescue, look; each statement with one line of purpose.

Where the two databases must differ, both texts stand one under the other. Every write after a claim carries the
fence (`id`, `lease_no`). `notifier.outbox.entry_store` runs them; long looks have their text in `backlog_sql`.
"""

from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import DateTime, Integer, TextClause, bindparam, text
from sqlalchemy.types import TypeEngine

from notifier.db.column_types import UtcDateTime
from notifier.db.tables import OutboxEntry, get_columns
from notifier.outbox import backlog_sql
from notifier.states import Priority

PRIORITIES_BY_RANK = (Priority.HIGH, Priority.NORMAL, Priority.BULK)
SUSPECT_LOSSES = 2
"""An entry lost so often is claimed alone: it may be what kills its holders."""
_UUID: TypeEngine[Any] = get_columns(OutboxEntry).id.type
_TIME = UtcDateTime()
_CLAIMED_TYPES: dict[str, TypeEngine[Any]] = {"id": _UUID, "subject_id": _UUID, "service_id": _UUID, "due_at": _TIME}
BODY_LEASE = timedelta(minutes=20)  # from the mark on
_NOW = "coalesce(:now, now())"
_BEGUN = f"{_NOW} - make_interval(secs => {BODY_LEASE.total_seconds():.0f})"
_CLAIMED = "id, lease_no, subject_id, service_id, priority, due_at, attempts, lost, faults, fault"
# The array makes sure that entries are looked up by their ids, whatever the planner believes about their number.
_WITH_BATCH = (
    "WITH b AS MATERIALIZED (SELECT * FROM json_to_recordset(CAST(:batch AS json)) AS b(id uuid, lease_no int))"
)
_IS_IN_BATCH = "e.id = b.id AND e.id = ANY(ARRAY(SELECT b.id FROM b))"
_IN_BATCH = "(id, lease_no) IN (SELECT value ->> 'id', value ->> 'lease_no' FROM json_each(:batch))"
_LEASE = f"""
UPDATE outbox_entry AS e
SET state = 'leased', lease_no = e.lease_no + 1, leased_by = :holder, marked_at = NULL,
    due_at = {_NOW} + make_interval(secs => :lease)
FROM picked WHERE e.id = picked.id AND e.id = ANY(ARRAY(SELECT picked.id FROM picked)) AND e.state = 'ready'
RETURNING e.id, e.lease_no, e.subject_id, e.service_id, e.priority, picked.due_at, e.attempts, e.lost, e.faults, e.fault
"""


def _postgres(sql: str) -> TextClause:
    """A statement that takes its times from the database's clock, unless a test hands in `now`."""
    statement = text(sql)
    return statement.bindparams(bindparam("now", type_=DateTime(timezone=True))) if ":now" in sql else statement


def _sqlite(sql: str, **types: TypeEngine[Any]) -> TextClause:
    """A statement whose columns have their types named, because SQLite knows only texts."""
    return text(sql).columns(**types)  # type: ignore[return-value]


# 0. Enqueue -----------------------------------------------------------------------------------------------------------

_INSERT_ENTRY = """INSERT INTO outbox_entry
  (id, kind, subject_id, service_id, priority, due_at, state, lease_no, attempts, lost, faults)"""


# The entries of what the same statement writes; `source` is a CTE of its author with the columns of a new entry.
def build_enqueue_sql(source: str) -> str:
    """The text of an INSERT, the same on both databases."""
    return (
        f"{_INSERT_ENTRY} SELECT id, kind, subject_id, service_id, priority, due_at, 'ready', 0, 0, 0, 0 FROM {source}"
    )


# 1. Claim -------------------------------------------------------------------------------------------------------------

# What may be claimed in company. The words are those of the partial index, so that it is always the one that is used.
_OPEN = f"state = 'ready' AND lost < {SUSPECT_LOSSES}"
_ALONE = f"state = 'ready' AND lost >= {SUSPECT_LOSSES}"

# From service to service: who has due work of which priority, and since when. The cost is the number of services.
BACKLOG_POSTGRES = _postgres(backlog_sql.since(_OPEN, _NOW))
BACKLOG_SQLITE = _sqlite(backlog_sql.since(_OPEN, ":now"), service_id=_UUID, due_at=_TIME)

# The best `room` of what was found: the services of a priority by turns, each priority's reserve before rank counts.
_PICKED = """
  waiting AS (
    SELECT id, due_at, rank, share, row_number() OVER (PARTITION BY rank ORDER BY nth, turn) AS place FROM due),
  picked AS {materialized} (
    SELECT id, due_at FROM waiting WHERE place <= share ORDER BY (place > :reserve), rank, place LIMIT :room)"""
_NTH = "row_number() OVER (PARTITION BY t.turn ORDER BY d.due_at, d.id) AS nth"

# Lease the oldest of each service whose turn it is and raise their fence; locked ones are somebody else's.
CLAIM_POSTGRES = _postgres(f"""
WITH
  due AS MATERIALIZED (
    SELECT d.id, d.due_at, t.rank, t.share, t.turn, {_NTH}
    FROM json_to_recordset(CAST(:turns AS json))
      AS t(turn int, priority text, service_id uuid, since timestamptz, rank int, share int, most int)
    CROSS JOIN LATERAL (
      SELECT e.id, e.due_at FROM outbox_entry AS e
      WHERE {_OPEN} AND e.kind = :kind AND e.priority = t.priority AND e.service_id = t.service_id
        AND e.due_at >= t.since AND e.due_at <= {_NOW}
      ORDER BY e.due_at, e.id LIMIT t.most FOR UPDATE SKIP LOCKED) AS d),{_PICKED.format(materialized="MATERIALIZED")}
{_LEASE}
""")

# SQLite cannot return the old due time from an UPDATE, so it reads first; its writer is alone in the transaction.
PICK_SQLITE = _sqlite(
    f"""
WITH
  due AS (
    SELECT d.id, d.due_at, t.value ->> 'rank' AS rank, t.value ->> 'share' AS share, t.key AS turn,
           row_number() OVER (PARTITION BY t.key ORDER BY d.due_at, d.id) AS nth
    FROM json_each(:turns) AS t JOIN outbox_entry AS d ON d.id IN (
      SELECT e.id FROM outbox_entry AS e
      WHERE {_OPEN} AND e.kind = :kind AND e.priority = t.value ->> 'priority'
        AND e.service_id = t.value ->> 'service_id' AND e.due_at >= t.value ->> 'since' AND e.due_at <= :now
      ORDER BY e.due_at, e.id LIMIT :room)),{_PICKED.format(materialized="")}
SELECT {_CLAIMED} FROM outbox_entry JOIN picked USING (id, due_at)
""",
    **_CLAIMED_TYPES,
)
LEASE_SQLITE = text(
    "UPDATE outbox_entry SET state = 'leased', lease_no = lease_no + 1, leased_by = :holder, marked_at = NULL,"
    " due_at = :ends WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'ready'"
)

# The oldest suspect: it is claimed alone.
_SUSPECT_DUE = f"FROM outbox_entry WHERE {_ALONE} AND kind = :kind AND due_at <= {{now}} ORDER BY due_at LIMIT 1"
CLAIM_SUSPECT_POSTGRES = _postgres(
    f"WITH picked AS MATERIALIZED (SELECT id, due_at {_SUSPECT_DUE.format(now=_NOW)} FOR UPDATE SKIP LOCKED){_LEASE}"
)
PICK_SUSPECT_SQLITE = _sqlite(f"SELECT {_CLAIMED} {_SUSPECT_DUE.format(now=':now')}", **_CLAIMED_TYPES)

# Whether an entry that must be claimed alone is due.
_SUSPECTED = f"SELECT 1 {_SUSPECT_DUE}"
SUSPECTED_POSTGRES, SUSPECTED_SQLITE = _postgres(_SUSPECTED.format(now=_NOW)), text(_SUSPECTED.format(now=":now"))

# Entries that this process holds without knowing it: its claim was committed, and the reply was lost.
_DISOWN = """
UPDATE outbox_entry SET state = 'ready', leased_by = NULL, due_at = {now}
WHERE state = 'leased' AND kind = :kind AND leased_by = :holder AND marked_at IS NULL AND {unknown} RETURNING id
"""
RELEASE_ORPHANS_POSTGRES = _postgres(_DISOWN.format(now=_NOW, unknown="NOT (id = ANY(CAST(:ids AS uuid[])))"))
RELEASE_ORPHANS_SQLITE = text(_DISOWN.format(now=":now", unknown="id NOT IN (SELECT value FROM json_each(:ids))"))

# 2. Mark --------------------------------------------------------------------------------------------------------------


@cache
def build_mark_postgres(wanted: str) -> TextClause:
    """The one gate to the body: only for the present holder, while its lease runs, and only of what is still wanted.

    It prolongs the lease, yet not in `due_at`: no index knows of a mark. `wanted` is the handler's condition.
    """
    # State and time are asked for in words that fit no index: under an old snapshot that of leases is full of the dead.
    return _postgres(f"""
{_WITH_BATCH}
UPDATE outbox_entry AS e SET marked_at = {_NOW}
FROM b
WHERE {_IS_IN_BATCH} AND e.lease_no = b.lease_no AND e.state || '' = 'leased' AND e.leased_by = :holder
  AND {_NOW} - e.due_at < interval '0' AND {wanted.format(now=_NOW)}
RETURNING e.id, e.lease_no
""")


@cache
def build_mark_sqlite(wanted: str) -> TextClause:
    """The same gate."""
    return _sqlite(
        f"""
UPDATE outbox_entry AS e SET marked_at = :now
WHERE {_IN_BATCH} AND state = 'leased' AND leased_by = :holder AND due_at > :now AND {wanted.format(now=":now")}
RETURNING id, lease_no
""",
        id=_UUID,
    )


# 3. Settle ------------------------------------------------------------------------------------------------------------

# Delete finished entries whose fence held, in whatever state they are by now.
FINISH_POSTGRES = text(
    f"{_WITH_BATCH} DELETE FROM outbox_entry AS e USING b WHERE {_IS_IN_BATCH} AND e.lease_no = b.lease_no"
    " RETURNING e.id, e.lease_no"
)
FINISH_SQLITE = _sqlite(f"DELETE FROM outbox_entry WHERE {_IN_BATCH} RETURNING id, lease_no", id=_UUID)

# Put entries back (or hold them) with a new due time and what has been burnt, if the fence held; the mark is gone.
PUT_BACK_POSTGRES = _postgres(f"""
WITH b AS MATERIALIZED (
  SELECT * FROM json_to_recordset(CAST(:batch AS json))
  AS b(id uuid, lease_no int, state text, due_at timestamptz, delay float8, attempts int, faults int, fault text))
UPDATE outbox_entry AS e
SET state = b.state, leased_by = NULL, marked_at = NULL, attempts = b.attempts, faults = b.faults, fault = b.fault,
    due_at = coalesce(b.due_at, {_NOW} + make_interval(secs => b.delay))
FROM b WHERE {_IS_IN_BATCH} AND e.lease_no = b.lease_no RETURNING e.id, e.lease_no
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
    id=_UUID,
)

# The work is known to be done: the entry goes whoever claimed it since, unless its present holder has its own mark.
_UNMARKED = "AND NOT (state = 'leased' AND marked_at IS NOT NULL)"
PROVE_POSTGRES = text(f"{_WITH_BATCH} DELETE FROM outbox_entry AS e USING b WHERE {_IS_IN_BATCH} {_UNMARKED}")
PROVE_SQLITE = text(f"DELETE FROM outbox_entry WHERE id IN (SELECT value ->> 'id' FROM json_each(:batch)) {_UNMARKED}")

# 4. Rescue ------------------------------------------------------------------------------------------------------------

# Whose leases are meant: overrun ones (a mark prolongs its own), those of one holder, or all there are.
_OVERRUN = "due_at <= {now} AND (marked_at IS NULL OR marked_at <= {begun})"
_WHOSE = {"overrun": _OVERRUN, "holder": "leased_by = :holder", "all": "1 = 1"}

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
    whose: _postgres(_LOST.format(claimed=_CLAIMED, whose=which.format(now=_NOW, begun=_BEGUN), lock=_SKIP))
    for whose, which in _WHOSE.items()
}
RESCUE_POSTGRES = {
    whose: _postgres(_RESCUE.format(due=_DUE_POSTGRES, whose=which.format(now=_NOW, begun=_BEGUN), lock=_SKIP))
    for whose, which in _WHOSE.items()
}
LOST_SQLITE = {
    whose: _sqlite(
        _LOST.format(claimed=_CLAIMED, whose=which.format(now=":now", begun=":begun"), lock=""),
        **_CLAIMED_TYPES,
        marked_at=_TIME,
    )
    for whose, which in _WHOSE.items()
}
RESCUE_SQLITE = {
    whose: text(_RESCUE.format(due=_DUE_SQLITE, whose=which.format(now=":now", begun=":begun"), lock=""))
    for whose, which in _WHOSE.items()
}

# Whether there is anything to rescue or to ripen: one look, because mostly there is not.
_OVERDUE = f"""
SELECT EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'leased' AND kind = :kind AND {_OVERRUN}) AS overrun,
       EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'held' AND due_at <= {{now}}) AS ripe
"""
OVERDUE_POSTGRES = _postgres(_OVERDUE.format(now=_NOW, begun=_BEGUN))
OVERDUE_SQLITE = text(_OVERDUE.format(now=":now", begun=":begun"))

# What was held for a person until the notification expired is ready to be closed.
_RIPEN = "UPDATE outbox_entry SET state = 'ready' WHERE state = 'held' AND due_at <= {now} RETURNING id"
RELEASE_HOLDS_POSTGRES, RELEASE_HOLDS_SQLITE = _postgres(_RIPEN.format(now=_NOW)), text(_RIPEN.format(now=":now"))


def build_release(condition: str, *, sqlite: bool) -> TextClause:
    """Claims of a service that are taken from their holders before a body was permitted; locked in one order."""
    return (text if sqlite else _postgres)(f"""
UPDATE outbox_entry SET state = 'ready', leased_by = NULL, due_at = {":now" if sqlite else _NOW}
WHERE marked_at IS NULL AND id IN (
  SELECT e.id FROM outbox_entry AS e WHERE e.state = 'leased' AND e.kind = :kind AND e.service_id = :service
    AND {condition} ORDER BY e.id{"" if sqlite else " FOR UPDATE OF e"})
""")


# 5. Withdraw, look ----------------------------------------------------------------------------------------------------

# Whoever takes work back waits for those who are settling it, and sees how it stands then.
_OF_SUBJECTS = "attempts >= 0 AND service_id = :service AND subject_id"  # as its index says
LOCK_POSTGRES = text(
    f"SELECT id FROM outbox_entry WHERE {_OF_SUBJECTS} = ANY(CAST(:subjects AS uuid[])) ORDER BY id FOR UPDATE"
).bindparams(bindparam("service", type_=_UUID))
# A person or caller takes the work back, while no body of it may have begun.
_WITHDRAW = f"DELETE FROM outbox_entry WHERE {_OF_SUBJECTS} {{among}} AND marked_at IS NULL RETURNING subject_id"
WITHDRAW_POSTGRES, WITHDRAW_SQLITE = (
    _sqlite(_WITHDRAW.format(among=among), subject_id=_UUID).bindparams(bindparam("service", type_=_UUID))
    for among in ("= ANY(CAST(:subjects AS uuid[]))", "IN (SELECT value FROM json_each(:subjects))")
)
COUNT_OF_SUBJECT = text(f"SELECT count(*) FROM outbox_entry WHERE {_OF_SUBJECTS} = :subject").bindparams(
    bindparam("service", type_=_UUID), bindparam("subject", type_=_UUID)
)

# The number of entries of each state.
COUNT_BY_STATE = text("SELECT state, count(*) AS depth FROM outbox_entry GROUP BY state")

# From service to service: how much of which priority is due, counted up to a bound.
WAITING_POSTGRES = _postgres(backlog_sql.waiting(_OPEN, _NOW)).bindparams(bindparam("most", type_=Integer))
WAITING_SQLITE = _sqlite(backlog_sql.waiting(_OPEN, ":now"), service_id=_UUID)

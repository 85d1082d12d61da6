"""Queue SQL in trip order: enqueue, mark, settle, rescue, withdraw, count; `claim_sql` has the claim.

Where the two databases differ, both texts stand together. Every write after a claim carries the fence (`id`,
`lease_no`). `notifier.outbox.entry_store` runs the statements.
"""

from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.types import TypeEngine

from notifier.db.dialect import DialectStatement, build_statement
from notifier.db.table_base import UtcDateTime
from notifier.db.tables import OutboxEntry, get_columns
from notifier.states import Priority

PRIORITIES_BY_RANK = (Priority.HIGH, Priority.NORMAL, Priority.BULK)
SUSPECT_LOSSES = 2
"""An entry with this many losses is claimed alone, because it may be what kills its senders."""
UUID_TYPE: TypeEngine[Any] = get_columns(OutboxEntry).id.type
TIME_TYPE = UtcDateTime()
CLAIMED_TYPES: dict[str, TypeEngine[Any]] = {
    "id": UUID_TYPE,
    "subject_id": UUID_TYPE,
    "service_id": UUID_TYPE,
    "due_at": TIME_TYPE,
}
BODY_LEASE = timedelta(minutes=20)  # counted from the mark
NOW = "coalesce(:now, now())"
_BEGUN = f"{NOW} - make_interval(secs => {BODY_LEASE.total_seconds():.0f})"
CLAIMED_COLUMNS = "id, lease_no, subject_id, service_id, priority, due_at, attempts, lost, faults, fault"
# The array makes the planner look entries up by id, whatever it believes about their number.
_WITH_BATCH = (
    "WITH b AS MATERIALIZED (SELECT * FROM json_to_recordset(CAST(:batch AS json)) AS b(id uuid, lease_no int))"
)
_IS_IN_BATCH = "e.id = b.id AND e.id = ANY(ARRAY(SELECT b.id FROM b))"
_IN_BATCH = "(id, lease_no) IN (SELECT value ->> 'id', value ->> 'lease_no' FROM json_each(:batch))"


# 1. Enqueue -----------------------------------------------------------------------------------------------------------


def build_enqueue_sql(source: str) -> str:
    """Build the INSERT, for both databases, of the entries in the CTE `source`, which has their columns."""
    return f"""INSERT INTO outbox_entry
  (id, kind, subject_id, service_id, priority, due_at, state, lease_no, attempts, lost, faults)
SELECT id, kind, subject_id, service_id, priority, due_at, 'ready', 0, 0, 0, 0 FROM {source}"""


# 2. Mark --------------------------------------------------------------------------------------------------------------


@cache
def build_mark(still_wanted: str) -> DialectStatement:
    """Build the statement that permits bodies: only for the present holder, during its lease, of mail still wanted.

    It prolongs the lease, yet not in `due_at`: no index contains the mark. `wanted` is the handler's condition.
    """
    # State and time fit no index as written: under an old snapshot the index of leases is full of dead rows.
    return build_statement(
        f"""
{_WITH_BATCH}
UPDATE outbox_entry AS e SET marked_at = {NOW}
FROM b
WHERE {_IS_IN_BATCH} AND e.lease_no = b.lease_no AND e.state || '' = 'leased' AND e.leased_by = :holder
  AND {NOW} - e.due_at < interval '0' AND {still_wanted.format(now=NOW)}
RETURNING e.id, e.lease_no
""",
        f"""
UPDATE outbox_entry AS e SET marked_at = :now
WHERE {_IN_BATCH} AND state = 'leased' AND leased_by = :holder AND due_at > :now AND {still_wanted.format(now=":now")}
RETURNING id, lease_no
""",
        columns={"id": UUID_TYPE},
    )


# Lock an entry whose fence holds, under any state: work that is committed before it is settled locks it first.
_LOCK_CLAIM = "SELECT id FROM outbox_entry WHERE id = :id AND lease_no = :lease_no"
LOCK_CLAIM = build_statement(f"{_LOCK_CLAIM} FOR UPDATE", _LOCK_CLAIM, parameters={"id": UUID_TYPE})

# Part of the work of an entry was committed: what killed its earlier holders was not this entry.
_CLEAR_LOSSES = "UPDATE outbox_entry SET lost = 0 WHERE id = :id AND lease_no = :lease_no"
CLEAR_LOSSES = build_statement(_CLEAR_LOSSES, _CLEAR_LOSSES, parameters={"id": UUID_TYPE})


# 3. Settle ------------------------------------------------------------------------------------------------------------

# Delete finished entries whose fence held, whatever their state is by now.
FINISH = build_statement(
    f"{_WITH_BATCH} DELETE FROM outbox_entry AS e USING b WHERE {_IS_IN_BATCH} AND e.lease_no = b.lease_no"
    " RETURNING e.id, e.lease_no",
    f"DELETE FROM outbox_entry WHERE {_IN_BATCH} RETURNING id, lease_no",
    columns={"id": UUID_TYPE},
)

# Put entries back (or hold them) with a new due time and counters, if the fence held; the mark is removed.
PUT_BACK = build_statement(
    f"""
WITH b AS MATERIALIZED (
  SELECT * FROM json_to_recordset(CAST(:batch AS json))
  AS b(id uuid, lease_no int, state text, due_at timestamptz, delay float8, attempts int, faults int, fault text))
UPDATE outbox_entry AS e
SET state = b.state, leased_by = NULL, marked_at = NULL, attempts = b.attempts, faults = b.faults, fault = b.fault,
    due_at = coalesce(b.due_at, {NOW} + make_interval(secs => b.delay))
FROM b WHERE {_IS_IN_BATCH} AND e.lease_no = b.lease_no RETURNING e.id, e.lease_no
""",
    """
UPDATE outbox_entry
SET state = b.state, leased_by = NULL, marked_at = NULL, attempts = b.attempts, faults = b.faults, fault = b.fault,
    due_at = b.due_at
FROM (SELECT value ->> 'id' AS id, value ->> 'lease_no' AS lease_no, value ->> 'state' AS state,
             value ->> 'due_at' AS due_at, value ->> 'attempts' AS attempts, value ->> 'faults' AS faults,
             value ->> 'fault' AS fault FROM json_each(:batch)) AS b
WHERE outbox_entry.id = b.id AND outbox_entry.lease_no = b.lease_no RETURNING outbox_entry.id, outbox_entry.lease_no
""",
    columns={"id": UUID_TYPE},
)

# The work is proven to be done: delete the entry under any lease, unless its present holder has marked it.
_UNMARKED = "AND NOT (state = 'leased' AND marked_at IS NOT NULL)"
DELETE_PROVEN = build_statement(
    f"{_WITH_BATCH} DELETE FROM outbox_entry AS e USING b WHERE {_IS_IN_BATCH} {_UNMARKED}",
    f"DELETE FROM outbox_entry WHERE id IN (SELECT value ->> 'id' FROM json_each(:batch)) {_UNMARKED}",
)

# 4. Rescue ------------------------------------------------------------------------------------------------------------

# The selected leases: expired ones (a mark prolongs its own), those of one holder, or all.
_EXPIRED = "due_at <= {now} AND (marked_at IS NULL OR marked_at <= {begun})"
_SELECTED = {"overrun": _EXPIRED, "holder": "leased_by = :holder", "all": "1 = 1"}
_ON_POSTGRES = {"now": NOW, "begun": _BEGUN}
_ON_SQLITE = {"now": ":now", "begun": ":begun"}
_SKIP = "FOR UPDATE SKIP LOCKED"

# Lost claims about which the handler must decide: a body may have begun, or they were lost too often.
_LOST = """
SELECT {claimed}, marked_at FROM outbox_entry
WHERE state = 'leased' AND kind = :kind AND {whose} AND (marked_at IS NOT NULL OR lost >= :most)
ORDER BY id LIMIT :limit {lock}
"""
LOST = {
    name: build_statement(
        _LOST.format(claimed=CLAIMED_COLUMNS, whose=condition.format(**_ON_POSTGRES), lock=_SKIP),
        _LOST.format(claimed=CLAIMED_COLUMNS, whose=condition.format(**_ON_SQLITE), lock=""),
        columns=CLAIMED_TYPES | {"marked_at": TIME_TYPE},
    )
    for name, condition in _SELECTED.items()
}

# The other lost claims become ready again; the fence stays, so that a late settle still counts. On PostgreSQL the ids
# are collected in an array: for a planner that thinks that the queue is empty, the claims would otherwise be looked for
# anew for each entry of the queue.
_RESCUE = """
UPDATE outbox_entry SET state = 'ready', leased_by = NULL, lost = lost + 1, due_at = {due}
WHERE id {among}(SELECT id FROM outbox_entry WHERE state = 'leased' AND kind = :kind AND {whose}
             AND marked_at IS NULL AND lost < :most ORDER BY due_at LIMIT 1000 {lock}){end}
RETURNING id
"""
# An entry that was lost while it ran alone waits, so that a host that kills whatever runs on it condemns no entry.
_DUE_POSTGRES = f"{NOW} + make_interval(secs => CASE lost WHEN 2 THEN 10 WHEN 3 THEN 60 ELSE 0 END)"
_DUE_SQLITE = "CASE lost WHEN 2 THEN :soon WHEN 3 THEN :later ELSE :now END"
RESCUE = {
    name: build_statement(
        _RESCUE.format(
            due=_DUE_POSTGRES, among="= ANY(ARRAY", whose=condition.format(**_ON_POSTGRES), lock=_SKIP, end=")"
        ),
        _RESCUE.format(due=_DUE_SQLITE, among="IN ", whose=condition.format(**_ON_SQLITE), lock="", end=""),
    )
    for name, condition in _SELECTED.items()
}

# The kinds with an expired lease to rescue or an expired hold to release; mostly there are none.
_OVERDUE = f"""
SELECT kind, state FROM outbox_entry WHERE state = 'leased' AND {_EXPIRED}
UNION SELECT kind, state FROM outbox_entry WHERE state = 'held' AND due_at <= {{now}}
"""
OVERDUE = build_statement(_OVERDUE.format(**_ON_POSTGRES), _OVERDUE.format(**_ON_SQLITE))

# Entries that were held for a person until the notification expired are ready to be closed.
_RELEASE_HOLDS = "UPDATE outbox_entry SET state = 'ready' WHERE state = 'held' AND due_at <= {now} RETURNING id"
RELEASE_HOLDS = build_statement(_RELEASE_HOLDS.format(now=NOW), _RELEASE_HOLDS.format(now=":now"))


def build_release(condition: str) -> DialectStatement:
    """Build the statement that releases unmarked claims of a service, in id order; `condition` is SQL on `e`.

    It waits for a mark that is being written, and collects the ids like a rescue.
    """
    claims = f"""SELECT e.id FROM outbox_entry AS e
  WHERE e.state = 'leased' AND e.marked_at IS NULL AND e.kind = :kind AND e.service_id = :service AND {condition}"""
    release = "UPDATE outbox_entry SET state = 'ready', leased_by = NULL, due_at = {now} WHERE marked_at IS NULL"
    return build_statement(
        f"{release.format(now=NOW)} AND id = ANY(ARRAY({claims} ORDER BY e.id FOR UPDATE OF e))",
        f"{release.format(now=':now')} AND id IN ({claims})",
    )


def build_restored_mark(due: str) -> DialectStatement:
    """Build what gives restored entries, as if marked, to a dead sender, with a fence that no old journal names."""
    mark = f"""UPDATE outbox_entry AS e SET state = 'leased', leased_by = :holder, lease_no = lease_no + 1000000,
  due_at = {{now}}, marked_at = {{begun}} WHERE kind = :kind AND state IN ('ready', 'leased') AND {due} RETURNING id"""
    return build_statement(mark.format(**_ON_POSTGRES), mark.format(**_ON_SQLITE), parameters={"holder": UUID_TYPE})


# 5. Withdraw, count ---------------------------------------------------------------------------------------------------

# Lock the entries of subjects: a transaction that withdraws work waits for settlements, and sees their result.
_OF_SUBJECTS = "attempts >= 0 AND service_id = :service AND subject_id"  # the condition of the index
LOCK_POSTGRES = text(
    f"SELECT id FROM outbox_entry WHERE {_OF_SUBJECTS} = ANY(CAST(:subjects AS uuid[])) ORDER BY id FOR UPDATE"
).bindparams(bindparam("service", type_=UUID_TYPE))

# A person or caller withdraws the work while no body of it may have begun.
_WITHDRAW = f"DELETE FROM outbox_entry WHERE {_OF_SUBJECTS} {{among}} AND marked_at IS NULL RETURNING subject_id"
WITHDRAW = build_statement(
    _WITHDRAW.format(among="= ANY(CAST(:subjects AS uuid[]))"),
    _WITHDRAW.format(among="IN (SELECT value FROM json_each(:subjects))"),
    parameters={"service": UUID_TYPE},
    columns={"subject_id": UUID_TYPE},
)
COUNT_OF_SUBJECT = text(f"SELECT count(*) FROM outbox_entry WHERE {_OF_SUBJECTS} = :subject").bindparams(
    bindparam("service", type_=UUID_TYPE), bindparam("subject", type_=UUID_TYPE)
)


# The entries of one kind, up to `most`: those that are held, and those that are due later.
def _build_outlook(condition: str, now: str) -> str:
    return f"""
SELECT count(*) AS counted, count(*) FILTER (WHERE state = 'held') AS held,
  count(*) FILTER (WHERE state = 'ready' AND due_at > {now}) AS later
FROM (SELECT state, due_at FROM outbox_entry WHERE kind = :kind AND attempts >= 0 {condition} LIMIT :most) AS e"""


OUTLOOK = build_statement(_build_outlook("", NOW), _build_outlook("", ":now"))
OUTLOOK_OF_SERVICE = build_statement(
    *(_build_outlook("AND service_id = :service", now) for now in (NOW, ":now")), parameters={"service": UUID_TYPE}
)

# The number of entries in each state, each counted up to a limit: a queue of millions must not slow down a scrape.
_COUNTED = "(SELECT count(*) FROM (SELECT 1 FROM outbox_entry WHERE {condition} LIMIT :most) AS c)"
COUNT_BY_STATE = text(
    " UNION ALL ".join(
        f"SELECT '{state}' AS state, {_COUNTED.format(condition=condition)} AS depth"
        for state, condition in (
            ("ready", "state = 'ready' AND lost < 2"),  # the conditions of the indexes
            ("ready", "state = 'ready' AND lost >= 2"),
            ("leased", "state = 'leased'"),
            ("held", "state = 'held'"),
        )
    )
)


def build_subject_condition(row: str) -> str:
    """Build the SQL condition that an entry is about the row with this alias, which has `id` and `service_id`.

    It is a scalar subquery, because PostgreSQL may read the whole queue for an EXISTS.
    """
    about = f"e.attempts >= 0 AND e.service_id = {row}.service_id AND e.subject_id = {row}.id"
    return f"(SELECT e.id FROM outbox_entry AS e WHERE {about} LIMIT 1) IS NOT NULL"


def build_subject_count(condition: str) -> DialectStatement:
    """Build the count of a service's entries of a kind with subjects from :first on; `condition` is SQL on `e`."""
    query = f"""SELECT count(*) AS number FROM outbox_entry AS e
WHERE e.attempts >= 0 AND e.service_id = :service AND e.subject_id >= :first AND e.kind = :kind AND {condition}"""
    return build_statement(query, query, parameters={"service": UUID_TYPE, "first": UUID_TYPE, "batch": UUID_TYPE})


def build_postponed_selection(condition: str) -> DialectStatement:
    """Build the query of the next entries with subjects after :after, in their order; `condition` is SQL on `e`."""
    query = f"""SELECT e.id, e.subject_id FROM outbox_entry AS e
WHERE e.attempts >= 0 AND e.service_id = :service AND e.subject_id > :after AND e.kind = :kind AND {condition}
ORDER BY e.subject_id LIMIT :limit"""
    return build_statement(
        query,
        query,
        parameters={"service": UUID_TYPE, "after": UUID_TYPE, "batch": UUID_TYPE},
        columns={"id": UUID_TYPE, "subject_id": UUID_TYPE},
    )


# Entries that were put off while their batch was paused are due again at the time of their row; with `every` all that
# have not been tried. The fence stays, as after a rescue.
_RESUMED = "e.state = 'ready' AND (e.fault = :fault OR (:every = 1 AND e.attempts = 0))"
RESUME = build_statement(
    f"""
WITH r AS MATERIALIZED (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(id uuid, due_at timestamptz))
UPDATE outbox_entry AS e SET due_at = r.due_at, fault = NULL FROM r
WHERE e.id = r.id AND e.id = ANY(ARRAY(SELECT r.id FROM r)) AND {_RESUMED}
""",
    f"""
UPDATE outbox_entry AS e SET due_at = r.due_at, fault = NULL
FROM (SELECT value ->> 'id' AS id, value ->> 'due_at' AS due_at FROM json_each(:rows)) AS r
WHERE e.id = r.id AND {_RESUMED}
""",
)

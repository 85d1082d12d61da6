"""The queue's looks from service to service, which cost the number of services and never the length of the queue.

Texts only, the same on both databases; `notifier.outbox.queue_sql` makes statements of them.
"""


def _walk(claimable: str) -> str:
    """CTEs: each service that has entries of a priority, due or not."""
    here = f"FROM outbox_entry AS e WHERE {claimable} AND e.kind = :kind AND e.priority ="
    return f"""
  every(priority) AS (SELECT 'high' UNION ALL SELECT 'normal' UNION ALL SELECT 'bulk'),
  walk(priority, service_id) AS (
    SELECT every.priority, (SELECT e.service_id {here} every.priority ORDER BY e.service_id LIMIT 1) FROM every
    UNION ALL
    SELECT walk.priority, (
      SELECT e.service_id {here} walk.priority AND e.service_id > walk.service_id ORDER BY e.service_id LIMIT 1)
    FROM walk WHERE walk.service_id IS NOT NULL)"""


def since(claimable: str, now: str) -> str:
    """Who has due work of which priority, and since when."""
    return f"""
WITH RECURSIVE {_walk(claimable)},
  oldest AS (
    SELECT walk.priority, walk.service_id, (
      SELECT e.due_at FROM outbox_entry AS e WHERE {claimable} AND e.kind = :kind AND e.priority = walk.priority
        AND e.service_id = walk.service_id ORDER BY e.due_at LIMIT 1) AS due_at
    FROM walk WHERE walk.service_id IS NOT NULL)
SELECT priority, service_id, due_at FROM oldest WHERE due_at <= {now}
"""


def waiting(claimable: str, now: str) -> str:
    """The same with how much of it there is, counted up to `:most` for each: this one costs what it counts."""
    return f"""
WITH RECURSIVE {_walk(claimable)}
SELECT walk.priority, walk.service_id, (
  SELECT count(*) FROM (
    SELECT 1 FROM outbox_entry AS e WHERE {claimable} AND e.kind = :kind AND e.priority = walk.priority
      AND e.service_id = walk.service_id AND e.due_at <= {now} LIMIT :most) AS due) AS waiting
FROM walk WHERE walk.service_id IS NOT NULL
"""

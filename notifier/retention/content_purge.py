"""Erases the content of notifications that ended long enough ago, and before that their secret variables.

It walks the rows of contents, so what was erased costs nothing later. A content is shared by a notification and its
copies, and is kept as long as one of them needs it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import build_statement
from notifier.db.tables import NotificationContent, TemplateVersion, get_columns
from notifier.retention import family_store
from notifier.retention.family_store import NO_DAYS, Family, ServiceDays
from notifier.retention.id_statements import UUID_TYPE, delete_rows
from notifier.retention.purge_step import PurgePhase, PurgeProgress, PurgeStep, read_page
from notifier.template_language.secret_erasure import SecretErasure

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of content that one step erases, unless a single one has more."""
MAX_CACHED_VERSIONS = 10_000
_content, _version = get_columns(NotificationContent), get_columns(TemplateVersion)
_PAGE = """SELECT notification_id AS id, secrets_erased, {size} AS size FROM notification_content
WHERE notification_id > :after AND notification_id < :until ORDER BY notification_id LIMIT :limit"""
_CONTENTS = build_statement(
    # The sizes as they are stored: large values are not read.
    _PAGE.format(size="pg_column_size(variables) + coalesce(pg_column_size(content), 0)"),
    _PAGE.format(size="length(variables) + coalesce(length(content), 0)"),
    parameters={"after": UUID_TYPE, "until": UUID_TYPE},
    columns={"id": UUID_TYPE},
)
_MASK = (
    update(NotificationContent)
    .where(_content.notification_id == bindparam("id", type_=UUID_TYPE))
    .values(variables=bindparam("masked", type_=_content.variables.type), secrets_erased=True)
)


class VersionRules:
    """What template versions say about their mails, cached because a version never changes."""

    def __init__(self) -> None:
        self._rules: dict[UUID, tuple[int | None, SecretErasure | None]] = {}

    async def load(self, connection: AsyncConnection, families: Sequence[Family]) -> None:
        """Load what is not known yet."""
        ids = {family.template_version_id for family in families if family.template_version_id is not None}
        if not (missing := ids - self._rules.keys()):
            return
        if len(self._rules) > MAX_CACHED_VERSIONS:
            self._rules.clear()
            missing = ids
        secret = _version.source["settings"]["secret"].label("secret")
        query = select(_version.id, _version.keep_content_days, secret, _version.source["sample"].label("sample"))
        for row in await connection.execute(query.where(_version.id.in_(sorted(missing)))):
            erasure = SecretErasure(paths=tuple(row.secret), sample=row.sample or {}) if row.secret else None
            self._rules[row.id] = row.keep_content_days, erasure

    def get_days(self, family: Family) -> int | None:
        """Get the days for which the template keeps content; None: as the service says."""
        return self._get(family)[0]

    def get_erasure(self, family: Family) -> SecretErasure | None:
        """Get what is secret in the mails of the template; None: nothing."""
        return self._get(family)[1]

    def _get(self, family: Family) -> tuple[int | None, SecretErasure | None]:
        version = family.template_version_id
        return self._rules.get(version, (None, None)) if version is not None else (None, None)


class _Deadlines:
    """Which families are due at the time of a step."""

    def __init__(self, step: PurgeStep, rules: VersionRules, days: Mapping[UUID, ServiceDays]) -> None:
        self._step = step
        self._rules = rules
        self._days = days

    def is_content_due(self, family: Family) -> bool:
        """Whether the content is to be erased."""
        of_service = self._days.get(family.service_id, NO_DAYS).content
        end = self._step.policy.compute_content_end(family.members, of_service, self._rules.get_days(family))
        return end is not None and end <= self._step.now

    def are_secrets_due(self, family: Family) -> bool:
        """Whether the secret variables are to be erased, if there are some."""
        end = self._step.policy.compute_secret_end(family.members) if self._rules.get_erasure(family) else None
        return end is not None and end <= self._step.now


class ContentPurge(PurgePhase):
    """Erases contents and secret variables."""

    name = "contents"

    def __init__(self) -> None:
        self._rules = VersionRules()

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Erase what is due among the next contents."""
        page = await read_page(connection, _CONTENTS, step, step.get_last_id(timedelta(0)))
        families = await family_store.load_families(connection, [row["id"] for row in page])
        await self._rules.load(connection, list(families.values()))
        deadlines = _Deadlines(step, self._rules, await family_store.load_service_days(connection))
        due = {
            row["id"]
            for row in page
            if deadlines.is_content_due(families[row["id"]])
            or (not row["secrets_erased"] and deadlines.are_secrets_due(families[row["id"]]))
        }
        sizes = [row["size"] if row["id"] in due else 0 for row in page]
        rows = page[: max(_count_within(MAX_BYTES, sizes), 1)]
        chosen = [families[row["id"]] for row in rows if row["id"] in due]
        locked = list((await family_store.lock_families(connection, chosen)).values()) if chosen else []
        over = [family for family in locked if deadlines.is_content_due(family)]
        exposed = [
            family for family in locked if not deadlines.is_content_due(family) and deadlines.are_secrets_due(family)
        ]
        counts = {
            "contents": await delete_rows(
                connection, "notification_content", [family.id for family in over], column="notification_id"
            ),
            "secrets": await self._mask(connection, exposed),
        }
        is_last = len(page) < step.limit and len(rows) == len(page)
        return PurgeProgress(after=None if is_last else rows[-1]["id"].hex, counts=counts)

    async def _mask(self, connection: AsyncConnection, families: Sequence[Family]) -> int:
        """Replace the secret variables of these contents; return how many contents."""
        if not families:
            return 0
        stored = select(_content.notification_id, _content.variables).where(
            _content.notification_id.in_([family.id for family in families])
        )
        variables = {row.notification_id: row.variables for row in await connection.execute(stored)}
        rows = []
        for family in families:
            erasure = self._rules.get_erasure(family)
            if erasure is not None and family.id in variables:
                rows.append({"id": family.id, "masked": erasure.apply(variables[family.id])})
        if rows:
            await connection.execute(_MASK, rows)
        return len(rows)


def _count_within(most: int, sizes: Sequence[int]) -> int:
    """Count the first of these that have at most this size together."""
    return sum(total <= most for total in accumulate(sizes))

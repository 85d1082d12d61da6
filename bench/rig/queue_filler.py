"""Fills queues: through the API's own submission, or by copying rows."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import islice
from typing import TYPE_CHECKING, Any

import asyncpg

from bench.rig.installation import Installation, read_sample
from notifier.api.notifications import submission_models
from notifier.outbox.wakeup import DEBOUNCE_SECONDS
from notifier.runtime import wiring
from notifier.settings import Settings
from notifier.smtp_settings import SmtpSettings

if TYPE_CHECKING:
    from notifier.api.dependencies import ApiDependencies

LOADERS = 200
CHUNK = 200_000
# The id sorts by number and is unique for a family. Rows of different tables that belong together share it.
_ID = "(lpad(to_hex({family}), 8, '0') || '00007000' || '8000' || lpad(to_hex({number}), 12, '0'))::uuid"


async def fill_queue(installation: Installation, template: str, mails: int) -> None:
    """Submit through the API's own parts (checks, writer, shared commit), without HTTP in between."""
    settings = Settings(database_url=installation.url, smtp=SmtpSettings(port=1))
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(wiring.open_process_parts(settings))
        dependencies: ApiDependencies = wiring.build_api(parts).state.dependencies
        caller = await dependencies.authenticator.authenticate_service(f"Bearer {installation.key}")
        numbers = iter(range(mails))

        async def submit_the_rest() -> None:
            for number in numbers:
                body = {"to": f"user{number:08}@example.com", "template": template}
                parsed, faults = submission_models.parse_notification(
                    body | {"variables": build_variables(template, number)}
                )
                await dependencies.submitter.submit(caller, parsed, None, parse_faults=faults)

        await asyncio.gather(*(submit_the_rest() for _ in islice(range(LOADERS), mails)))
        # The last wake-up is sent after the last commit; after this block it would open a connection that stays open.
        await asyncio.sleep(10 * DEBOUNCE_SECONDS)


def build_variables(template: str, number: int) -> Mapping[str, Any]:
    """Return the template's sample with another order number for each mail, so that no two mails are the same."""
    values = read_sample(template)
    if "order" not in values:
        return values
    return {**values, "order": {**values["order"], "number": f"FG-{number:08}"}}


def build_row_id(family: int, number: int) -> str:
    """Return the id that `Copies` gives to a row, as SQL writes it."""
    return f"{family:08x}-0000-7000-8000-{number:012x}"


class RowCopier:
    """Copies a row of a table many times, with ids that are numbered within a family."""

    def __init__(self, connection: asyncpg.Connection, columns: Mapping[str, list[str]]) -> None:
        self._connection = connection
        self._columns = columns

    @classmethod
    async def of(cls, connection: asyncpg.Connection) -> "RowCopier":
        """Read the table's columns, so that new columns are copied, too."""
        rows = await connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        )
        columns: dict[str, list[str]] = {}
        for table, column in rows:
            columns.setdefault(table, []).append(column)
        # Copied rows are valid, and checking fifteen million foreign keys would take minutes.
        await connection.execute("SET session_replication_role = replica")
        return cls(connection, columns)

    async def insert(self, table: str, like: str, family: int, numbers: range, **changed: str) -> None:
        """Insert copies of the row with this id; `changed` has SQL expressions, in which `{n}` is the number."""
        names = self._columns[table]
        for first in range(numbers.start, numbers.stop, CHUNK):
            last = min(first + CHUNK, numbers.stop) - 1
            values = {name: f"p.{name}" for name in names} | changed
            chosen = ", ".join(values[name].format(n="n", id=_ID.format(family=family, number="n")) for name in names)
            key = "notification_id" if table == "notification_content" else "id"
            await self._connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {chosen}"
                f" FROM {table} AS p, generate_series({first}::int8, {last}) AS n WHERE p.{key} = '{like}'"
            )

"""`cc` and `bcc` in a spreadsheet: a row is one mail with a copy for each address of these cells."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select
from support.merge_story import HEADINGS, check_file, start_merge, wait_for_state
from support.polling import poll_until
from support.scripted_relay import ScriptedRelay

from notifier.db.tables import Notification, get_columns
from notifier.ids import generate_id
from notifier.merge import merge_store
from notifier.merge.merge_files import FilePlace, MergeFiles
from notifier.merge.merge_pace import WRITTEN_MAILS
from notifier.merge.row_request import build_mapping
from notifier.runtime import wiring

pytestmark = pytest.mark.usefixtures("sender")
_notification = get_columns(Notification)
COPIED = (*HEADINGS, "CC", "Bcc")
ROW = ("Ada", "Larkspur")


def _build_csv(*rows: tuple[str, ...]) -> bytes:
    """Build a CSV file whose cells may have commas."""
    return "".join(";".join(f'"{cell}"' for cell in row) + "\n" for row in (COPIED, *rows)).encode()


async def test_a_row_is_one_mail_and_a_copy_for_each_address(client: httpx2.AsyncClient, relay: ScriptedRelay) -> None:
    """Addresses are divided by commas or semicolons; copies count apart, and nobody sees the bcc."""
    rows = [
        ("ada@example.com", *ROW, "bob@example.com; carol@example.com;", "dan@example.com"),
        ("eve@example.com", *ROW, "", "dan@example.com, bob@example.com"),
        ("fay@example.com", *ROW, "", ""),
    ]
    path, merge = await check_file(client, _build_csv(*rows))
    assert [column["field"] for column in merge["columns"]] == ["to", "name", "product", "cc", "bcc"]
    assert (merge["rows"], merge["valid"], merge["copies"]) == (3, 3, 5)
    await start_merge(client, path)
    ended = await wait_for_state(client, path, "finished")
    assert ended["submitted"] == {"size": 3, "written": 3, "left_out": 0, "statuses": {"sent": 3}}
    recipients = [mail.recipient for mail in relay.received]
    names = [name.partition("@")[0] for name in recipients]
    assert sorted(names) == ["ada", "bob", "bob", "carol", "dan", "dan", "eve", "fay"]
    (first,) = [mail for mail in relay.received if mail.recipient == "ada@example.com"]
    assert first.message["Cc"] == "bob@example.com, carol@example.com"
    assert b"dan@example.com" not in first.data
    batch = (await client.get(path.replace("merges", "batches"))).json()
    assert (batch["accepted"], batch["ended"], batch["progress"]) == (3, 3, 100)


async def test_faults_name_the_address_in_the_cell(client: httpx2.AsyncClient) -> None:
    """A wrong address, one that is named twice and too many of them are faults of their cells."""
    many = ",".join(f"copy{number}@example.com" for number in range(51))
    rows = [
        ("ada@example.com", *ROW, "bob@example.com; nobody", ""),
        ("ada@example.com", *ROW, "", "ADA@example.com"),
        ("ada@example.com", *ROW, many, ""),
    ]
    path, merge = await check_file(client, _build_csv(*rows))
    assert (merge["valid"], merge["faulty"], merge["copies"]) == (0, 3, 0)
    faults = [row["faults"] for row in (await client.get(f"{path}/faults")).json()["rows"]]
    assert [[(fault["column"], fault["code"]) for fault in row] for row in faults] == [
        [("CC", "invalid_address")],
        [("Bcc", "duplicate_recipient")],
        [("CC", "too_many")],
    ]
    assert faults[0][0]["detail"].startswith("nobody: ")
    assert faults[1][0]["detail"] == "ADA@example.com: this address gets the mail already"
    assert faults[2][0]["detail"] == "cc and bcc have at most 50 addresses together"


async def test_a_step_writes_a_limited_number_of_mails(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """Copies count in the limit of a step and in the pace; a row that does not fit comes with the next step."""
    copies = 49
    count = WRITTEN_MAILS // (copies + 1) * 2 + 3
    cell = ",".join(f"copy{number}@example.com" for number in range(copies))
    rows = [(f"ada{number}@example.com", *ROW, cell, "") for number in range(count)]
    path, merge = await check_file(client, _build_csv(*rows))
    assert (merge["valid"], merge["copies"]) == (count, count * copies)
    begin = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    await start_merge(client, path, send_at=begin.isoformat(), per_minute=60)

    async def get_written() -> Any:
        shown = (await client.get(path)).json()
        return shown if shown["submitted"]["written"] == count else None

    written = await poll_until(get_written)
    assert written["submitted"]["statuses"] == {"queued": count}
    own = (_notification.batch_id == UUID(path.rpartition("/")[2]), _notification.parent_id.is_(None))
    query = select(_notification.send_at, _notification.created_at).where(*own).order_by(_notification.id)
    async with parts.database.read() as connection:
        stored = (await connection.execute(query)).all()
    seconds = [(row.send_at - begin).total_seconds() for row in stored]
    assert seconds == [number * (copies + 1) for number in range(count)]
    steps = [row.created_at for row in stored]
    assert max(steps.count(step) for step in steps) == WRITTEN_MAILS // (copies + 1)


@pytest.mark.parametrize("has_statistics", [False, True])
async def test_rows_that_did_not_fit_come_next_and_once(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, *, has_statistics: bool
) -> None:
    """A file that stays open goes on behind the place that is asked for, also after steps of another process."""
    rows = [(f"ada{number}@example.com", *ROW, f"bob{number}@example.com", "") for number in range(9)]
    path, _ = await check_file(client, _build_csv(*rows))
    async with parts.database.read() as connection:
        merge = await merge_store.find_merge(connection, UUID(path.rpartition("/")[2]))
    assert merge is not None
    job_id, files = generate_id(), MergeFiles(parts.database)

    async def read_behind(row: int, mails: int) -> list[int]:
        place = FilePlace(row=row, seen=max(0, row - 1))
        file = await files.get_file(
            job_id,
            merge.id,
            lambda headings: build_mapping(headings, {}, merge),
            after=place,
            has_statistics=has_statistics,
        )
        return [each.number for each in await file.read_rows(mails)]

    assert await read_behind(0, 5) == [2, 3]
    assert await read_behind(3, 1) == [4]
    assert await read_behind(6, 5) == [7, 8]
    assert await read_behind(3, 100) == [4, 5, 6, 7, 8, 9, 10]
    assert await read_behind(10, 100) == []
    await files.close()

"""Who sees and changes a merge, and when it is deleted."""

from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import func, select
from support import merge_story
from support.seeded_installation import Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KINDS_BY_REACH, SERVICE_SCOPES
from notifier.auth.key_admin import NewKey
from notifier.db.tables import Merge, MergeChunk, MergeFault, MergeRecipient
from notifier.merge import merge_store
from notifier.runtime import wiring
from notifier.states import KeyKind

BEYOND = (404, "not_found")


async def _create_key(parts: wiring.ProcessParts, kind: KeyKind) -> str:
    async with parts.database.write() as connection:
        service = await service_admin.find_service(connection, "shop")
        wish = NewKey(kind=kind, scopes=SERVICE_SCOPES)
        return (await key_admin.insert_key(connection, service, wish, now=parts.clock.now()))[1]


@pytest.mark.parametrize("merge_kind", list(KeyKind))
async def test_a_key_changes_no_merge_beyond_its_reach(
    client: httpx2.AsyncClient, installation: Installation, parts: wiring.ProcessParts, merge_kind: KeyKind
) -> None:
    """A merge that a stronger key uploaded is not there; one within reach can be paused and cancelled."""
    data = merge_story.build_csv(merge_story.build_rows(1))
    async with installation.open_client(parts, await _create_key(parts, merge_kind)) as owner:
        path = await merge_story.upload_file(owner, data)
        assert (await owner.get(path)).json()["kind"] == merge_kind
    for kind in KINDS_BY_REACH:
        within = KINDS_BY_REACH.index(merge_kind) <= KINDS_BY_REACH.index(kind)
        async with installation.open_client(parts, await _create_key(parts, kind)) as caller:
            for act in ("start", "pause", "resume", "cancel"):
                reply = await caller.post(f"{path}/{act}")
                answer = (reply.status_code, reply.json().get("code", ""))
                assert (answer != BEYOND) == within, (act, kind, answer)


async def test_a_test_key_merges_without_mail(
    installation: Installation, parts: wiring.ProcessParts, sender: wiring.RunningSender
) -> None:
    """The rows of a test key are simulated; a team key reports whom it must not mail as faults."""
    data = merge_story.build_csv(merge_story.build_rows(3))
    async with installation.open_client(parts, await _create_key(parts, KeyKind.TEST)) as tester:
        path, _ = await merge_story.check_file(tester, data)
        await merge_story.start_merge(tester, path)
        ended = await merge_story.wait_for_state(tester, path, "finished")
    assert sum(ended["submitted"]["statuses"].values()) == 3
    async with installation.open_client(parts, await _create_key(parts, KeyKind.TEAM)) as team:
        path, merge = await merge_story.check_file(team, data)
        assert (merge["valid"], merge["faulty"]) == (0, 3)
        faults = (await team.get(f"{path}/faults")).json()["rows"]
    assert {fault["code"] for row in faults for fault in row["faults"]} == {"recipient_not_allowed"}


async def test_a_key_that_only_reads_sees_no_cells(
    client: httpx2.AsyncClient, installation: Installation, parts: wiring.ProcessParts, sender: wiring.RunningSender
) -> None:
    """The texts of a file are variables: a key without `notifications:send` sees the counts only."""
    path, merge = await merge_story.check_file(client, merge_story.build_csv(merge_story.build_rows(2)))
    assert merge["columns"][1]["statistics"]["least"] == "Ada 0"
    async with installation.open_client(parts, installation.keys.reader) as reader:
        seen = (await reader.get(path)).json()
        assert (await reader.get(f"{path}/faults")).status_code == 403
    assert (seen["valid"], {column["statistics"] for column in seen["columns"]}) == (2, {None})


async def test_retention_deletes_a_merge_in_steps(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, sender: wiring.RunningSender
) -> None:
    """An ended merge goes with its file, its addresses and its faults; one that is open stays."""
    rows = [("nobody", "Ada", "Larkspur"), ("ada@example.com", "Ada", "Larkspur")]
    ended, _ = await merge_story.check_file(client, merge_story.build_csv(rows))
    assert (await client.post(f"{ended}/cancel")).status_code == 200
    running, _ = await merge_story.check_file(client, merge_story.build_csv(rows))
    later = (parts.clock.now() + timedelta(hours=1)).isoformat()
    await merge_story.start_merge(client, running, on_error="skip_invalid", send_at=later)
    steps = 0
    async with parts.database.write() as connection:
        while await merge_store.purge_merge(connection, parts.clock.now() + timedelta(days=1)):
            steps += 1
            assert steps < 10
        counts = [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (Merge, MergeChunk, MergeFault, MergeRecipient)
        ]
    assert counts == [1, 1, 1, 1]
    assert (await client.get(ended)).status_code == 404

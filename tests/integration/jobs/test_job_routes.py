"""`/v1/jobs`: who sees which jobs, filters and pages, changes, and the stream of changes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from integration.api.refusal import outcome, problem
from integration.jobs.job_api import JobApi, open_job_api
from support.counting_action import CountingAction, Gate
from support.job_driver import JobDriver
from support.polling import poll_until, wait_until
from support.seeded_installation import Installation

from notifier.api.jobs import routes
from notifier.auth import key_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.ids import generate_id
from notifier.jobs.job_action import JobFailedError
from notifier.jobs.job_store import MAX_LOG_LINES
from notifier.runtime import wiring


@pytest.fixture
async def api(parts: wiring.ProcessParts, driver: JobDriver) -> AsyncIterator[JobApi]:
    """The API with a job that counts."""
    async with open_job_api(parts, driver) as opened:
        yield opened


@pytest.fixture
def _quick_streams() -> Iterator[None]:
    """Let streams look every few milliseconds."""
    before, routes.WATCH_SECONDS = routes.WATCH_SECONDS, 0.01
    yield
    routes.WATCH_SECONDS = before


async def _list(client: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    reply = await client.get("/v1/jobs", params=query)
    assert reply.status_code == 200, reply.text
    jobs: list[dict[str, Any]] = reply.json()["jobs"]
    return jobs


async def test_each_owner_sees_its_own_jobs_and_an_admin_all(api: JobApi) -> None:
    """A service sees its own jobs only, an admin key those of all; others are 404 for each request."""
    own, instance = await api.create_run("shop"), await api.create_run()
    assert [f"/v1/jobs/{job['id']}" for job in await _list(api.shop)] == [own]
    assert [f"/v1/jobs/{job['id']}" for job in await _list(api.admin)] == [instance, own]
    assert await _list(api.other) == []
    for path in (own, instance, f"/v1/jobs/{generate_id()}", "/v1/jobs/nonsense"):
        for reply in (await api.other.get(path), await api.other.get(f"{path}/events")):
            assert outcome(reply) == (404, "not_found")
        for change in ("cancel", "pause", "resume", "retry"):
            assert outcome(await api.other.post(f"{path}/{change}")) == (404, "not_found")
    assert outcome(await api.shop.post(f"{instance}/cancel")) == (404, "not_found")
    assert (await api.shop.get(own)).json()["service_id"] == str(api.shop_id)
    assert (await api.admin.post(f"{own}/cancel")).json()["state"] == "cancelled"
    assert (await api.admin.get(instance)).json()["service_id"] is None


async def test_a_job_is_changed_by_whom_the_scope_allows(
    installation: Installation, parts: wiring.ProcessParts, api: JobApi
) -> None:
    """Reading needs `notifications:read`, a change `schedules:manage` and a live key."""
    path = await api.create_run("shop")
    async with installation.open_client(parts, installation.keys.reader) as reader:
        assert (await reader.get(path)).status_code == 200
        assert outcome(await reader.post(f"{path}/cancel")) == (403, "insufficient_scope")
    async with parts.database.write() as connection:
        key = await key_admin.create_live_key(
            connection, api.shop_id, scopes=[KeyScope.SCHEDULES], now=parts.clock.now()
        )
    async with installation.open_client(parts, key) as manager:
        assert outcome(await manager.get(path)) == (403, "insufficient_scope")
    async with installation.open_client(parts, "none") as nobody:
        assert outcome(await nobody.get("/v1/jobs")) == (401, "unauthenticated")
        assert outcome(await nobody.post(f"{path}/cancel")) == (401, "unauthenticated")


async def test_filters_and_pages(api: JobApi) -> None:
    """Jobs are filtered by kind, state and schedule, and come in pages with a link to the next."""
    paths = [await api.create_run("shop", schedule_id=generate_id(), schedule_name="nightly") for _ in range(3)]
    await api.create_run("shop")
    await api.shop.post(f"{paths[0]}/pause")
    assert len(await _list(api.shop, schedule="nightly")) == 3
    assert [job["state"] for job in await _list(api.shop, schedule="nightly", state="paused")] == ["paused"]
    assert await _list(api.shop, kind="purge") == []
    first = await api.shop.get("/v1/jobs", params={"limit": 3})
    assert (len(first.json()["jobs"]), "link" in first.headers) == (3, True)
    rest = await api.shop.get("/v1/jobs", params={"limit": 3, "before": first.json()["next"]})
    assert (len(rest.json()["jobs"]), rest.json()["next"]) == (1, None)


@pytest.mark.parametrize(
    "query",
    [{"kind": "everything"}, {"state": "done"}, {"schedule": "A B"}, {"schedule": "a\x00"}, {"limit": "0"},
     {"before": "x"}, {"unknown": "1"}],
)  # fmt: skip
async def test_a_wrong_filter_is_refused(api: JobApi, query: dict[str, str]) -> None:
    """A filter that cannot be is 422 with its name."""
    reply = await api.shop.get("/v1/jobs", params=query)
    assert reply.status_code == 422
    (error,) = problem(reply)["errors"]
    assert error["pointer"] == "" or next(iter(query)) in error["pointer"] + error["detail"]


async def test_what_the_state_does_not_allow_is_409(api: JobApi, action: CountingAction) -> None:
    """A change that the state forbids is 409 `job_state`, and the sentence names the state and what is possible."""
    path = await api.create_run("shop")
    refused = await api.shop.post(f"{path}/resume")
    assert outcome(refused) == (409, "job_state")
    assert problem(refused)["detail"] == (
        "the job is queued: only a paused job can be resumed, and only a failed one retried"
    )
    await api.driver.work()
    for change in ("cancel", "pause", "resume", "retry"):
        assert outcome(await api.shop.post(f"{path}/{change}")) == (409, "job_state")
    assert (await api.shop.get(path)).json()["state"] == "succeeded"


async def test_pause_resume_and_retry_by_request(api: JobApi, action: CountingAction) -> None:
    """A job is paused, resumed, fails, and is retried to its end; its log tells who did what."""

    async def give_up(number: int) -> None:
        if number == 10:
            raise JobFailedError("the address book is locked")

    action.before = give_up
    path = await api.create_run("shop", options={"total": 20})
    for change, state in (("pause", "paused"), ("pause", "paused"), ("resume", "queued")):
        reply = await api.shop.post(f"{path}/{change}")
        assert (reply.status_code, reply.json()["state"]) == (200, state)
    await api.driver.work()
    failed = (await api.shop.get(path)).json()
    assert (failed["state"], failed["error"], failed["counts"], failed["progress"]) == (
        "failed",
        "the address book is locked",
        {"rows": 10},
        50,
    )
    action.before = Gate(-1)
    assert (await api.shop.post(f"{path}/retry")).json()["error"] is None
    await api.driver.work()
    done = (await api.shop.get(path)).json()
    assert (done["state"], done["counts"], done["progress"]) == ("succeeded", {"rows": 20}, 100)
    assert [line["text"].partition(" by")[0] for line in done["log"]] == [
        "paused",
        "resumed",
        "the address book is locked",
        "retried",
    ]
    audit = (await api.shop.get("/v1/audit")).json()["entries"]
    assert [entry["action"] for entry in audit][:3] == ["job.retried", "job.resumed", "job.paused"]


@pytest.mark.usefixtures("_quick_streams")
async def test_the_stream_shows_each_change_until_the_end(api: JobApi, action: CountingAction) -> None:
    """The stream has the state at once, each change, and ends with the job."""
    gate = Gate(10)
    action.before = gate
    path = await api.create_run("shop", options={"total": 30})
    (entry,) = await api.driver.claim()
    watching = asyncio.create_task(api.shop.get(f"{path}/events"))
    await _wait_for_stream(api.shop)
    working = asyncio.create_task(api.driver.process(entry))
    await gate.reached.wait()
    gate.open.set()
    await working
    reply = await watching
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line.startswith("data: ")]
    assert (events[0]["state"], events[-1]["state"], events[-1]["progress"]) == ("queued", "succeeded", 100)
    assert {event["state"] for event in events} <= {"queued", "running", "succeeded"}
    rows = [event["counts"].get("rows", 0) for event in events]
    assert rows == sorted(rows)
    ended = await api.shop.get(f"{path}/events")
    assert ended.text.count("data: ") == 1


async def _wait_for_stream(client: httpx2.AsyncClient) -> None:
    """Wait until the API of this client has an open stream, which then has sent the state of that moment."""
    streams = client._transport.app.state.streams  # type: ignore[attr-defined]
    await wait_until(lambda: streams.open_count == 1)


@pytest.mark.usefixtures("_quick_streams")
async def test_the_stream_ends_with_its_key(
    installation: Installation, parts: wiring.ProcessParts, api: JobApi
) -> None:
    """A key that is revoked while it watches gets a last event with the reason."""
    path = await api.create_run("shop")
    own = await api.shop.post("/v1/keys", json={"name": "watcher", "scopes": ["notifications:read"]})
    async with installation.open_client(parts, own.json()["key"]) as watcher:
        watching = asyncio.create_task(watcher.get(f"{path}/events"))
        await _wait_for_stream(watcher)
        assert (await api.shop.delete(f"/v1/keys/{own.json()['id']}")).status_code in (200, 204)
        reply = await watching
    last = reply.text.strip().splitlines()[-2:]
    assert last[0] == "event: end"
    assert json.loads(last[1].removeprefix("data: "))["code"] == "unauthenticated"


async def test_a_log_keeps_its_last_lines(api: JobApi) -> None:
    """A job's log has at most a hundred lines; the oldest go."""
    path = await api.create_run("shop")
    for _ in range(MAX_LOG_LINES // 2 + 3):
        for change in ("pause", "resume"):
            assert (await api.shop.post(f"{path}/{change}")).status_code == 200

    async def get_log() -> list[dict[str, Any]]:
        log: list[dict[str, Any]] = (await api.shop.get(path)).json()["log"]
        return log

    log = await poll_until(get_log)
    assert (len(log), log[-1]["text"].partition(" ")[0]) == (MAX_LOG_LINES, "resumed")

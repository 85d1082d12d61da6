"""`/v1/schedules`: save, list, next times, run and delete, for a service and for the instance."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from integration.api.refusal import faults, outcome, problem
from integration.jobs.job_api import JobApi, open_job_api
from support.job_driver import JobDriver

from notifier.jobs.schedule_store import MAX_SCHEDULES
from notifier.runtime import wiring

NIGHTLY: dict[str, Any] = {"timing": "0 3 * * *", "zone": "Europe/Berlin", "action": "notify", "options": {"total": 10}}
PATH = "/v1/schedules/nightly"


@pytest.fixture
async def api(parts: wiring.ProcessParts, driver: JobDriver) -> AsyncIterator[JobApi]:
    """The API with a job that counts."""
    async with open_job_api(parts, driver) as opened:
        yield opened


async def test_save_get_list_and_delete(api: JobApi) -> None:
    """A schedule is created with its defaults, replaced as a whole, listed, and deleted; each change is audited."""
    created = await api.shop.put(PATH, json=NIGHTLY)
    assert created.status_code == 200, created.text
    body = created.json()
    assert (body["catch_up"], body["overlap"], body["enabled"], body["built_in"], body["revision"]) == (
        "one",
        "skip",
        True,
        False,
        1,
    )
    assert body["next_at"] is not None
    assert (await api.shop.get(PATH)).json() == body
    unchanged = (await api.shop.put(PATH, json=NIGHTLY)).json()
    assert unchanged == body
    changed = (await api.shop.put(PATH, json=NIGHTLY | {"timing": " every  15m ", "enabled": False})).json()
    assert (changed["timing"], changed["next_at"], changed["revision"]) == ("every 15m", None, 2)
    assert [row["name"] for row in (await api.shop.get("/v1/schedules")).json()["schedules"]] == ["nightly"]
    assert (await api.shop.delete(PATH)).status_code == 204
    assert outcome(await api.shop.delete(PATH)) == outcome(await api.shop.get(PATH)) == (404, "not_found")
    audit = (await api.shop.get("/v1/audit")).json()["entries"]
    assert [entry["action"] for entry in audit] == ["schedule.deleted", "schedule.saved", "schedule.saved"]
    assert "total" not in str(audit)


async def test_owners_do_not_see_each_other(api: JobApi) -> None:
    """Each owner has its own names; another's schedule is not there, for reading, changing and running."""
    assert (await api.shop.put(PATH, json=NIGHTLY)).status_code == 200
    for client in (api.other, api.admin):
        assert (await client.get("/v1/schedules")).json() == {"schedules": []}
        assert outcome(await client.get(PATH)) == (404, "not_found")
        assert outcome(await client.get(f"{PATH}/next")) == (404, "not_found")
        assert outcome(await client.post(f"{PATH}/run")) == (404, "not_found")
        assert outcome(await client.delete(PATH)) == (404, "not_found")
    assert (await api.other.put(PATH, json=NIGHTLY | {"timing": "every 1d"})).json()["revision"] == 1
    assert (await api.shop.get(PATH)).json()["timing"] == "0 3 * * *"


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"timing": "0 25 * * *"}, ["/timing"]),
        ({"timing": "0 9 * * * *"}, ["/timing"]),
        ({"timing": "x" * 1000}, ["/timing"]),
        ({"zone": "Europe/Berln"}, ["/zone"]),
        ({"zone": "right/UTC", "timing": "* * * * *"}, ["/zone"]),
        ({"action": "image"}, ["/action"]),
        ({"action": "dance"}, ["/action"]),
        ({"options": {"color": 1, "total": "x"}}, ["/options/color", "/options/total"]),
        ({"options": {f"o{number}": number for number in range(21)}}, ["/options"]),
        ({"catch_up": "some"}, ["/catch_up"]),
        ({"overlap": True}, ["/overlap"]),
        ({"enabled": "yes"}, ["/enabled"]),
        ({"revision": -1}, ["/revision"]),
        ({"every": "15m"}, ["/every"]),
    ],
)
async def test_what_is_wrong_is_named(api: JobApi, changes: dict[str, Any], pointers: list[str]) -> None:
    """Each fault has a pointer, a code and one sentence, and nothing is written."""
    reply = await api.shop.put(PATH, json=NIGHTLY | changes)
    assert sorted(pointer for pointer, _ in faults(reply)) == pointers
    assert all("\n" not in error["detail"] and error["detail"] for error in problem(reply)["errors"])
    assert (await api.shop.get("/v1/schedules")).json() == {"schedules": []}


@pytest.mark.parametrize("name", ["Nightly", "1st", "a b", "ä", "x" * 65, "a%00b", "a.b"])
async def test_a_wrong_name_is_refused(api: JobApi, name: str) -> None:
    """A name that cannot be is 422 when it is saved, and 404 elsewhere."""
    path = f"/v1/schedules/{name}"
    assert ("/name", "invalid_name") in faults(await api.shop.put(path, json=NIGHTLY))
    assert outcome(await api.shop.get(path)) == outcome(await api.shop.post(f"{path}/run")) == (404, "not_found")
    assert outcome(await api.shop.delete(path)) == (404, "not_found")


async def test_an_edit_conflict_is_told(api: JobApi) -> None:
    """A revision that is not the stored one is 409; of ten who create at once, one wins."""
    fresh = NIGHTLY | {"revision": 0}
    replies = await asyncio.gather(*(api.shop.put(PATH, json=fresh) for _ in range(10)))
    assert sorted(outcome(reply) for reply in replies) == [(200, "")] + [(409, "stale_schedule")] * 9
    replies = await asyncio.gather(
        *(api.shop.put(PATH, json=NIGHTLY | {"timing": f"{number} 4 * * *", "revision": 1}) for number in range(10))
    )
    assert sorted(outcome(reply) for reply in replies) == [(200, "")] + [(409, "stale_schedule")] * 9
    assert (await api.shop.get(PATH)).json()["revision"] == 2


async def test_next_times_are_listed_also_when_off(api: JobApi) -> None:
    """The next times are in UTC and in order; `count` has limits."""
    await api.shop.put(PATH, json=NIGHTLY | {"enabled": False})
    times = (await api.shop.get(f"{PATH}/next")).json()["times"]
    assert (len(times), times) == (10, sorted(times))
    assert {time[11:] for time in times} <= {"01:00:00Z", "02:00:00Z"}
    assert len((await api.shop.get(f"{PATH}/next?count=100")).json()["times"]) == 100
    for count in ("0", "101", "x"):
        assert (await api.shop.get(f"{PATH}/next?count={count}")).status_code == 422


async def test_run_now_with_and_without_a_key(api: JobApi) -> None:
    """A run begins at once, also of a schedule that is off; ten requests with one key begin one run."""
    await api.shop.put(PATH, json=NIGHTLY | {"enabled": False})
    first = await api.shop.post(f"{PATH}/run")
    assert (first.status_code, first.json()["schedule"], first.json()["state"]) == (202, "nightly", "queued")
    assert first.json()["options"] == {"total": 10, "zone": "Europe/Berlin"}
    assert first.headers["location"] == f"/v1/jobs/{first.json()['id']}"
    keyed = {"Idempotency-Key": "by hand"}
    replies = await asyncio.gather(*(api.shop.post(f"{PATH}/run", headers=keyed) for _ in range(10)))
    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert sum("idempotent-replayed" in reply.headers for reply in replies) == 9
    assert len((await api.shop.get("/v1/jobs")).json()["jobs"]) == 2
    assert outcome(await api.shop.post(f"{PATH}/run", headers={"Idempotency-Key": ""})) == (
        400,
        "invalid_idempotency_key",
    )
    await api.driver.work()
    assert (await api.shop.get(first.headers["location"])).json()["state"] == "succeeded"


async def test_a_key_belongs_to_one_schedule(api: JobApi) -> None:
    """A key that began a run of one schedule is refused for another; other owners may use it."""
    keyed = {"Idempotency-Key": "by hand"}
    for path in (PATH, "/v1/schedules/weekly"):
        await api.shop.put(path, json=NIGHTLY)
    assert (await api.shop.post(f"{PATH}/run", headers=keyed)).status_code == 202
    refused = await api.shop.post("/v1/schedules/weekly/run", headers=keyed)
    assert outcome(refused) == (422, "idempotency_key_reused")
    await api.other.put(PATH, json=NIGHTLY)
    assert (await api.other.post(f"{PATH}/run", headers=keyed)).status_code == 202
    assert len((await api.shop.get("/v1/jobs")).json()["jobs"]) == 1


async def test_an_owner_has_a_limit(api: JobApi) -> None:
    """An owner has at most 200 schedules."""
    for number in range(MAX_SCHEDULES):
        assert (await api.shop.put(f"/v1/schedules/s{number}", json=NIGHTLY)).status_code == 200
    assert outcome(await api.shop.put(PATH, json=NIGHTLY)) == (409, "too_many_schedules")
    assert (await api.shop.put("/v1/schedules/s1", json=NIGHTLY | {"timing": "every 1d"})).status_code == 200

"""`GET /v1/stats` and `notifier stats`: whose figures, of which time, and what is refused."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from integration.api.refusal import faults
from sqlalchemy import select
from support import notifier_process, past_traffic
from support.job_runner import JobRunner
from support.past_traffic import PastMail
from support.seeded_installation import Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.key_admin import NewKey
from notifier.db.tables import Template, get_columns
from notifier.ids import get_first_id
from notifier.runtime import wiring
from notifier.states import JobKind, JobState, Status
from notifier.statistics import statistics_query

NOON = datetime(2026, 10, 25, 12, tzinfo=UTC)
RANGE = {"from": "2026-10-25T00:00:00Z", "to": "2026-10-26T00:00:00Z"}
_template = get_columns(Template)


@pytest.fixture
def _few_read_counts() -> Iterator[None]:
    """Let a search read one count at most."""
    before, statistics_query.MAX_READ_COUNTS = statistics_query.MAX_READ_COUNTS, 1
    yield
    statistics_query.MAX_READ_COUNTS = before


async def _prepare(parts: wiring.ProcessParts) -> str:
    """Write three mails of the shop and one of the other service, count them; return an admin key."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        other = await service_admin.find_service(connection, "other")
        welcome = await connection.scalar(select(_template.id).where(_template.slug == "welcome"))
        wish = NewKey(scopes=tuple(KeyScope))
        _, admin = await key_admin.insert_key(connection, None, wish, now=parts.clock.now())
    mails = []
    for index, (service, template, status) in enumerate(
        (
            (shop, welcome, Status.SENT),
            (shop, None, Status.BOUNCED),
            (shop, welcome, Status.FAILED),
            (other, None, Status.SENT),
        )
    ):
        at = NOON + timedelta(minutes=30 * index)
        seconds = 2.5 if status is not Status.FAILED else None
        mails.append(PastMail(get_first_id(at), service, template, at, status, None, seconds))
    await past_traffic.write_mail(parts.database, mails)
    runner = JobRunner(parts)
    run_id = await runner.begin(JobKind.STATISTICS, {}, NOON, name="statistics")
    await runner.run_due()
    run = await runner.get_run(run_id)
    assert (run.state, run.error) == (JobState.SUCCEEDED, None)
    assert run.counts["changed"] == 4
    return admin


async def test_a_service_sees_its_own_figures(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A key of a service gets its own figures; an admin key those of all, or of the service that it names."""
    admin = await _prepare(parts)
    async with installation.open_client(parts) as client:
        body = (await client.get("/v1/stats", params=RANGE)).json()
        assert [period["total"] for period in body["periods"]] == [3]
        whole = body["whole"]
        assert (whole["sent"], whole["failed"], whole["statuses"]["bounced"]) == (2, 1, 1)
        assert whole["reasons"] == {"failed": 1}
        assert 2.0 < whole["seconds_p50"] <= whole["seconds_p95"] <= 3.0
        assert body["counted_at"] is not None
        hours = (await client.get("/v1/stats", params=RANGE | {"by": "hour"})).json()["periods"]
        assert [hour["total"] for hour in hours] == [0] * 12 + [2, 1] + [0] * 10
        template = (await client.get("/v1/stats", params=RANGE | {"template": "welcome"})).json()["whole"]
        assert template["total"] == 2
        unknown = (await client.get("/v1/stats", params=RANGE | {"template": "nothing"})).json()["whole"]
        assert unknown["total"] == 0
        zoned = (await client.get("/v1/stats", params=RANGE | {"zone": "Europe/Berlin"})).json()["periods"]
        assert [day["start"] for day in zoned] == ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"]
    async with installation.open_client(parts, admin) as client:
        assert (await client.get("/v1/stats", params=RANGE)).json()["whole"]["total"] == 4
        named = (await client.get("/v1/stats", params=RANGE | {"service": "other"})).json()["whole"]
        assert named["total"] == 1


async def test_a_default_is_the_last_week(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Without parameters there are the last days until now; by hour the last day."""
    async with installation.open_client(parts) as client:
        body = (await client.get("/v1/stats")).json()
        assert (len(body["periods"]), body["by"], body["zone"]) == (8, "day", "UTC")
        assert len((await client.get("/v1/stats", params={"by": "hour"})).json()["periods"]) in {24, 25}


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"from": "2026-10-25T00:00:00Z", "to": "2026-10-25T00:00:00Z"}, "from"),
        ({"from": "2025-10-25T00:00:00Z", "to": "2026-12-01T00:00:00Z"}, "from"),
        ({"from": "2026-10-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "by": "hour"}, "from"),
        ({"from": "2026-10-25"}, "from"),
        ({"to": "yesterday"}, "to"),
        ({"by": "week"}, "by"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "a\x00b"}, "zone"),
        ({"template": "a\x00b"}, "template"),
        ({"service": "shop"}, "service"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_parameter_is_named(
    installation: Installation, parts: wiring.ProcessParts, params: dict[str, str], name: str
) -> None:
    """Each mistake is answered with 422 and the name of the parameter."""
    async with installation.open_client(parts) as client:
        reply = await client.get("/v1/stats", params=params)
    assert reply.status_code == 422
    assert faults(reply) == {(f"/query/{name}", "invalid_parameter")}


@pytest.mark.usefixtures("_few_read_counts")
async def test_too_many_counts_are_refused_with_advice(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Figures of a template that need too many counts are 422; without the template they are read from the totals."""
    await _prepare(parts)
    async with installation.open_client(parts) as client:
        refused = await client.get("/v1/stats", params=RANGE | {"template": "welcome"})
        assert (refused.status_code, faults(refused)) == (422, {("/query/from", "invalid_parameter")})
        assert "ask for a shorter time" in refused.json()["detail"]
        assert (await client.get("/v1/stats", params=RANGE)).json()["whole"]["total"] == 3


async def test_a_key_without_the_scope_is_refused(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Figures need `notifications:read`; an admin key needs `admin`, and names only services that exist."""
    admin = await _prepare(parts)
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        now = parts.clock.now()
        sender = await key_admin.create_live_key(connection, shop, scopes=[KeyScope.SEND], now=now)
    async with installation.open_client(parts, sender) as client:
        assert (await client.get("/v1/stats")).status_code == 403
    async with installation.open_client(parts, admin) as client:
        reply = await client.get("/v1/stats", params={"service": "nobody"})
        assert faults(reply) == {("/query/service", "invalid_parameter")}


async def test_the_command_shows_the_same(
    installation: Installation, parts: wiring.ProcessParts, tmp_path: Path
) -> None:
    """`notifier stats` prints the figures of all services or of one, and refuses what it cannot read."""
    await _prepare(parts)
    env = notifier_process.build_environment(tmp_path, DATABASE_URL=installation.settings.effective_database_url)
    bounds = ["--from", "2026-10-25", "--to", "2026-10-26"]
    rows = json.loads(notifier_process.run_notifier("stats", *bounds, "--json", env=env).stdout)
    assert [(row["total"], row["sent"], row["failed"], row["bounced"]) for row in rows] == [(4, 3, 1, 1)]
    table = notifier_process.run_notifier("stats", *bounds, "--service", "other", "--by", "hour", env=env).stdout
    assert len(table.splitlines()) == 25
    for wrong in (["--by", "week"], ["--zone", "Mars"], ["--from", "soon"], ["--service", "nobody"]):
        done = notifier_process.run_notifier("stats", *wrong, env=env, check=False)
        assert done.returncode in {1, 2}, wrong
        assert len(done.stderr.splitlines()) == 1, done.stderr

"""`/livez`, `/readyz` and `/metrics`: no key needed, current values, and no secrets."""

import platform
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text
from support.fresh_probes import fetch_fresh
from support.polling import wait_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

import notifier
from notifier.delivery.relay_circuits import REASON_TEXTS
from notifier.ids import generate_id
from notifier.outcomes import CircuitReason
from notifier.runtime import wiring


def _metrics(exposition: str) -> dict[tuple[str, str], float]:
    """Each sample by name and label values."""
    samples = [sample for family in text_string_to_metric_families(exposition) for sample in family.samples]
    return {(sample.name, " ".join(sample.labels.values())): sample.value for sample in samples}


async def test_the_probes_need_no_key(installation: Installation, client: httpx2.AsyncClient) -> None:
    """Load balancers and scrapers need no key, and see no secret."""
    del client.headers["Authorization"]
    live, ready, metrics = [await client.get(path) for path in ("/livez", "/readyz", "/metrics")]
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert [(check["name"], check["ok"]) for check in ready.json()["checks"]] == [
        ("database", True),
        ("migrations", True),
    ]
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    url = installation.settings.effective_database_url
    for reply in (live, ready, metrics):
        assert url not in reply.text
        assert "ntf_live_" not in reply.text


async def test_a_database_that_is_not_migrated_is_not_ready(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """Another schema revision gives 503 with the command to run; the process stays alive."""
    async with parts.database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    async with installation.open_client(parts) as client:
        ready = await fetch_fresh(client, "/readyz")
        live = await client.get("/livez")
    assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
    (migrations,) = [check for check in ready.json()["checks"] if not check["ok"]]
    assert migrations["name"] == "migrations"
    assert "notifier db upgrade" in migrations["detail"]
    assert live.status_code == 200


async def test_a_database_out_of_reach_is_not_ready(installation: Installation, tmp_path: Path) -> None:
    """503 without the database URL; liveness and metrics still work."""
    away = installation.with_settings(
        database_url=SecretStr(f"postgresql://notifier:hunter2@/notifier?host={tmp_path}/nowhere")
    )
    async with away.open_parts() as parts, away.open_client(parts) as client:
        ready, live, metrics = [await client.get(path) for path in ("/readyz", "/livez", "/metrics")]
    assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
    assert [(check["name"], check["ok"]) for check in ready.json()["checks"]] == [("database", False)]
    assert "hunter2" not in ready.text + metrics.text
    assert str(tmp_path) not in ready.text
    assert (live.status_code, metrics.status_code) == (200, 200)


async def test_metrics_count_what_was_accepted_and_refused(client: httpx2.AsyncClient) -> None:
    """Accepted, replayed and refused requests have counters; the queue's depth is read on request."""
    before = _metrics((await fetch_fresh(client, "/metrics")).text)
    headers = {"Idempotency-Key": "once"}
    for _ in range(3):
        await client.post("/v1/notifications", json=WELCOME, headers=headers)
    await client.post("/v1/notifications", json=WELCOME | {"to": "nobody"})
    await client.get("/v1/notifications", headers={"Authorization": "Bearer x"})
    after = _metrics((await fetch_fresh(client, "/metrics")).text)

    def moved(name: str, label: str = "") -> float:
        return after[name, label] - before.get((name, label), 0.0)

    assert moved("notifier_submitted_total", "queued") == 1
    assert moved("notifier_refused_total", "invalid_address") == 1
    assert moved("notifier_refused_total", "unauthenticated") == 1
    assert moved("notifier_submit_seconds_count") == 4
    assert after["notifier_outbox_entries", "ready"] == 1
    assert after["notifier_outbox_entries", "leased"] == 0


async def test_requests_are_counted_by_the_templates_of_their_routes(client: httpx2.AsyncClient) -> None:
    """Ids, unknown paths and unknown methods add no labels."""
    location = (await client.post("/v1/notifications", json=WELCOME)).headers["location"]
    before = _metrics((await fetch_fresh(client, "/metrics")).text)
    for method, path in [
        *(("GET", path) for path in (location, f"/v1/notifications/{generate_id()}", "/nothing", "/a/b")),
        *((method, location) for method in ("HEAD", "BREW", "STEEP")),
    ]:
        await client.request(method, path)
    after = _metrics((await fetch_fresh(client, "/metrics")).text)
    moved = {label: after[label] - before.get(label, 0) for label in after}
    counted = {labels: count for (name, labels), count in moved.items() if name == "notifier_http_requests_total"}
    route = "/v1/notifications/{notification_id}"
    assert {labels: count for labels, count in counted.items() if count and "/metrics" not in labels} == {
        f"GET {route} 200": 1,
        f"GET {route} 404": 1,
        "GET other 404": 2,
        f"HEAD {route} 200": 1,
        f"other {route} 405": 2,
    }
    assert moved["notifier_http_request_seconds_count", route] == 5
    assert after["notifier_http_requests_in_flight", ""] >= 1


async def test_metrics_tell_the_build_and_the_process(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """The version and the kind of database, and what the process uses."""
    samples = _metrics((await client.get("/metrics")).text)
    kind = "sqlite" if parts.database.is_sqlite else "postgresql"
    assert samples["notifier_build_info", f"{kind} {platform.python_version()} {notifier.__version__}"] == 1
    names = {name for name, _ in samples}
    assert names >= {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}
    assert "notifier_render_cpu_seconds_total" in names


async def test_the_age_of_the_oldest_due_entry_grows(client: httpx2.AsyncClient) -> None:
    """An unclaimed entry raises the age of its own priority only."""
    await client.post("/v1/notifications", json=WELCOME)
    ages = []
    for _ in range(2):
        samples = _metrics((await fetch_fresh(client, "/metrics")).text)
        ages.append(samples["notifier_due_age_seconds", "email normal"])
    assert 0 < ages[0] < ages[1] < 60
    assert samples["notifier_due_age_seconds", "email high"] == 0


async def test_metrics_may_need_a_token(installation: Installation) -> None:
    """With a token set, metrics need exactly this token; readiness needs none."""
    guarded = installation.with_settings(metrics_token=SecretStr("scraper-71c2"))
    async with guarded.open_parts() as parts, guarded.open_client(parts) as client:
        for wrong in ("", f"Bearer {installation.keys.shop}", "Bearer scraper", "Basic scraper-71c2", "Bearer \xe9"):
            refused = await client.get("/metrics", headers={b"Authorization": wrong.encode("latin-1")})
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated"), wrong
            assert refused.headers["www-authenticate"] == "Bearer"
        good = await client.get("/metrics", headers={"Authorization": "Bearer scraper-71c2"})
        assert (good.status_code, "notifier_outbox_entries" in good.text) == (200, True)
        assert (await client.get("/readyz", headers={"Authorization": ""})).status_code == 200


async def test_metrics_may_have_a_port_of_their_own(installation: Installation) -> None:
    """With a separate port, metrics and readiness are there, and metrics are not on the API's port."""
    apart = installation.with_settings(api={"metrics_port": 9100})
    async with apart.open_parts() as parts, apart.open_client(parts) as client:
        hidden = await client.get("/metrics")
        assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")
        own = httpx2.ASGITransport(app=wiring.build_probe_app(parts))
        async with httpx2.AsyncClient(transport=own, base_url="http://metrics") as scraper:
            assert "notifier_outbox_entries" in (await scraper.get("/metrics")).text
            assert [(await scraper.get(path)).status_code for path in ("/livez", "/readyz", "/docs")] == [200, 200, 404]


async def test_readiness_tells_no_words_of_a_relay(sqlite_installation: Installation, relay: ScriptedRelay) -> None:
    """Readiness never shows a relay's reply, which may contain addresses."""
    relay.greeting = "554 5.7.1 <ada@example.com> has been reported"
    async with sqlite_installation.open_parts() as parts, sqlite_installation.open_client(parts) as client:
        await client.post("/v1/notifications", json=WELCOME)
        async with wiring.run_sender(parts) as running:
            await wait_until(lambda: running.deliverer.relay.is_open)
            probes = httpx2.ASGITransport(app=wiring.build_sender_app(parts, running))
            async with httpx2.AsyncClient(transport=probes, base_url="http://sender") as scraper:
                ready, metrics = await scraper.get("/readyz"), await scraper.get("/metrics")
            assert ready.status_code == 503
            (failed,) = [check for check in ready.json()["checks"] if not check["ok"]]
            assert (failed["name"], failed["detail"]) == (
                "relay",
                f"{REASON_TEXTS[CircuitReason.UNREACHABLE]} (554 5.7.1)",
            )
            assert "ada@" not in ready.text + metrics.text

"""Limits of the installation or the relay delay mail in the queue, and never fail it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from support import api_caller
from support.certificate_authority import CertificateAuthority
from support.limited_relay import LimitedRelay
from support.polling import poll_until, wait_until
from support.scripted_relay import HOLD
from support.seeded_installation import Installation
from support.typed_commands import type_command

from notifier.health import checks
from notifier.runtime import wiring
from notifier.smtp.connection_limit import MAX_OPENING
from notifier.smtp_settings import SmtpSecurity
from notifier.states import Reason, Status, TransitionCause
from notifier.status.status_writer import StatusChange, apply_status_changes

MAILS = 20


@pytest.fixture
async def relay() -> AsyncIterator[LimitedRelay]:
    """The installation's relay, which takes all connections unless a test limits them."""
    started = LimitedRelay()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
def wide(installation: Installation) -> Installation:
    """The installation with the default of twenty connections."""
    return installation.with_settings(sender={"concurrency": 20}, smtp={"max_connections": 20})


async def submit(client: httpx2.AsyncClient, mails: int = MAILS) -> list[str]:
    return [await api_caller.submit_mail(client, f"bob{n}@example.com") for n in range(mails)]


async def test_a_relay_that_takes_five_connections(wide: Installation, relay: LimitedRelay) -> None:
    """All mails are sent at the first attempt, no circuit opens, and the limit is shown while in force."""
    relay.limit = 5
    relay.say("*", "DOT", HOLD + "250 2.0.0 queued", times=5)
    async with wide.open_parts() as parts, wide.open_client(parts) as client:
        paths = await submit(client, 60)
        with capture_logs() as logs:
            async with wiring.run_sender(parts) as sender:
                await relay.wait_for_refusals(1)
                await relay.wait_for_bodies(5)
                relay.resume.set()
                await relay.wait_for(60)
                for path in paths:
                    notification = await api_caller.wait_for_status(client, path, "sent")
                    assert [attempt["number"] for attempt in notification["attempts"]] == [1]
                assert sender.deliverer._transport.limit.in_force == 5
                assert "5 of 20 to 127.0.0.1 since" in await _connections(parts, "421 4.7.0")
        assert "up to 20 for each sender process" in await _connections(parts, "up to")
    assert {line["event"] for line in logs if line["log_level"] in ("warning", "error")} == {"connections_changed"}
    assert len(relay.received) == 60
    assert relay.refused <= MAX_OPENING


async def _connections(parts: wiring.ProcessParts, words: str) -> str:
    """Wait until `doctor` reports these words about connections, and return that line."""

    async def find_detail() -> str | None:
        finding = await checks.check_connections(parts.database, parts.settings)
        return finding.detail if words in finding.detail else None

    return await poll_until(find_detail)


@pytest.fixture
def secured(wide: Installation, relay: LimitedRelay, tmp_path: Path) -> Installation:
    """A relay with STARTTLS and a login."""
    authority = CertificateAuthority(tmp_path)
    relay.starttls, relay.users = authority.issue_server_context(), {"shop": "good"}
    smtp: dict[str, Any] = {"security": SmtpSecurity.STARTTLS, "ca_file": authority.ca_file}
    return wide.with_settings(smtp=smtp)


async def test_a_wrong_password_at_a_cold_start(secured: Installation, relay: LimitedRelay) -> None:
    """B3: with twenty mails due one login is made, the circuit opens, each probe is one login, no attempt is used."""
    wrong = secured.with_settings(smtp={"username": "shop", "password": SecretStr("wrong")})
    async with wrong.open_parts() as parts, wrong.open_client(parts) as client:
        paths = await submit(client)
        async with wiring.run_sender(parts) as sender:
            await wait_until(lambda: sender.deliverer.relay.is_open)
            assert relay.commands.count("AUTH") == 1
            for logins in (2, 3):
                sender.deliverer.relay._next_probe = 0.0
                parts.wakeup()
                await relay.wait_for_commands("AUTH", logins)
                await wait_until(lambda: not sender.deliverer.relay.probe_is_due)
            assert relay.commands.count("AUTH") == 3
            findings = {finding.name: finding for finding in await sender.readiness(parts.database)}
            assert not findings["relay"].ok
            assert "535" in findings["relay"].detail
        for path in paths:
            notification = (await client.get(path)).json()
            assert (notification["status"], notification["attempts"]) == ("queued", [])


async def test_certificates_that_vanish_under_way(secured: Installation, relay: LimitedRelay) -> None:
    """A missing certificate file opens the circuit with the reason, and mail leaves when the file is back."""
    ca_file = secured.settings.smtp.ca_file
    assert ca_file is not None
    certificate = ca_file.read_bytes()
    async with secured.open_parts() as parts, secured.open_client(parts) as client:
        ca_file.unlink()
        paths = await submit(client, 3)
        async with wiring.run_sender(parts) as sender:
            await wait_until(lambda: sender.deliverer.relay.is_open)
            assert "NOTIFIER_SMTP__CA_FILE" in (sender.deliverer.relay.reason or "")
            findings = {finding.name: finding for finding in await sender.readiness(parts.database)}
            assert (findings["relay"].ok, str(ca_file) in findings["relay"].detail) == (False, False)
            assert {(await client.get(path)).json()["status"] for path in paths} == {"queued"}
            ca_file.write_bytes(certificate)
            sender.deliverer.relay._next_probe = 0.0
            parts.wakeup()
            await relay.wait_for(3)
            for path in paths:
                assert len((await api_caller.wait_for_status(client, path, "sent"))["attempts"]) == 1


async def test_all_that_failed_for_a_reason_is_retried(
    installation: Installation, parts: wiring.ProcessParts, relay: LimitedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command in docs/operations.md retries only what failed for this reason, and only once."""
    async with installation.open_client(parts) as client:
        paths = await submit(client, 5)
        for path, reason in zip(paths, ("internal", "internal", "internal", "template", None), strict=True):
            if reason is not None:
                await _fail(parts, path, reason)
        monkeypatch.setenv("NOTIFIER_DATABASE_URL", installation.settings.effective_database_url)
        monkeypatch.setenv("NOTIFIER_DATA_DIR", str(installation.settings.data_dir))
        words = ("retry", "--reason", "internal", "--comment", "the file was missing")
        ended = [await asyncio.to_thread(type_command, *words) for _ in range(2)]
        assert [(run.code, run.stdout) for run in ended] == [(0, "retried 3\n"), (0, "retried 0\n")], ended[0].stderr
        statuses = [(await client.get(path)).json()["status"] for path in paths]
        assert statuses == ["queued", "queued", "queued", "failed", "queued"]
        events = (await client.get(f"{paths[0]}/events")).json()
        assert "the file was missing" in str(events)
        async with wiring.run_sender(parts):
            await relay.wait_for(4)


async def _fail(parts: wiring.ProcessParts, path: str, reason: str) -> None:
    """Set the notification to failed, as a sender would."""
    id_ = UUID(path.rpartition("/")[2])
    async with parts.database.direct_transaction() as connection:
        step = StatusChange(
            notification_id=id_, to=Status.FAILED, at=parts.clock.now(), reason=Reason(reason), detail="x"
        )
        await apply_status_changes(connection, [step], TransitionCause.SENDER)

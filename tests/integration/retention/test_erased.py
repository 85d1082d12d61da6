"""What callers and operators see of the retention: until when content is kept, and the answers afterwards."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select, update
from support.aged_rows import DAY, AgedMail, AgedRows
from support.purge_runs import run_purge
from support.seeded_installation import WELCOME, Installation

from notifier.audit import Actor
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.service_admin import ServiceChanges
from notifier.db.engine import Database
from notifier.db.tables import AuditEntry, Notification, NotificationContent, get_columns
from notifier.retention import content_expiry
from notifier.retention.retention_policy import RetentionPolicy
from notifier.runtime import wiring
from notifier.runtime.process_parts import ProcessParts
from notifier.states import Status


@pytest.fixture
async def client(installation: Installation, parts: ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop, who may read contents."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        scopes = [KeyScope.SEND, KeyScope.READ, KeyScope.CONTENT]
        key = await key_admin.create_live_key(connection, shop, scopes=scopes, now=parts.clock.now())
    async with installation.open_client(parts, key) as caller:
        yield caller


async def _variables(database: Database, id_: UUID) -> dict[str, object]:
    columns = get_columns(NotificationContent)
    async with database.read() as connection:
        row = await connection.execute(select(columns.variables).where(columns.notification_id == id_))
        return dict(row.scalar_one())


async def test_a_notification_says_until_when_its_content_is_kept(
    rows: AgedRows, client: httpx2.AsyncClient, now: datetime
) -> None:
    """`content_until` is null while the mail waits, then the end plus the days, and null when it is erased."""
    shop = await rows.get_service()
    waiting = (await client.post("/v1/notifications", json=WELCOME)).json()["id"]
    ended = await rows.add_mail(AgedMail(service_id=shop, ended_at=now - DAY))
    erased = await rows.add_mail(AgedMail(service_id=shop, ended_at=now - DAY, has_content=False))
    replies = [(await client.get(f"/v1/notifications/{id_}")).json() for id_ in (waiting, ended, erased)]
    untils = [reply["content_until"] for reply in replies]
    assert untils[0] is None is untils[2]
    assert datetime.fromisoformat(untils[1]) == now + 6 * DAY


async def test_erased_content_answers_410_and_cannot_be_sent_again(
    rows: AgedRows, database: Database, policy: RetentionPolicy, client: httpx2.AsyncClient, now: datetime
) -> None:
    """After the purge the content is 410, retry and resolve as resend are 409, and resolve as sent still works."""
    shop = await rows.get_service()
    old = AgedMail(service_id=shop, ended_at=now - 8 * DAY, status=Status.FAILED)
    failed = await rows.add_mail(old)
    unknown = await rows.add_mail(AgedMail(service_id=shop, ended_at=now - 8 * DAY, status=Status.UNKNOWN))
    await run_purge(database, policy, now)
    answers = [
        await client.get(f"/v1/notifications/{failed}/content"),
        await client.post(f"/v1/notifications/{failed}/retry"),
        await client.post(f"/v1/notifications/{unknown}/resolve", json={"as": "resend"}),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (410, "content_erased"),
        (409, "content_erased"),
        (409, "content_erased"),
    ]
    assert (await client.get(f"/v1/notifications/{failed}")).json()["status"] == "failed"
    resolved = await client.post(f"/v1/notifications/{unknown}/resolve", json={"as": "sent"})
    assert resolved.json()["status"] == "sent"


@pytest.mark.parametrize(
    ("status", "age", "is_erased"),
    [
        (Status.SENT, timedelta(0), True),
        (Status.DELIVERED, timedelta(0), True),
        (Status.FAILED, timedelta(hours=23), False),
        (Status.FAILED, timedelta(hours=24), True),
        (Status.CANCELLED, timedelta(hours=25), True),
    ],
)
async def test_secret_variables_go_first(  # noqa: PLR0913, PLR0917 - fixtures
    rows: AgedRows,
    database: Database,
    policy: RetentionPolicy,
    now: datetime,
    status: Status,
    age: timedelta,
    is_erased: bool,  # noqa: FBT001 - a case
) -> None:
    """Secret variables are erased at the purge after `sent`, and 24 hours after any other end; the others stay."""
    version = await rows.add_version("reset", now, secret=["link", "order.code"])
    variables = {"name": "Ada", "link": "https://x.example/1", "order": {"code": "7"}}
    shop = await rows.get_service()
    mail = AgedMail(service_id=shop, version_id=version, ended_at=now - age, status=status, variables=variables)
    id_ = await rows.add_mail(mail)
    await run_purge(database, policy, now)
    expected = {"name": "Ada", "link": "x", "order": {"code": "•••"}} if is_erased else variables
    assert await _variables(database, id_) == expected


async def test_a_copy_that_has_failed_keeps_the_secrets(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """A mail that has left keeps its secrets while a copy of it may still be retried."""
    version = await rows.add_version("reset", now, secret=["link"])
    shop = await rows.get_service()
    mail = AgedMail(service_id=shop, version_id=version, ended_at=now - DAY, variables={"link": "https://a.example/1"})
    id_ = await rows.add_mail(mail)
    await rows.add_mail(
        AgedMail(service_id=shop, version_id=version, parent_id=id_, ended_at=now, status=Status.FAILED)
    )
    await run_purge(database, policy, now)
    assert await _variables(database, id_) == {"link": "https://a.example/1"}
    await run_purge(database, policy, now + timedelta(hours=24))
    assert await _variables(database, id_) == {"link": "x"}


async def test_a_mail_without_its_secrets_is_not_sent_again(
    rows: AgedRows, database: Database, policy: RetentionPolicy, client: httpx2.AsyncClient, now: datetime
) -> None:
    """A retry after the secrets were erased is 409: the mail must not leave with dots in place of a link."""
    version = await rows.add_version("reset", now, secret=["link"])
    failed = AgedMail(
        service_id=await rows.get_service(), version_id=version, ended_at=now - DAY, status=Status.FAILED,
        variables={"link": "https://a.example/1"},
    )  # fmt: skip
    id_ = await rows.add_mail(failed)
    await run_purge(database, policy, now)
    answer = await client.post(f"/v1/notifications/{id_}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "content_erased")
    assert "secret variables" in answer.json()["detail"]


async def test_secrets_are_erased_when_the_mail_is_sent(
    installation: Installation, parts: ProcessParts, client: httpx2.AsyncClient, rows: AgedRows
) -> None:
    """The sender replaces the secret variables in the transaction that says `sent`."""
    version = await rows.add_version("reset", parts.clock.now(), secret=["link"])
    sent = (await client.post("/v1/notifications", json=WELCOME)).json()["id"]
    columns, contents = get_columns(Notification), get_columns(NotificationContent)
    async with parts.database.write() as connection:
        await connection.execute(
            update(Notification).where(columns.id == UUID(sent)).values(template_version_id=version)
        )
        await connection.execute(update(NotificationContent).values(variables={"link": "https://a.example/1"}))
    async with wiring.run_sender(parts) as running:
        await running.drain()
    assert (await client.get(f"/v1/notifications/{sent}")).json()["status"] == "sent"
    assert await _variables(parts.database, UUID(sent)) == {"link": "x"}
    async with parts.database.read() as connection:
        assert (await connection.execute(select(contents.secrets_erased))).scalars().all() == [True]


async def test_a_service_has_days_of_its_own(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """The days of a service hold at once, are in the audit, and can be given back to the settings."""
    shop = await rows.get_service()
    id_ = await rows.add_mail(AgedMail(service_id=shop, ended_at=now))
    for changes, days in ((ServiceChanges(keep_content_days=30), 30), (ServiceChanges(default_days=True), 7)):
        async with database.write() as connection:
            await service_admin.update_service(connection, shop, changes, actor=Actor(name="cli:test", at=now))
        async with database.read() as connection:
            assert await content_expiry.get_content_expiry(connection, id_, policy) == now + days * DAY
    async with database.read() as connection:
        after = (await connection.execute(select(get_columns(AuditEntry).after))).scalars().all()
    assert {json.dumps(fields.get("keep_days")) for fields in after} == {"30", "null"}

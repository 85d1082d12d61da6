"""What the check of a merge has found holds for its run: the version of the template, and which rows are submitted."""

from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select
from support import merge_story, published_template
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.audit import Actor
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import SERVICE_SCOPES
from notifier.auth.key_admin import NewKey
from notifier.auth.service_admin import ServiceChanges
from notifier.db.tables import Notification, get_columns
from notifier.runtime import wiring
from notifier.states import KeyKind
from notifier.template_language.template_source import TemplateSource
from notifier.templating.sync import template_files

_notification = get_columns(Notification)


async def test_a_later_version_changes_no_mail_of_the_merge(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """The mails have the version of the upload, although the sender that submits them knows a later one."""
    async with wiring.run_sender(parts):
        path, _ = await merge_story.check_file(client, merge_story.build_csv(merge_story.build_rows(2)))
    source = template_files.read_template(Path("templates"), "welcome")
    changed = TemplateSource(
        files=source.files | {"subject.txt": "Another subject"}, sample=source.sample, settings=source.settings
    )
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "welcome", changed, now=parts.clock.now())
    async with wiring.run_sender(parts):
        await merge_story.start_merge(client, path)
        await merge_story.wait_for_state(client, path, "finished")
    subjects = sorted(str(mail.message["Subject"]) for mail in relay.received)
    assert subjects == ["Welcome to Larkspur, Ada 0", "Welcome to Larkspur, Ada 1"]


@pytest.mark.usefixtures("sender")
async def test_a_row_with_a_fault_at_the_check_is_never_submitted(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """With `skip_invalid` a row that was faulty at the check stays out, although it would be valid at the run."""
    async with parts.database.write() as connection:
        service = await service_admin.find_service(connection, "shop")
        new = NewKey(kind=KeyKind.TEAM, scopes=SERVICE_SCOPES)
        _, key = await key_admin.insert_key(connection, service, new, now=parts.clock.now())
    await _set_team(parts, "ada0@example.com")
    async with installation.open_client(parts, key) as team:
        path, merge = await merge_story.check_file(team, merge_story.build_csv(merge_story.build_rows(2)))
        assert (merge["valid"], merge["faulty"]) == (1, 1)
        await _set_team(parts, "ada0@example.com", "ada1@example.com")
        await merge_story.start_merge(team, path, on_error="skip_invalid")
        ended = await merge_story.wait_for_state(team, path, "finished", "failed")
    assert (ended["submitted"]["written"], ended["submitted"]["left_out"]) == (1, 1)
    query = select(_notification.recipient).where(_notification.batch_id == UUID(path.rpartition("/")[2]))
    async with parts.database.read() as connection:
        assert (await connection.execute(query)).scalars().all() == ["ada0@example.com"]


async def _set_team(parts: wiring.ProcessParts, *recipients: str) -> None:
    async with parts.database.write() as connection:
        service = await service_admin.find_service(connection, "shop")
        changes = ServiceChanges(team_recipients=list(recipients))
        actor = Actor(name="operator:test", at=parts.clock.now())
        await service_admin.update_service(connection, service, changes, actor=actor)

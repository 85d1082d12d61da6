"""The client has a call for each operation of the API, and no other."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from notifier.client import (
    account,
    feed_calls,
    job_calls,
    key_calls,
    merge_calls,
    service_calls,
    staff_calls,
    statistics_calls,
)
from notifier.client import notification_calls as calls
from notifier.client import template_calls as templates
from notifier.client.api_call import Call

ID = UUID("0197c0de-0000-7000-8000-000000000001")
EACH: tuple[Call[Any], ...] = (
    calls.send_notification(to="a@x.org"),
    calls.send_batch([]),
    calls.get_notification(ID),
    calls.list_notifications(),
    calls.get_notification_events(ID),
    calls.get_notification_content(ID),
    calls.explain_notification(ID),
    calls.update_notification(ID, priority="high"),
    calls.cancel_notification(ID),
    calls.retry_notification(ID),
    calls.resolve_notification(ID, "sent"),
    calls.get_batch(ID),
    calls.watch_batch(ID),
    calls.cancel_batch(ID),
    account.whoami(),
    account.list_audit(),
    key_calls.list_keys(),
    key_calls.get_key(ID),
    key_calls.create_key(name="app"),
    key_calls.rotate_key(ID),
    key_calls.revoke_key(ID),
    key_calls.set_team_recipients([]),
    account.list_suppressions(),
    account.get_suppression(ID),
    account.add_suppression("a@x.org", scope="all"),
    account.lift_suppression(ID),
    templates.list_assets(),
    templates.get_asset(str(ID)),
    templates.upload_asset("logo", b"", revision=0),
    templates.delete_asset(str(ID)),
    templates.get_asset_file(str(ID), scale=2),
    templates.get_asset_original(str(ID)),
    account.list_webhooks(),
    account.get_webhook(ID),
    account.create_webhook(url="https://shop.example/hook"),
    account.update_webhook(ID, events=[]),
    account.delete_webhook(ID),
    account.rotate_webhook_secret(ID),
    account.test_webhook(ID),
    account.list_webhook_deliveries(ID),
    account.get_webhook_delivery(ID, ID),
    account.replay_webhook_delivery(ID, ID),
    account.replay_failed_webhook_deliveries(ID, since=datetime(2026, 1, 31, tzinfo=UTC)),
    templates.list_templates(),
    templates.get_template(str(ID)),
    templates.delete_template(str(ID)),
    templates.get_template_draft(str(ID)),
    templates.save_template_draft(str(ID), files={}, settings={}),
    templates.discard_template_draft(str(ID), revision="1.1"),
    templates.preview_template(str(ID)),
    templates.try_template(str(ID)),
    templates.publish_template(str(ID), revision="1.1"),
    templates.restore_template(str(ID), 1),
    templates.list_template_versions(str(ID)),
    templates.get_template_version(str(ID), str(ID)),
    templates.get_template_schema(str(ID)),
    templates.diff_template(str(ID)),
    templates.send_test_mail(str(ID), to="a@x.org"),
    templates.render_source(),
    templates.list_template_files(slugs=["a"], texts=False),
    templates.push_templates({}, images={"logo": {"content": b"x"}}),
    templates.list_layouts(),
    templates.get_layout(ID),
    templates.save_layout(ID, text=""),
    templates.delete_layout(ID, revision=1),
    job_calls.list_jobs(),
    job_calls.get_job(ID),
    job_calls.watch_job(ID),
    job_calls.cancel_job(ID),
    job_calls.pause_job(ID),
    job_calls.resume_job(ID),
    job_calls.retry_job(ID),
    job_calls.list_schedules(),
    job_calls.get_schedule(str(ID)),
    job_calls.save_schedule(str(ID), timing="every 1h", action="fetch"),
    job_calls.save_schedules({"daily": {"timing": "every 1d", "action": "fetch"}}),
    job_calls.switch_schedule(str(ID), enabled=False),
    job_calls.delete_schedule(str(ID)),
    job_calls.list_next_times(str(ID)),
    job_calls.run_schedule(str(ID)),
    feed_calls.list_feeds(),
    feed_calls.get_feed(str(ID)),
    feed_calls.save_feed(str(ID), url="https://shop.example/prices.json"),
    feed_calls.delete_feed(str(ID)),
    feed_calls.fetch_feed(str(ID)),
    feed_calls.confirm_feed(str(ID)),
    feed_calls.list_feed_revisions(str(ID)),
    feed_calls.get_feed_revision(str(ID), str(ID)),
    merge_calls.create_merge(b"", template="welcome"),
    merge_calls.list_merges(),
    merge_calls.get_merge(ID),
    merge_calls.start_merge(ID),
    merge_calls.pause_merge(ID),
    merge_calls.resume_merge(ID),
    merge_calls.cancel_merge(ID),
    merge_calls.list_merge_faults(ID),
    merge_calls.download_merge_faults(ID),
    merge_calls.preview_merge_row(ID),
    statistics_calls.get_statistics(),
    service_calls.list_services(),
    service_calls.get_service(ID),
    service_calls.create_service("shop"),
    service_calls.update_service(ID, default_days=True),
    staff_calls.list_staff(),
    staff_calls.get_staff(ID),
    staff_calls.create_staff("ana@example.com", name="Ana"),
    staff_calls.set_staff_roles(ID, ["support"]),
    staff_calls.disable_staff(ID),
    staff_calls.enable_staff(ID),
    staff_calls.create_staff_link(ID),
    staff_calls.list_staff_sessions(ID),
    staff_calls.revoke_staff_sessions(ID),
)
"""One call for each operation of the API."""


def test_every_operation_has_a_method() -> None:
    """Each operation under /v1 of openapi.json has one call, and each call has an operation."""
    described = json.loads((Path(__file__).parents[3] / "openapi.json").read_text())
    operations = [
        f"{method.upper()} {re.sub(r'{[^}]*}', '_', path)}"
        for path, methods in described["paths"].items()
        for method in methods
        if path.startswith("/v1/")
    ]
    requests = [f"{call.method} {call.path.replace(str(ID), '_')}" for call in EACH]
    assert sorted(requests) == sorted(operations)

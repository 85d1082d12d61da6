"""The calls of `AsyncNotifier` by group: each method is made from a function that builds a call."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from notifier.client import (
    account,
    feed_calls,
    job_calls,
    key_calls,
    merge_calls,
    service_calls,
    staff_calls,
    template_calls,
)
from notifier.client.api_call import Call, PageCall, T, build_next_page_call, describe_method

if TYPE_CHECKING:
    from notifier.client.awaiting import AsyncNotifier

P = ParamSpec("P")


class AsyncCallGroup:
    """Some calls of a client; each method was made from a function that builds the call."""

    def __init__(self, client: "AsyncNotifier") -> None:
        self._client = client

    def __init_subclass__(cls) -> None:
        """Give each method the name under which the class has it."""
        for name, method in vars(cls).items():
            if hasattr(method, "__signature__"):
                method.__name__, method.__qualname__ = name, f"{cls.__name__}.{name}"


def make_method(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncCallGroup, P], Coroutine[Any, Any, T]]:
    """Make the method that carries out a call."""

    async def method(self: AsyncCallGroup, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._client.perform(build(*args, **kwargs))

    return describe_method(method, build)


def make_iterator(build: Callable[P, PageCall[T]]) -> Callable[Concatenate[AsyncCallGroup, P], AsyncIterator[T]]:
    """Make the method that iterates over a page and all following pages."""

    def method(self: AsyncCallGroup, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return _iterate_pages(self._client, build(*args, **kwargs))

    return describe_method(method, build)


async def _iterate_pages(client: "AsyncNotifier", first: PageCall[T]) -> AsyncIterator[T]:
    call: PageCall[T] | None = first
    while call is not None:
        page = await client.perform(call)
        for item in page.items:
            yield item
        call = build_next_page_call(call, page)


def make_stream(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncCallGroup, P], AsyncIterator[T]]:
    """Make the method that iterates over the events of a stream."""

    def method(self: AsyncCallGroup, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._client.follow(build(*args, **kwargs))

    return describe_method(method, build)


class AsyncSuppressions(AsyncCallGroup):
    """Suppressed addresses."""

    list = make_iterator(account.list_suppressions)
    get = make_method(account.get_suppression)
    add = make_method(account.add_suppression)
    lift = make_method(account.lift_suppression)


class AsyncWebhooks(AsyncCallGroup):
    """Webhook endpoints and their deliveries."""

    list = make_iterator(account.list_webhooks)
    get = make_method(account.get_webhook)
    create = make_method(account.create_webhook)
    update = make_method(account.update_webhook)
    delete = make_method(account.delete_webhook)
    rotate_secret = make_method(account.rotate_webhook_secret)
    test = make_method(account.test_webhook)
    deliveries = make_iterator(account.list_webhook_deliveries)
    delivery = make_method(account.get_webhook_delivery)
    replay = make_method(account.replay_webhook_delivery)
    replay_failed = make_method(account.replay_failed_webhook_deliveries)


class AsyncAssets(AsyncCallGroup):
    """Images for templates."""

    list = make_iterator(template_calls.list_assets)
    get = make_method(template_calls.get_asset)
    upload = make_method(template_calls.upload_asset)
    delete = make_method(template_calls.delete_asset)
    file = make_method(template_calls.get_asset_file)
    original = make_method(template_calls.get_asset_original)


class AsyncKeys(AsyncCallGroup):
    """API keys."""

    list = make_iterator(key_calls.list_keys)
    get = make_method(key_calls.get_key)
    create = make_method(key_calls.create_key)
    rotate = make_method(key_calls.rotate_key)
    revoke = make_method(key_calls.revoke_key)
    set_team = make_method(key_calls.set_team_recipients)


class AsyncTemplates(AsyncCallGroup):
    """Templates, their drafts and versions."""

    list = make_iterator(template_calls.list_templates)
    get = make_method(template_calls.get_template)
    delete = make_method(template_calls.delete_template)
    undelete = make_method(template_calls.undelete_template)
    draft = make_method(template_calls.get_template_draft)
    save = make_method(template_calls.save_template_draft)
    discard = make_method(template_calls.discard_template_draft)
    preview = make_method(template_calls.preview_template)
    gate = make_method(template_calls.try_template)
    publish = make_method(template_calls.publish_template)
    restore = make_method(template_calls.restore_template)
    versions = make_iterator(template_calls.list_template_versions)
    version = make_method(template_calls.get_template_version)
    schema = make_method(template_calls.get_template_schema)
    diff = make_method(template_calls.diff_template)
    test_send = make_method(template_calls.send_test_mail)
    render = make_method(template_calls.render_source)
    files = make_iterator(template_calls.list_template_files)
    push = make_method(template_calls.push_templates)


class AsyncLayouts(AsyncCallGroup):
    """Layouts that templates share."""

    list = make_iterator(template_calls.list_layouts)
    get = make_method(template_calls.get_layout)
    save = make_method(template_calls.save_layout)
    delete = make_method(template_calls.delete_layout)


class AsyncJobs(AsyncCallGroup):
    """Job runs."""

    list = make_iterator(job_calls.list_jobs)
    get = make_method(job_calls.get_job)
    watch = make_stream(job_calls.watch_job)
    cancel = make_method(job_calls.cancel_job)
    pause = make_method(job_calls.pause_job)
    resume = make_method(job_calls.resume_job)
    retry = make_method(job_calls.retry_job)


class AsyncSchedules(AsyncCallGroup):
    """Schedules, which begin job runs."""

    list = make_iterator(job_calls.list_schedules)
    get = make_method(job_calls.get_schedule)
    save = make_method(job_calls.save_schedule)
    save_all = make_method(job_calls.save_schedules)
    switch = make_method(job_calls.switch_schedule)
    delete = make_method(job_calls.delete_schedule)
    next_times = make_method(job_calls.list_next_times)
    run = make_method(job_calls.run_schedule)


class AsyncFeeds(AsyncCallGroup):
    """Documents of others, and their revisions."""

    list = make_iterator(feed_calls.list_feeds)
    get = make_method(feed_calls.get_feed)
    save = make_method(feed_calls.save_feed)
    delete = make_method(feed_calls.delete_feed)
    fetch = make_method(feed_calls.fetch_feed)
    confirm = make_method(feed_calls.confirm_feed)
    revisions = make_iterator(feed_calls.list_feed_revisions)
    revision = make_method(feed_calls.get_feed_revision)


class AsyncMerges(AsyncCallGroup):
    """Mail merges."""

    list = make_iterator(merge_calls.list_merges)
    get = make_method(merge_calls.get_merge)
    create = make_method(merge_calls.create_merge)
    start = make_method(merge_calls.start_merge)
    pause = make_method(merge_calls.pause_merge)
    resume = make_method(merge_calls.resume_merge)
    cancel = make_method(merge_calls.cancel_merge)
    faults = make_iterator(merge_calls.list_merge_faults)
    faults_csv = make_method(merge_calls.download_merge_faults)
    preview = make_method(merge_calls.preview_merge_row)


class AsyncStaff(AsyncCallGroup):
    """People who sign in to the console."""

    list = make_iterator(staff_calls.list_staff)
    get = make_method(staff_calls.get_staff)
    create = make_method(staff_calls.create_staff)
    set_roles = make_method(staff_calls.set_staff_roles)
    disable = make_method(staff_calls.disable_staff)
    enable = make_method(staff_calls.enable_staff)
    create_link = make_method(staff_calls.create_staff_link)
    sessions = make_iterator(staff_calls.list_staff_sessions)
    revoke_sessions = make_method(staff_calls.revoke_staff_sessions)


class AsyncServices(AsyncCallGroup):
    """The services that call the API."""

    list = make_iterator(service_calls.list_services)
    get = make_method(service_calls.get_service)
    create = make_method(service_calls.create_service)
    update = make_method(service_calls.update_service)

"""`AsyncNotifier`: the client for programs on asyncio, with the same calls as `Notifier`."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, Self

import httpx2

from notifier.client import account, notification_calls, template_calls
from notifier.client.api_call import Call, HttpResponse, NoResponse, PageCall, T, build_next_page_call, describe_method
from notifier.client.http_exchange import (
    SILENCE_SECONDS,
    Configuration,
    EventParser,
    build_timeout,
    classify_failure,
    convert_response,
)
from notifier.client.retry_policy import Finished, RetryLater, RetryPolicy, RetryState

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


def _make_method(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncCallGroup, P], Coroutine[Any, Any, T]]:
    """Make the method that carries out a call."""

    async def method(self: AsyncCallGroup, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._client.perform(build(*args, **kwargs))

    return describe_method(method, build)


def _make_iterator(build: Callable[P, PageCall[T]]) -> Callable[Concatenate[AsyncCallGroup, P], AsyncIterator[T]]:
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


def _make_stream(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncCallGroup, P], AsyncIterator[T]]:
    """Make the method that iterates over the events of a stream."""

    def method(self: AsyncCallGroup, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._client.follow(build(*args, **kwargs))

    return describe_method(method, build)


class AsyncSuppressions(AsyncCallGroup):
    """Suppressed addresses."""

    list = _make_iterator(account.list_suppressions)
    get = _make_method(account.get_suppression)
    add = _make_method(account.add_suppression)
    lift = _make_method(account.lift_suppression)


class AsyncWebhooks(AsyncCallGroup):
    """Webhook endpoints and their deliveries."""

    list = _make_iterator(account.list_webhooks)
    get = _make_method(account.get_webhook)
    create = _make_method(account.create_webhook)
    update = _make_method(account.update_webhook)
    delete = _make_method(account.delete_webhook)
    rotate_secret = _make_method(account.rotate_webhook_secret)
    test = _make_method(account.test_webhook)
    deliveries = _make_iterator(account.list_webhook_deliveries)
    delivery = _make_method(account.get_webhook_delivery)
    replay = _make_method(account.replay_webhook_delivery)
    replay_failed = _make_method(account.replay_failed_webhook_deliveries)


class AsyncAssets(AsyncCallGroup):
    """Images for templates."""

    list = _make_iterator(template_calls.list_assets)
    get = _make_method(template_calls.get_asset)
    upload = _make_method(template_calls.upload_asset)
    delete = _make_method(template_calls.delete_asset)
    file = _make_method(template_calls.get_asset_file)


class AsyncKeys(AsyncCallGroup):
    """Your service's API keys."""

    list = _make_iterator(account.list_keys)
    get = _make_method(account.get_key)
    create = _make_method(account.create_key)
    rotate = _make_method(account.rotate_key)
    revoke = _make_method(account.revoke_key)
    set_team = _make_method(account.set_team_recipients)


class AsyncTemplates(AsyncCallGroup):
    """Templates, their drafts and versions."""

    list = _make_iterator(template_calls.list_templates)
    get = _make_method(template_calls.get_template)
    delete = _make_method(template_calls.delete_template)
    undelete = _make_method(template_calls.undelete_template)
    draft = _make_method(template_calls.get_template_draft)
    save = _make_method(template_calls.save_template_draft)
    discard = _make_method(template_calls.discard_template_draft)
    preview = _make_method(template_calls.preview_template)
    gate = _make_method(template_calls.try_template)
    publish = _make_method(template_calls.publish_template)
    restore = _make_method(template_calls.restore_template)
    versions = _make_iterator(template_calls.list_template_versions)
    version = _make_method(template_calls.get_template_version)
    schema = _make_method(template_calls.get_template_schema)
    diff = _make_method(template_calls.diff_template)
    test_send = _make_method(template_calls.send_test_mail)
    render = _make_method(template_calls.render_source)


class AsyncLayouts(AsyncCallGroup):
    """Layouts that templates share."""

    list = _make_iterator(template_calls.list_layouts)
    get = _make_method(template_calls.get_layout)
    save = _make_method(template_calls.save_layout)
    delete = _make_method(template_calls.delete_layout)


class AsyncNotifier(AsyncCallGroup):
    """The client: `async with AsyncNotifier() as notifier: await notifier.send(to=…, template=…)`."""

    def __init__(
        self,
        *,
        url: str | None = None,
        key: str | None = None,
        timeout: float = 30.0,
        retries: RetryPolicy | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Take the URL and the key, by default from NOTIFIER_URL and NOTIFIER_API_KEY. Nothing is sent yet."""
        super().__init__(self)
        self._configuration = Configuration.from_arguments(url, key, timeout, retries)
        self._http = httpx2.AsyncClient(
            base_url=self._configuration.url, headers=self._configuration.headers, transport=transport
        )
        self.suppressions = AsyncSuppressions(self)
        self.webhooks = AsyncWebhooks(self)
        self.keys = AsyncKeys(self)
        self.templates = AsyncTemplates(self)
        self.layouts = AsyncLayouts(self)
        self.assets = AsyncAssets(self)

    send = _make_method(notification_calls.send_notification)
    send_batch = _make_method(notification_calls.send_batch)
    dry_run = _make_method(notification_calls.dry_run_notification)
    get = _make_method(notification_calls.get_notification)
    list = _make_iterator(notification_calls.list_notifications)
    page = _make_method(notification_calls.list_notifications)
    events = _make_method(notification_calls.get_notification_events)
    content = _make_method(notification_calls.get_notification_content)
    eml = _make_method(notification_calls.get_notification_eml)
    explain = _make_method(notification_calls.explain_notification)
    update = _make_method(notification_calls.update_notification)
    cancel = _make_method(notification_calls.cancel_notification)
    retry = _make_method(notification_calls.retry_notification)
    resolve = _make_method(notification_calls.resolve_notification)
    batch = _make_method(notification_calls.get_batch)
    watch_batch = _make_stream(notification_calls.watch_batch)
    cancel_batch = _make_method(notification_calls.cancel_batch)
    whoami = _make_method(account.whoami)
    audit = _make_iterator(account.list_audit)

    async def perform(self, call: Call[T]) -> T:
        """Send the request, with the retries that the policy allows, and return what the reply means."""
        tries = RetryState(call=call, policy=self._configuration.retries, started=time.monotonic())
        while True:
            outcome = await self._exchange(call, tries.seconds_left(time.monotonic(), self._configuration.timeout))
            decision = tries.decide(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(decision, Finished):
                return decision.value
            await asyncio.sleep(decision.seconds)

    async def follow(self, call: Call[T]) -> AsyncIterator[T]:
        """Iterate over the events of a stream until it ends. Raises `ConnectionFailedError` if it breaks."""
        tries = RetryState(call=call, policy=self._configuration.retries, started=time.monotonic())
        events, has_started = EventParser(), False
        while True:
            try:
                async with self._http.stream(
                    call.method, call.path, headers=call.headers, timeout=build_timeout(SILENCE_SECONDS)
                ) as response:
                    if response.is_success:
                        async for line in response.aiter_lines():
                            if (event := events.feed(line)) is not None:
                                has_started = True
                                yield call.read(event)
                        return
                    await response.aread()
                    outcome: HttpResponse | NoResponse = convert_response(response)
            except httpx2.RequestError as error:
                outcome = replace(classify_failure(error), is_permanent=has_started)
            decision = tries.decide(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(decision, RetryLater):
                await asyncio.sleep(decision.seconds)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _exchange(self, call: Call[T], seconds: float) -> HttpResponse | NoResponse:
        try:
            return convert_response(
                await self._http.request(
                    call.method,
                    call.path,
                    params=call.query,
                    content=call.body,
                    headers=call.headers,
                    timeout=build_timeout(seconds),
                )
            )
        except httpx2.RequestError as error:
            return classify_failure(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self._configuration.url!r})"

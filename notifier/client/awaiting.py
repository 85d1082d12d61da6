"""`AsyncNotifier`: the client for programs on asyncio, with the same calls as `Notifier`."""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx2

from notifier.client import account_calls, asset_calls, notification_calls, template_calls
from notifier.client.call import Answer, Call, Lost, PageCall, following
from notifier.client.configuration import Configuration, timeouts
from notifier.client.exchange import answer_of, lost_by, presented
from notifier.client.stream import SILENCE_SECONDS, Events
from notifier.client.tries import Again, Done, RetryPolicy, Tries

P = ParamSpec("P")
T = TypeVar("T")


class AsyncPerformer(ABC):
    """Carries out calls."""

    def __init_subclass__(cls) -> None:
        """Give each method that was made from a call the name under which the class has it."""
        for name, method in vars(cls).items():
            if hasattr(method, "__signature__"):
                method.__name__, method.__qualname__ = name, f"{cls.__name__}.{name}"

    @abstractmethod
    async def perform(self, call: Call[T]) -> T:
        """Send the request and return what the reply means."""


def _make_method(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncPerformer, P], Coroutine[Any, Any, T]]:
    """Make the method that carries out a call."""

    async def method(self: AsyncPerformer, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.perform(build(*args, **kwargs))

    return presented(method, build)


def _make_iterator(build: Callable[P, PageCall[T]]) -> Callable[Concatenate[AsyncPerformer, P], AsyncIterator[T]]:
    """Make the method that iterates over a page and all following pages."""

    def method(self: AsyncPerformer, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return _iterate_pages(self, build(*args, **kwargs))

    return presented(method, build)


async def _iterate_pages(performer: AsyncPerformer, first: PageCall[T]) -> AsyncIterator[T]:
    call: PageCall[T] | None = first
    while call is not None:
        page = await performer.perform(call)
        for item in page.items:
            yield item
        call = following(call, page)


class _CallGroup(AsyncPerformer):
    """Some calls of a client, as an attribute of it."""

    def __init__(self, client: AsyncPerformer) -> None:
        self._client = client

    async def perform(self, call: Call[T]) -> T:
        """Send the request and return what the reply means."""
        return await self._client.perform(call)


def _make_stream(build: Callable[P, Call[T]]) -> Callable[Concatenate["AsyncNotifier", P], AsyncIterator[T]]:
    """Make the method that iterates over the events of a stream."""

    def method(self: "AsyncNotifier", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self.follow(build(*args, **kwargs))

    return presented(method, build)


class AsyncSuppressions(_CallGroup):
    """Suppressed addresses."""

    list = _make_iterator(account_calls.suppressions)
    get = _make_method(account_calls.suppression)
    add = _make_method(account_calls.suppress)
    lift = _make_method(account_calls.lift)


class AsyncWebhooks(_CallGroup):
    """Webhook endpoints and their deliveries."""

    list = _make_iterator(account_calls.webhooks)
    get = _make_method(account_calls.webhook)
    create = _make_method(account_calls.create_webhook)
    update = _make_method(account_calls.update_webhook)
    delete = _make_method(account_calls.delete_webhook)
    rotate_secret = _make_method(account_calls.rotate_webhook_secret)
    test = _make_method(account_calls.test_webhook)
    deliveries = _make_iterator(account_calls.webhook_deliveries)
    delivery = _make_method(account_calls.webhook_delivery)
    replay = _make_method(account_calls.replay_webhook_delivery)
    replay_failed = _make_method(account_calls.replay_failed_webhook_deliveries)


class AsyncAssets(_CallGroup):
    """Images for templates."""

    list = _make_iterator(asset_calls.assets)
    get = _make_method(asset_calls.asset)
    upload = _make_method(asset_calls.upload_asset)
    delete = _make_method(asset_calls.delete_asset)
    file = _make_method(asset_calls.asset_file)


class AsyncKeys(_CallGroup):
    """Your service's API keys."""

    list = _make_iterator(account_calls.keys)
    get = _make_method(account_calls.key)
    create = _make_method(account_calls.create_key)
    rotate = _make_method(account_calls.rotate_key)
    revoke = _make_method(account_calls.revoke_key)
    set_team = _make_method(account_calls.set_team)


class AsyncTemplates(_CallGroup):
    """Templates, their drafts and versions."""

    list = _make_iterator(template_calls.templates)
    get = _make_method(template_calls.template)
    delete = _make_method(template_calls.delete_template)
    undelete = _make_method(template_calls.undelete)
    draft = _make_method(template_calls.draft)
    save = _make_method(template_calls.save_draft)
    discard = _make_method(template_calls.discard_draft)
    preview = _make_method(template_calls.preview)
    gate = _make_method(template_calls.gate)
    publish = _make_method(template_calls.publish)
    restore = _make_method(template_calls.restore)
    versions = _make_iterator(template_calls.versions)
    version = _make_method(template_calls.version)
    schema = _make_method(template_calls.schema)
    diff = _make_method(template_calls.diff)
    test_send = _make_method(template_calls.test_send)
    render = _make_method(template_calls.render)


class AsyncLayouts(_CallGroup):
    """Layouts that templates share."""

    list = _make_iterator(template_calls.layouts)
    get = _make_method(template_calls.layout)
    save = _make_method(template_calls.save_layout)
    delete = _make_method(template_calls.delete_layout)


class AsyncNotifier(AsyncPerformer):
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
        self._configuration = Configuration.of(url, key, timeout, retries)
        self._http = httpx2.AsyncClient(
            base_url=self._configuration.url, headers=self._configuration.headers, transport=transport
        )
        self.suppressions = AsyncSuppressions(self)
        self.webhooks = AsyncWebhooks(self)
        self.keys = AsyncKeys(self)
        self.templates = AsyncTemplates(self)
        self.layouts = AsyncLayouts(self)
        self.assets = AsyncAssets(self)

    send = _make_method(notification_calls.send)
    send_batch = _make_method(notification_calls.send_batch)
    dry_run = _make_method(notification_calls.dry_run)
    get = _make_method(notification_calls.get)
    list = _make_iterator(notification_calls.page)
    page = _make_method(notification_calls.page)
    events = _make_method(notification_calls.events)
    content = _make_method(notification_calls.content)
    eml = _make_method(notification_calls.eml)
    explain = _make_method(notification_calls.explain)
    update = _make_method(notification_calls.update)
    cancel = _make_method(notification_calls.cancel)
    retry = _make_method(notification_calls.retry)
    resolve = _make_method(notification_calls.resolve)
    batch = _make_method(notification_calls.batch)
    watch_batch = _make_stream(notification_calls.watch_batch)
    cancel_batch = _make_method(notification_calls.cancel_batch)
    whoami = _make_method(account_calls.whoami)
    audit = _make_iterator(account_calls.audit)

    async def perform(self, call: Call[T]) -> T:
        """Send the request, with the retries that the policy allows, and return what the reply means."""
        tries = Tries(call=call, policy=self._configuration.retries, started=time.monotonic())
        while True:
            outcome = await self._exchange(call, tries.seconds_left(time.monotonic(), self._configuration.timeout))
            decision = tries.judge(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(decision, Done):
                return decision.value
            await asyncio.sleep(decision.seconds)

    async def follow(self, call: Call[T]) -> AsyncIterator[T]:
        """Iterate over the events of a stream until it ends. Raises `ConnectionFailedError` if it breaks."""
        tries = Tries(call=call, policy=self._configuration.retries, started=time.monotonic())
        events, has_started = Events(), False
        while True:
            try:
                async with self._http.stream(
                    call.method, call.path, headers=call.headers, timeout=timeouts(SILENCE_SECONDS)
                ) as response:
                    if response.is_success:
                        async for line in response.aiter_lines():
                            if (event := events.take(line)) is not None:
                                has_started = True
                                yield call.read(event)
                        return
                    await response.aread()
                    outcome: Answer | Lost = answer_of(response)
            except httpx2.RequestError as error:
                outcome = replace(lost_by(error), hopeless=has_started)
            decision = tries.judge(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(decision, Again):
                await asyncio.sleep(decision.seconds)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _exchange(self, call: Call[T], seconds: float) -> Answer | Lost:
        try:
            return answer_of(
                await self._http.request(
                    call.method,
                    call.path,
                    params=call.query,
                    content=call.body,
                    headers=call.headers,
                    timeout=timeouts(seconds),
                )
            )
        except httpx2.RequestError as error:
            return lost_by(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self._configuration.url!r})"

"""`AsyncNotifier`: the client for programs on asyncio. Its calls are those of `Notifier`, awaited."""

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


def _answered(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncPerformer, P], Coroutine[Any, Any, T]]:
    """The method that carries out the call."""

    async def method(self: AsyncPerformer, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.perform(build(*args, **kwargs))

    return presented(method, build)


def _walked(build: Callable[P, PageCall[T]]) -> Callable[Concatenate[AsyncPerformer, P], AsyncIterator[T]]:
    """The method that iterates over this page and all that follow."""

    def method(self: AsyncPerformer, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return _walk(self, build(*args, **kwargs))

    return presented(method, build)


async def _walk(performer: AsyncPerformer, first: PageCall[T]) -> AsyncIterator[T]:
    call: PageCall[T] | None = first
    while call is not None:
        page = await performer.perform(call)
        for item in page.items:
            yield item
        call = following(call, page)


class _Part(AsyncPerformer):
    """Some of the calls of a client, under a name of their own."""

    def __init__(self, client: AsyncPerformer) -> None:
        self._client = client

    async def perform(self, call: Call[T]) -> T:
        """What the API answers in the end."""
        return await self._client.perform(call)


def _followed(build: Callable[P, Call[T]]) -> Callable[Concatenate["AsyncNotifier", P], AsyncIterator[T]]:
    """The method that iterates over what a stream tells."""

    def method(self: "AsyncNotifier", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self.follow(build(*args, **kwargs))

    return presented(method, build)


class AsyncSuppressions(_Part):
    """Addresses that are not mailed."""

    list = _walked(account_calls.suppressions)
    get = _answered(account_calls.suppression)
    add = _answered(account_calls.suppress)
    lift = _answered(account_calls.lift)


class AsyncWebhooks(_Part):
    """URLs of yours that are told about your notifications."""

    list = _walked(account_calls.webhooks)
    get = _answered(account_calls.webhook)
    create = _answered(account_calls.create_webhook)
    update = _answered(account_calls.update_webhook)
    delete = _answered(account_calls.delete_webhook)
    rotate_secret = _answered(account_calls.rotate_webhook_secret)
    test = _answered(account_calls.test_webhook)
    deliveries = _walked(account_calls.webhook_deliveries)
    delivery = _answered(account_calls.webhook_delivery)
    replay = _answered(account_calls.replay_webhook_delivery)
    replay_failed = _answered(account_calls.replay_failed_webhook_deliveries)


class AsyncAssets(_Part):
    """Images for templates."""

    list = _walked(asset_calls.assets)
    get = _answered(asset_calls.asset)
    upload = _answered(asset_calls.upload_asset)
    delete = _answered(asset_calls.delete_asset)
    file = _answered(asset_calls.asset_file)


class AsyncKeys(_Part):
    """Your service's API keys."""

    list = _walked(account_calls.keys)
    get = _answered(account_calls.key)
    create = _answered(account_calls.create_key)
    rotate = _answered(account_calls.rotate_key)
    revoke = _answered(account_calls.revoke_key)
    set_team = _answered(account_calls.set_team)


class AsyncTemplates(_Part):
    """What mail says: drafts and versions."""

    list = _walked(template_calls.templates)
    get = _answered(template_calls.template)
    delete = _answered(template_calls.delete_template)
    undelete = _answered(template_calls.undelete)
    draft = _answered(template_calls.draft)
    save = _answered(template_calls.save_draft)
    discard = _answered(template_calls.discard_draft)
    preview = _answered(template_calls.preview)
    gate = _answered(template_calls.gate)
    publish = _answered(template_calls.publish)
    restore = _answered(template_calls.restore)
    versions = _walked(template_calls.versions)
    version = _answered(template_calls.version)
    schema = _answered(template_calls.schema)
    diff = _answered(template_calls.diff)
    test_send = _answered(template_calls.test_send)
    render = _answered(template_calls.render)


class AsyncLayouts(_Part):
    """Texts that templates share."""

    list = _walked(template_calls.layouts)
    get = _answered(template_calls.layout)
    save = _answered(template_calls.save_layout)
    delete = _answered(template_calls.delete_layout)


class AsyncNotifier(AsyncPerformer):
    """Notifier, called over HTTP: `async with AsyncNotifier() as notifier: await notifier.send(to=…, template=…)`."""

    def __init__(
        self,
        *,
        url: str | None = None,
        key: str | None = None,
        timeout: float = 30.0,
        retries: RetryPolicy | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Take the URL and the key, or find them in NOTIFIER_URL and NOTIFIER_API_KEY; nothing is sent yet."""
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

    send = _answered(notification_calls.send)
    send_batch = _answered(notification_calls.send_batch)
    dry_run = _answered(notification_calls.dry_run)
    get = _answered(notification_calls.get)
    list = _walked(notification_calls.page)
    page = _answered(notification_calls.page)
    events = _answered(notification_calls.events)
    content = _answered(notification_calls.content)
    eml = _answered(notification_calls.eml)
    explain = _answered(notification_calls.explain)
    update = _answered(notification_calls.update)
    cancel = _answered(notification_calls.cancel)
    retry = _answered(notification_calls.retry)
    resolve = _answered(notification_calls.resolve)
    batch = _answered(notification_calls.batch)
    watch_batch = _followed(notification_calls.watch_batch)
    cancel_batch = _answered(notification_calls.cancel_batch)
    whoami = _answered(account_calls.whoami)
    audit = _walked(account_calls.audit)

    async def perform(self, call: Call[T]) -> T:
        """What the API answers in the end, after as many tries as the policy allows."""
        tries = Tries(call=call, policy=self._configuration.retries, started=time.monotonic())
        while True:
            outcome = await self._exchange(call, tries.seconds_left(time.monotonic(), self._configuration.timeout))
            verdict = tries.judge(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(verdict, Done):
                return verdict.value
            await asyncio.sleep(verdict.seconds)

    async def follow(self, call: Call[T]) -> AsyncIterator[T]:
        """What a stream tells, until it ends. `ConnectionFailedError` if it breaks: what it told before stands."""
        tries = Tries(call=call, policy=self._configuration.retries, started=time.monotonic())
        events, told = Events(), False
        while True:
            try:
                async with self._http.stream(
                    call.method, call.path, headers=call.headers, timeout=timeouts(SILENCE_SECONDS)
                ) as response:
                    if response.is_success:
                        async for line in response.aiter_lines():
                            if (event := events.take(line)) is not None:
                                told = True
                                yield call.read(event)
                        return
                    await response.aread()
                    outcome: Answer | Lost = answer_of(response)
            except httpx2.RequestError as error:
                outcome = replace(lost_by(error), hopeless=told)
            verdict = tries.judge(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(verdict, Again):
                await asyncio.sleep(verdict.seconds)

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

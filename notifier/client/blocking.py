"""`Notifier`: the client for programs without an event loop. Threads may share one; forked processes may not."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx2

from notifier.client import account_calls, asset_calls, notification_calls, template_calls
from notifier.client.api_call import Call, HttpResponse, NoResponse, PageCall, build_next_page_call
from notifier.client.configuration import Configuration, build_timeout
from notifier.client.event_stream import SILENCE_SECONDS, EventParser
from notifier.client.http_exchange import classify_failure, convert_response, presented
from notifier.client.retry_policy import Finished, RetryLater, RetryPolicy, RetryState

P = ParamSpec("P")
T = TypeVar("T")


class Performer(ABC):
    """Whoever can carry out a call."""

    @abstractmethod
    def perform(self, call: Call[T]) -> T:
        """What the API answers in the end."""


def _answered(build: Callable[P, Call[T]]) -> Callable[Concatenate[Performer, P], T]:
    """The method that carries out the call."""

    def method(self: Performer, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.perform(build(*args, **kwargs))

    return presented(method, build)


def _walked(build: Callable[P, PageCall[T]]) -> Callable[Concatenate[Performer, P], Iterator[T]]:
    """The method that iterates over this page and all that follow."""

    def method(self: Performer, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return _walk(self, build(*args, **kwargs))

    return presented(method, build)


def _walk(performer: Performer, first: PageCall[T]) -> Iterator[T]:
    call: PageCall[T] | None = first
    while call is not None:
        page = performer.perform(call)
        yield from page.items
        call = build_next_page_call(call, page)


class _Part(Performer):
    """Some of the calls of a client, under a name of their own."""

    def __init__(self, client: Performer) -> None:
        self._client = client

    def perform(self, call: Call[T]) -> T:
        """What the API answers in the end."""
        return self._client.perform(call)


def _followed(build: Callable[P, Call[T]]) -> Callable[Concatenate["Notifier", P], Iterator[T]]:
    """The method that iterates over what a stream tells."""

    def method(self: "Notifier", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self.follow(build(*args, **kwargs))

    return presented(method, build)


class Suppressions(_Part):
    """Addresses that are not mailed."""

    list = _walked(account_calls.list_suppressions)
    get = _answered(account_calls.get_suppression)
    add = _answered(account_calls.add_suppression)
    lift = _answered(account_calls.lift_suppression)


class Webhooks(_Part):
    """URLs of yours that are told about your notifications."""

    list = _walked(account_calls.list_webhooks)
    get = _answered(account_calls.get_webhook)
    create = _answered(account_calls.create_webhook)
    update = _answered(account_calls.update_webhook)
    delete = _answered(account_calls.delete_webhook)
    rotate_secret = _answered(account_calls.rotate_webhook_secret)
    test = _answered(account_calls.test_webhook)
    deliveries = _walked(account_calls.list_webhook_deliveries)
    delivery = _answered(account_calls.get_webhook_delivery)
    replay = _answered(account_calls.replay_webhook_delivery)
    replay_failed = _answered(account_calls.replay_failed_webhook_deliveries)


class Assets(_Part):
    """Images for templates."""

    list = _walked(asset_calls.list_assets)
    get = _answered(asset_calls.get_asset)
    upload = _answered(asset_calls.upload_asset)
    delete = _answered(asset_calls.delete_asset)
    file = _answered(asset_calls.get_asset_file)


class Keys(_Part):
    """Your service's API keys."""

    list = _walked(account_calls.list_keys)
    get = _answered(account_calls.get_key)
    create = _answered(account_calls.create_key)
    rotate = _answered(account_calls.rotate_key)
    revoke = _answered(account_calls.revoke_key)
    set_team = _answered(account_calls.set_team_recipients)


class Templates(_Part):
    """What mail says: drafts and versions."""

    list = _walked(template_calls.list_templates)
    get = _answered(template_calls.get_template)
    delete = _answered(template_calls.delete_template)
    undelete = _answered(template_calls.undelete_template)
    draft = _answered(template_calls.get_template_draft)
    save = _answered(template_calls.save_template_draft)
    discard = _answered(template_calls.discard_template_draft)
    preview = _answered(template_calls.preview_template)
    gate = _answered(template_calls.try_template)
    publish = _answered(template_calls.publish_template)
    restore = _answered(template_calls.restore_template)
    versions = _walked(template_calls.list_template_versions)
    version = _answered(template_calls.get_template_version)
    schema = _answered(template_calls.get_template_schema)
    diff = _answered(template_calls.diff_template)
    test_send = _answered(template_calls.send_test_mail)
    render = _answered(template_calls.render_source)


class Layouts(_Part):
    """Texts that templates share."""

    list = _walked(template_calls.list_layouts)
    get = _answered(template_calls.get_layout)
    save = _answered(template_calls.save_layout)
    delete = _answered(template_calls.delete_layout)


class Notifier(Performer):
    """Notifier, called over HTTP: `with Notifier() as notifier: notifier.send(to=…, template=…)`."""

    def __init__(
        self,
        *,
        url: str | None = None,
        key: str | None = None,
        timeout: float = 30.0,
        retries: RetryPolicy | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Take the URL and the key, or find them in NOTIFIER_URL and NOTIFIER_API_KEY; nothing is sent yet."""
        self._configuration = Configuration.from_arguments(url, key, timeout, retries)
        self._http = httpx2.Client(
            base_url=self._configuration.url, headers=self._configuration.headers, transport=transport
        )
        self.suppressions = Suppressions(self)
        self.webhooks = Webhooks(self)
        self.keys = Keys(self)
        self.templates = Templates(self)
        self.layouts = Layouts(self)
        self.assets = Assets(self)

    send = _answered(notification_calls.send_notification)
    send_batch = _answered(notification_calls.send_batch)
    dry_run = _answered(notification_calls.dry_run_notification)
    get = _answered(notification_calls.get_notification)
    list = _walked(notification_calls.list_notifications)
    page = _answered(notification_calls.list_notifications)
    events = _answered(notification_calls.get_notification_events)
    content = _answered(notification_calls.get_notification_content)
    eml = _answered(notification_calls.get_notification_eml)
    explain = _answered(notification_calls.explain_notification)
    update = _answered(notification_calls.update_notification)
    cancel = _answered(notification_calls.cancel_notification)
    retry = _answered(notification_calls.retry_notification)
    resolve = _answered(notification_calls.resolve_notification)
    batch = _answered(notification_calls.get_batch)
    watch_batch = _followed(notification_calls.watch_batch)
    cancel_batch = _answered(notification_calls.cancel_batch)
    whoami = _answered(account_calls.whoami)
    audit = _walked(account_calls.list_audit)

    def perform(self, call: Call[T]) -> T:
        """What the API answers in the end, after as many tries as the policy allows."""
        tries = RetryState(call=call, policy=self._configuration.retries, started=time.monotonic())
        while True:
            outcome = self._exchange(call, tries.seconds_left(time.monotonic(), self._configuration.timeout))
            verdict = tries.decide(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(verdict, Finished):
                return verdict.value
            time.sleep(verdict.seconds)

    def follow(self, call: Call[T]) -> Iterator[T]:
        """What a stream tells, until it ends. `ConnectionFailedError` if it breaks: what it told before stands."""
        tries = RetryState(call=call, policy=self._configuration.retries, started=time.monotonic())
        events, told = EventParser(), False
        while True:
            try:
                with self._http.stream(
                    call.method, call.path, headers=call.headers, timeout=build_timeout(SILENCE_SECONDS)
                ) as response:
                    if response.is_success:
                        for line in response.iter_lines():
                            if (event := events.feed(line)) is not None:
                                told = True
                                yield call.read(event)
                        return
                    response.read()
                    outcome: HttpResponse | NoResponse = convert_response(response)
            except httpx2.RequestError as error:
                outcome = replace(classify_failure(error), is_permanent=told)
            verdict = tries.decide(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(verdict, RetryLater):
                time.sleep(verdict.seconds)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _exchange(self, call: Call[T], seconds: float) -> HttpResponse | NoResponse:
        try:
            return convert_response(
                self._http.request(
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self._configuration.url!r})"

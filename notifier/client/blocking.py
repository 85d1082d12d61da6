"""`Notifier`: the client without an event loop. Threads may share one; forked processes may not.

Generated from `awaiting.py` by tests/generated/write_blocking.py: change that file instead.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

import httpx2

from notifier.client import account, notification_calls, statistics_calls
from notifier.client.api_call import Call, HttpResponse, NoResponse, T
from notifier.client.blocking_groups import (
    Assets,
    CallGroup,
    Feeds,
    Jobs,
    Keys,
    Layouts,
    Merges,
    Schedules,
    Services,
    Staff,
    Suppressions,
    Templates,
    Webhooks,
    make_iterator,
    make_method,
    make_stream,
)
from notifier.client.file_body import PART_BYTES, FileBody
from notifier.client.http_exchange import (
    SILENCE_SECONDS,
    Configuration,
    EventParser,
    build_timeout,
    classify_failure,
    convert_response,
)
from notifier.client.retry_policy import Finished, RetryLater, RetryPolicy, RetryState


def _iterate_parts(body: FileBody) -> Iterator[bytes]:
    """Read a file, a part at a time."""
    with body.open() as file:
        while part := file.read(PART_BYTES):
            yield part


class Notifier(CallGroup):
    """The client: `with Notifier() as notifier: notifier.send(to=…, template=…)`."""

    def __init__(
        self,
        *,
        url: str | None = None,
        key: str | None = None,
        timeout: float = 30.0,
        retries: RetryPolicy | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Take the URL and the key, by default from NOTIFIER_URL and NOTIFIER_API_KEY. Nothing is sent yet."""
        super().__init__(self)
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
        self.jobs = Jobs(self)
        self.schedules = Schedules(self)
        self.feeds = Feeds(self)
        self.merges = Merges(self)
        self.staff = Staff(self)
        self.services = Services(self)

    send = make_method(notification_calls.send_notification)
    send_batch = make_method(notification_calls.send_batch)
    dry_run = make_method(notification_calls.dry_run_notification)
    get = make_method(notification_calls.get_notification)
    list = make_iterator(notification_calls.list_notifications)
    page = make_method(notification_calls.list_notifications)
    events = make_method(notification_calls.get_notification_events)
    content = make_method(notification_calls.get_notification_content)
    eml = make_method(notification_calls.get_notification_eml)
    explain = make_method(notification_calls.explain_notification)
    update = make_method(notification_calls.update_notification)
    cancel = make_method(notification_calls.cancel_notification)
    retry = make_method(notification_calls.retry_notification)
    resolve = make_method(notification_calls.resolve_notification)
    batch = make_method(notification_calls.get_batch)
    watch_batch = make_stream(notification_calls.watch_batch)
    cancel_batch = make_method(notification_calls.cancel_batch)
    whoami = make_method(account.whoami)
    audit = make_iterator(account.list_audit)
    statistics = make_method(statistics_calls.get_statistics)

    def perform(self, call: Call[T]) -> T:
        """Send the request, with the retries that the policy allows, and return what the reply means."""
        tries = RetryState(call=call, policy=self._configuration.retries, started=time.monotonic())
        while True:
            outcome = self._exchange(call, tries.seconds_left(time.monotonic(), self._configuration.timeout))
            decision = tries.decide(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(decision, Finished):
                return decision.value
            time.sleep(decision.seconds)

    def follow(self, call: Call[T]) -> Iterator[T]:
        """Iterate over the events of a stream until it ends. Raises `ConnectionFailedError` if it breaks."""
        tries = RetryState(call=call, policy=self._configuration.retries, started=time.monotonic())
        events, has_started = EventParser(), False
        while True:
            try:
                with self._http.stream(
                    call.method, call.path, headers=call.headers, timeout=build_timeout(SILENCE_SECONDS)
                ) as response:
                    if response.is_success:
                        for line in response.iter_lines():
                            if (event := events.feed(line)) is not None:
                                has_started = True
                                yield call.read(event)
                        return
                    response.read()
                    outcome: HttpResponse | NoResponse = convert_response(response)
            except httpx2.RequestError as error:
                outcome = replace(classify_failure(error), is_permanent=has_started)
            decision = tries.decide(outcome, now=time.monotonic(), luck=random.random())  # noqa: S311 - jitter
            if isinstance(decision, RetryLater):
                time.sleep(decision.seconds)

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
                    content=call.body if call.file is None else _iterate_parts(call.file),
                    headers=call.headers,
                    timeout=build_timeout(seconds),
                )
            )
        except httpx2.RequestError as error:
            return classify_failure(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self._configuration.url!r})"

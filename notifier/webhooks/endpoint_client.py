"""Sends one POST to an endpoint: to a checked address, with limits on time, memory and concurrency.

It returns a `CallResult` whatever the endpoint does. It follows no redirect, keeps no cookie and reuses no connection.
"""

import asyncio
import contextlib
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import h11

import notifier
from notifier.backoff import MAX_RETRY_AFTER, parse_retry_after
from notifier.clock import Clock
from notifier.errors import ConfigurationError
from notifier.settings import WebhooksSettings
from notifier.trusted_certificates import WEBHOOKS_VARIABLE, LazyTlsContext
from notifier.webhooks.pinned_connection import (
    MAX_HEAD_BYTES,
    AddressRefusedError,
    ResolveHost,
    open_pinned_connection,
)
from notifier.webhooks.webhook_url import UrlRefusedError, WebhookTarget, parse_webhook_url

MAX_REPLY_BYTES = 64 * 1024
"""Bytes that are read of a reply, head and body together."""
BODY_SECONDS = 2.0
"""Seconds in which the body of a reply is read, once its status is known."""
MAX_DETAIL_LENGTH = 200
"""Characters of a reply that are kept for the owner of the endpoint."""
HEALTHY_DIVISOR, FAILING_DIVISOR = 2, 10
"""An endpoint may take all slots divided by this, after a successful attempt and after a failed one."""
MAX_WAIT = timedelta(minutes=10)
MIN_WAIT_SECONDS = 0.5
MAX_REMEMBERED = 10_000
HIDDEN_REPLY = "replies of a host in NOTIFIER_WEBHOOKS__INSECURE_HOSTS are not kept"
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """The result of one attempt."""

    code: int | None  # the HTTP status; None: there was no valid reply
    detail: str  # for people: the beginning of the reply, or what went wrong
    seconds: float  # how long it took
    retry_after: float | None = None  # seconds, from the reply

    @property
    def is_success(self) -> bool:
        """True for a 2xx status."""
        return self.code is not None and 200 <= self.code < 300  # noqa: PLR2004 - RFC 9110 §15.3

    @property
    def is_gone(self) -> bool:
        """True if the endpoint asks to be disabled."""
        return self.code == 410  # noqa: PLR2004 - RFC 9110 §15.5.11


@dataclass(frozen=True, kw_only=True)
class _Reply:
    code: int
    retry_after: str
    body: bytes  # only its beginning


class EndpointClient:
    """Calls endpoints."""

    def __init__(self, resolver: ResolveHost, *, clock: Clock, settings: WebhooksSettings) -> None:
        self._resolve = resolver
        self._clock = clock
        self._timeout = settings.timeout
        self._trusted = settings.insecure_hosts
        self._tls = LazyTlsContext(settings.ca_file, WEBHOOKS_VARIABLE)  # the start has checked the file

    async def post(self, url: str, fields: Mapping[str, str], body: bytes) -> CallResult:
        """POST a JSON body with these header fields."""
        started = self._clock.monotonic()
        code = retry_after = None
        try:
            where = parse_webhook_url(url, self._trusted)
            reply = await self._exchange(where, fields, body)
            # An insecure host may be any service of this network. The owner of the URL must not read its replies.
            code, detail = reply.code, HIDDEN_REPLY if where.trusted else _clean_text(reply.body)
            if code >= 300:  # noqa: PLR2004 - a success is not retried
                retry_after = parse_retry_after(
                    reply.retry_after, self._clock.now(), maximum=MAX_RETRY_AFTER.total_seconds()
                )
        except UrlRefusedError as error:
            detail = f"the URL may not be called: {error}"
        except AddressRefusedError as error:
            detail = str(error)
        except TimeoutError:
            detail = f"no reply within {self._timeout:g} seconds"
        except ssl.SSLCertVerificationError as error:
            detail = f"the certificate was refused: {error.verify_message}"
        except (ssl.SSLError, h11.RemoteProtocolError):
            detail = "the reply is not valid HTTP over TLS"
        except ConfigurationError:  # its message names a file of the operator
            detail = "the certificates that Notifier trusts cannot be read: ask its operator to run notifier doctor"
        except OSError as error:
            detail = f"no connection: {type(error).__name__}"
        return CallResult(code=code, detail=detail, seconds=self._clock.monotonic() - started, retry_after=retry_after)

    async def _exchange(self, where: WebhookTarget, fields: Mapping[str, str], body: bytes) -> _Reply:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        with contextlib.ExitStack() as stack:
            async with asyncio.timeout(self._timeout):
                reader, writer = await open_pinned_connection(where, self._resolve, self._tls)
                stack.callback(writer.transport.abort)  # closing TLS properly would wait for the other side
                writer.write(_encode_request(http, where, fields, body))
                await writer.drain()
                head, read = await _read_head(http, reader)
            return await _read_body(http, reader, head, read)


def _encode_request(http: h11.Connection, where: WebhookTarget, fields: Mapping[str, str], body: bytes) -> bytes:
    headers = {
        "host": where.authority,
        "user-agent": f"Notifier/{notifier.__version__} (webhooks)",
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
    }
    head = h11.Request(method="POST", target=where.path, headers=list({**headers, **fields}.items()))
    parts = (http.send(event) for event in (head, h11.Data(data=body), h11.EndOfMessage()))
    return b"".join(part or b"" for part in parts)


async def _read_head(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Response, int]:
    """Read the head of the final reply; also returns how many bytes were read."""
    read = 0
    while read < MAX_REPLY_BYTES:
        event = http.next_event()
        if isinstance(event, h11.Response):
            return event, read
        if event is h11.NEED_DATA:
            chunk = await reader.read(_CHUNK)
            read += len(chunk)
            http.receive_data(chunk)
        elif not isinstance(event, h11.InformationalResponse):
            break
    raise h11.RemoteProtocolError("no reply")


async def _read_body(http: h11.Connection, reader: asyncio.StreamReader, head: h11.Response, read: int) -> _Reply:
    """Read the beginning of the body. The status is known, so a slow or endless body changes nothing."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while read < MAX_REPLY_BYTES:
                event = http.next_event()
                if isinstance(event, h11.Data):
                    body += event.data[: max(0, 4 * MAX_DETAIL_LENGTH - len(body))]
                elif event is h11.NEED_DATA:
                    chunk = await reader.read(_CHUNK)
                    read += len(chunk)
                    http.receive_data(chunk)
                else:
                    break
    except (TimeoutError, OSError, h11.RemoteProtocolError):
        pass  # the status counts
    retry_after = next((value for name, value in head.headers if name == b"retry-after"), b"")
    return _Reply(code=head.status_code, retry_after=retry_after.decode("latin-1"), body=bytes(body))


def _clean_text(body: bytes) -> str:
    """The beginning of a body as one printable line."""
    text = "".join(char if char.isprintable() else " " for char in body.decode("utf-8", "replace"))
    return " ".join(text.split())[:MAX_DETAIL_LENGTH]


class _EndpointSlots:
    def __init__(self) -> None:
        self.in_use = 0
        self.seconds = 0.1  # duration of the last attempt
        self.is_healthy = True
        self.next_time = 0.0  # monotonic


class EndpointConcurrency:
    """The attempts that each endpoint may have at once, so that one that hangs leaves slots for the others.

    An attempt that finds no free slot gets its own later time, so that it is not claimed again and again.
    """

    def __init__(self, slots: int, clock: Clock) -> None:
        self._slots = slots
        self._clock = clock
        self._endpoints: OrderedDict[UUID, _EndpointSlots] = OrderedDict()

    def enter(self, endpoint: UUID) -> timedelta | None:
        """Take a slot and return None, or return how long to wait if all are in use. Call `leave` after the attempt."""
        slots = self._endpoints.setdefault(endpoint, _EndpointSlots())
        self._endpoints.move_to_end(endpoint)
        limit = max(1, self._slots // (HEALTHY_DIVISOR if slots.is_healthy else FAILING_DIVISOR))
        if slots.in_use < limit:
            slots.in_use += 1
            return None
        now = self._clock.monotonic()
        slots.next_time = max(slots.next_time, now + MIN_WAIT_SECONDS) + slots.seconds / limit
        return min(timedelta(seconds=slots.next_time - now), MAX_WAIT)

    def leave(self, endpoint: UUID, *, seconds: float, is_healthy: bool) -> None:
        """Give the slot back after an attempt that took `seconds`."""
        slots = self._endpoints[endpoint]
        slots.in_use -= 1
        slots.seconds, slots.is_healthy = seconds, is_healthy
        if len(self._endpoints) > MAX_REMEMBERED:
            idle = next((key for key, state in self._endpoints.items() if not state.in_use), None)
            if idle is not None:
                del self._endpoints[idle]

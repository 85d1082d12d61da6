"""One POST to an endpoint: to an address that was checked, bounded in time and memory, following nothing.

It promises an `Answer`, whatever the other side does; no redirect is followed, no cookie kept, no connection reused.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import h11

import notifier
from notifier.clock import Clock
from notifier.settings import WebhooksSettings
from notifier.trusted_certificates import WEBHOOKS_VARIABLE, build_tls_context
from notifier.webhooks import resolver, webhook_url
from notifier.webhooks.resolver import AddressRefusedError, ResolveHost
from notifier.webhooks.retry_schedule import retry_after
from notifier.webhooks.webhook_url import UrlRefusedError, WebhookTarget

MAX_HEAD_BYTES = 32 * 1024
MAX_REPLY_BYTES = 64 * 1024
"""More than this, head and body together, is not read."""
BODY_SECONDS = 2.0
"""For so long the rest of a reply is read, once its status is known."""
MAX_DETAIL_LENGTH = 200
"""Characters of a refusal that are kept for the endpoint's owner."""
HIDDEN_REPLY = "the words of a host in NOTIFIER_WEBHOOKS__INSECURE_HOSTS are not kept"
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """What became of one try."""

    code: int | None  # None: no reply that is one
    detail: str  # for people: what they said, or what went wrong
    seconds: float
    retry_after: float | None = None  # seconds that the receiver asks for

    @property
    def is_success(self) -> bool:
        """True for every 2xx."""
        return self.code is not None and 200 <= self.code < 300  # noqa: PLR2004 - RFC 9110 §15.3

    @property
    def is_gone(self) -> bool:
        """True if the receiver wants to hear no more."""
        return self.code == 410  # noqa: PLR2004 - RFC 9110 §15.5.11


@dataclass(frozen=True, kw_only=True)
class _Reply:
    code: int
    retry_after: str
    start: bytes  # of the body


class EndpointClient:
    """Calls endpoints; safe to use for many at once. Raises `ConfigurationError` for the file of certificates."""

    def __init__(
        self,
        resolver: ResolveHost,
        *,
        clock: Clock,
        settings: WebhooksSettings,
    ) -> None:
        self._resolve = resolver
        self._clock = clock
        self._timeout = settings.timeout
        self._trusted = settings.insecure_hosts
        self._tls = build_tls_context(
            settings.ca_file, WEBHOOKS_VARIABLE
        )  # at the start, so that no try finds it missing

    async def post(self, url: str, fields: Mapping[str, str], body: bytes) -> CallResult:
        """POST these octets of JSON."""
        started = self._clock.monotonic()
        code = asked = None
        try:
            where = webhook_url.parse_webhook_url(url, self._trusted)
            reply = await self._exchange(where, fields, body)
            # An insecure host may be anything on this network: what it says is not for whoever names a URL of it.
            code, detail = reply.code, HIDDEN_REPLY if where.trusted else _readable(reply.start)
            if code >= 300:  # noqa: PLR2004 - after a success nothing is left to ask for
                asked = retry_after(reply.retry_after, self._clock.now())
        except UrlRefusedError as error:
            detail = f"the URL may not be called: {error}"
        except AddressRefusedError as error:
            detail = str(error)
        except TimeoutError:
            detail = f"no reply within {self._timeout:g} seconds"
        except ssl.SSLCertVerificationError as error:
            detail = f"the certificate was refused: {error.verify_message}"
        except (ssl.SSLError, h11.RemoteProtocolError):
            detail = "the other side does not speak HTTP over TLS as it should"
        except OSError as error:
            detail = f"no connection: {type(error).__name__}"
        wish = None if asked is None else asked.total_seconds()
        return CallResult(code=code, detail=detail, seconds=self._clock.monotonic() - started, retry_after=wish)

    async def _exchange(self, where: WebhookTarget, fields: Mapping[str, str], body: bytes) -> _Reply:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        with contextlib.ExitStack() as stack:
            async with asyncio.timeout(self._timeout):
                reader, writer = await self._connect(where)
                stack.callback(writer.transport.abort)  # a polite end of TLS would wait for the other side
                writer.write(_request(http, where, fields, body))
                await writer.drain()
                head, read = await _head(http, reader)
            return await _with_body(http, reader, head, read)

    async def _connect(self, where: WebhookTarget) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to one of the addresses that were checked; the name is only said, never resolved again."""
        error: OSError = OSError("no address")
        tls = {"ssl": self._tls, "server_hostname": where.host} if where.secure else {}
        for address in await resolver.resolve_addresses(where, self._resolve):
            try:
                return await asyncio.open_connection(address, where.port, limit=MAX_HEAD_BYTES, **tls)  # type: ignore[arg-type]
            except ssl.SSLError:
                raise
            except OSError as failed:
                error = failed
        raise error


def _request(http: h11.Connection, where: WebhookTarget, fields: Mapping[str, str], body: bytes) -> bytes:
    own = {
        "host": where.authority,
        "user-agent": f"Notifier/{notifier.__version__} (webhooks)",
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
    }
    head = h11.Request(method="POST", target=where.path, headers=list({**own, **fields}.items()))
    parts = (http.send(event) for event in (head, h11.Data(data=body), h11.EndOfMessage()))
    return b"".join(part or b"" for part in parts)


async def _head(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Response, int]:
    """The head of the final reply, and how many octets were read so far."""
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


async def _with_body(http: h11.Connection, reader: asyncio.StreamReader, head: h11.Response, read: int) -> _Reply:
    """The reply; now that its status is known, neither a slow nor an endless body changes anything."""
    start = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while read < MAX_REPLY_BYTES:
                event = http.next_event()
                if isinstance(event, h11.Data):
                    start += event.data[: max(0, 4 * MAX_DETAIL_LENGTH - len(start))]
                elif event is h11.NEED_DATA:
                    chunk = await reader.read(_CHUNK)
                    read += len(chunk)
                    http.receive_data(chunk)
                else:
                    break
    except (TimeoutError, OSError, h11.RemoteProtocolError):
        pass  # the status counts
    asked = next((value for name, value in head.headers if name == b"retry-after"), b"")
    return _Reply(code=head.status_code, retry_after=asked.decode("latin-1"), start=bytes(start))


def _readable(octets: bytes) -> str:
    """The beginning of a body as one line that can be kept and shown."""
    text = "".join(one if one.isprintable() else " " for one in octets.decode("utf-8", "replace"))
    return " ".join(text.split())[:MAX_DETAIL_LENGTH]

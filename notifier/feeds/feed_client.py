"""Loads the document of a feed by one GET: from a checked address, with limits on time and size.

It follows no redirect, keeps no cookie and reuses no connection. The messages of its errors contain nothing of the
request or the reply, because they are logged and shown.
"""

import asyncio
import contextlib
import re
import ssl
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message

import h11

import notifier
from notifier.errors import ConfigurationError, NotifierError
from notifier.feeds.feed_rules import parse_feed_url
from notifier.settings import FeedsSettings
from notifier.states import FeedFormat
from notifier.trusted_certificates import FEEDS_VARIABLE, LazyTlsContext
from notifier.webhooks.pinned_connection import (
    MAX_HEAD_BYTES,
    AddressRefusedError,
    ResolveHost,
    open_pinned_connection,
)
from notifier.webhooks.webhook_url import UrlRefusedError, WebhookTarget

MAX_PIECES = 50_000
"""Chunks of a document: the time to read it depends on them, not on its bytes."""
_PIECES_AT_ONCE = 64
_CHUNK = 65_536
_GZIP_WBITS = 31
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,250}"')
_HTTP_DATE = re.compile(r"[A-Za-z0-9,: +-]{1,64}")
_CHARSET = re.compile(r"[A-Za-z0-9._:+-]{1,40}")
_ACCEPT = {FeedFormat.JSON: "application/json, */*;q=0.1", FeedFormat.CSV: "text/csv, text/plain;q=0.5, */*;q=0.1"}
_OK, _NOT_MODIFIED = 200, 304
_REASONS = {
    401: "the server refused the credentials (401): check the header fields of the feed",
    403: "the server refused the credentials (403): check the header fields of the feed",
    404: "the server has no document at this URL (404)",
    410: "the server has no document at this URL any more (410)",
    429: "the server has had too many requests (429)",
}


class FeedLoadError(NotifierError):
    """The document could not be loaded; the message is a sentence for the owner of the feed."""


@dataclass(frozen=True, kw_only=True)
class FeedSource:
    """What to load."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    format: FeedFormat
    max_bytes: int  # also after decompression
    timeout_seconds: float  # from the name query to the last byte
    etag: str | None  # of the newest revision
    last_modified: str | None


@dataclass(frozen=True, kw_only=True)
class LoadedDocument:
    """A document as its server sent it."""

    body: bytes
    charset: str | None
    etag: str | None
    last_modified: str | None


class FeedClient:
    """Loads documents."""

    def __init__(self, resolver: ResolveHost, settings: FeedsSettings) -> None:
        self._resolve = resolver
        self._settings = settings
        self._tls = LazyTlsContext(settings.ca_file, FEEDS_VARIABLE)  # the start has checked the file

    async def load_document(self, source: FeedSource) -> LoadedDocument | None:
        """Load the document; None if its server says that it has not changed. Raises `FeedLoadError`."""
        try:
            async with asyncio.timeout(source.timeout_seconds):
                target = parse_feed_url(source.url, self._settings.insecure_hosts)
                return await self._exchange(target, source)
        except UrlRefusedError as error:
            reason = f"the URL may not be called: {error}"
        except AddressRefusedError:
            reason = "the host of the URL has an address that is not public"
        except TimeoutError:
            reason = f"the whole document did not come within {source.timeout_seconds:g} seconds"
        except ssl.SSLCertVerificationError as error:
            reason = f"the certificate of the server was refused: {error.verify_message}"
        except (ssl.SSLError, h11.RemoteProtocolError):
            reason = "the reply is not valid HTTP, or ended in the middle"
        except h11.LocalProtocolError:
            reason = "the header fields of the feed cannot be sent: save them again"
        except ConfigurationError:  # its message names a file of the operator
            reason = "the certificates that Notifier trusts cannot be read: ask its operator to run notifier doctor"
        except OSError as error:
            reason = f"there is no connection to the server: {type(error).__name__}"
        raise FeedLoadError(reason)

    async def _exchange(self, target: WebhookTarget, source: FeedSource) -> LoadedDocument | None:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        with contextlib.ExitStack() as stack:
            reader, writer = await open_pinned_connection(target, self._resolve, self._tls)
            stack.callback(writer.transport.abort)  # closing TLS properly would wait for the other side
            writer.write(_encode_request(http, target, source))
            await writer.drain()
            head = await _read_head(http, reader)
            fields = {name.decode(): value.decode("latin-1") for name, value in head.headers}
            _require_document(head.status_code, fields, source)
            if head.status_code == _NOT_MODIFIED:
                return None
            body = await _read_body(http, reader, _BodyBuffer.for_reply(fields, source.max_bytes))
        return LoadedDocument(
            body=body,
            charset=_find_charset(fields.get("content-type", "")),
            etag=_match_field(_ETAG, fields.get("etag")),
            last_modified=_match_field(_HTTP_DATE, fields.get("last-modified")),
        )


def _encode_request(http: h11.Connection, target: WebhookTarget, source: FeedSource) -> bytes:
    headers = {
        "host": target.authority,
        "user-agent": f"Notifier/{notifier.__version__} (feeds)",
        "accept": _ACCEPT[source.format],
        "accept-encoding": "gzip",
        "connection": "close",
    }
    if source.etag is not None:
        headers["if-none-match"] = source.etag
    if source.last_modified is not None:
        headers["if-modified-since"] = source.last_modified
    request = h11.Request(method="GET", target=target.path, headers=[*headers.items(), *source.headers.items()])
    return b"".join(http.send(event) or b"" for event in (request, h11.EndOfMessage()))


async def _read_head(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    """Read the head of the final reply; `h11` limits its size."""
    read = 0
    while read <= 2 * MAX_HEAD_BYTES:
        event = http.next_event()
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            chunk = await reader.read(_CHUNK)
            read += len(chunk)
            http.receive_data(chunk)
        elif not isinstance(event, h11.InformationalResponse):
            break
    raise h11.RemoteProtocolError("no reply")


def _require_document(code: int, fields: Mapping[str, str], source: FeedSource) -> None:
    """Require a reply with the document, or one that says that it has not changed. Raises `FeedLoadError`."""
    if code == _NOT_MODIFIED and (source.etag or source.last_modified):
        return
    if 300 <= code < 400 and code != _NOT_MODIFIED:  # noqa: PLR2004 - RFC 9110 §15.4
        raise FeedLoadError(f"the server redirects ({code}), and redirects are not followed: use the final URL")
    if code != _OK:
        raise FeedLoadError(_REASONS.get(code, f"the server answered {code} instead of the document"))
    announced = fields.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > source.max_bytes:
        raise _build_too_large_error(source.max_bytes)
    # Without a length, a CSV document whose connection was cut cannot be told from a whole one.
    has_end = bool(announced) or "chunked" in fields.get("transfer-encoding", "").lower()
    if not has_end and source.format is FeedFormat.CSV and not fields.get("content-encoding"):
        raise FeedLoadError("the server sends neither Content-Length nor chunks: a part would look like the whole")


async def _read_body(http: h11.Connection, reader: asyncio.StreamReader, body: "_BodyBuffer") -> bytes:
    """Read the whole body. Raises `FeedLoadError`, and `RemoteProtocolError` if it ends in the middle."""
    pieces = 0
    while True:
        event = http.next_event()
        if isinstance(event, h11.Data):
            body.add(bytes(event.data))
            pieces += 1
            if pieces > MAX_PIECES:
                raise FeedLoadError(f"the server sends the document in more than {MAX_PIECES:,} pieces")
            if pieces % _PIECES_AT_ONCE == 0:
                await asyncio.sleep(0)  # a thousand tiny pieces take 30 ms, for which no mail should wait
        elif event is h11.NEED_DATA:
            http.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.EndOfMessage):
            return body.finish()
        else:
            raise h11.RemoteProtocolError("no end")


class _BodyBuffer:
    """The bytes of a body, decompressed as they come, up to a limit that counts before and after decompression."""

    def __init__(self, max_bytes: int, decompressor: "zlib._Decompress | None") -> None:
        self._max_bytes = max_bytes
        self._decompressor = decompressor
        self._received = 0
        self._decoded = bytearray()

    @classmethod
    def for_reply(cls, fields: Mapping[str, str], max_bytes: int) -> "_BodyBuffer":
        """Build the buffer for the encoding of a reply. Raises `FeedLoadError` for one that was not asked for."""
        coding = fields.get("content-encoding", "").strip().lower()
        if coding not in {"", "identity", "gzip", "x-gzip"}:
            raise FeedLoadError("the server compresses the document in a way that was not asked for: use gzip")
        return cls(max_bytes, zlib.decompressobj(_GZIP_WBITS) if coding.endswith("gzip") else None)

    def add(self, chunk: bytes) -> None:
        """Add the next bytes. Raises `FeedLoadError`."""
        self._received += len(chunk)
        if self._received > self._max_bytes:
            raise _build_too_large_error(self._max_bytes)
        if self._decompressor is None:
            self._decoded += chunk
            return
        try:
            self._decoded += self._decompressor.decompress(chunk, self._max_bytes + 1 - len(self._decoded))
        except zlib.error as error:
            raise FeedLoadError("the server says that the document is gzip, and it is not") from error
        if len(self._decoded) > self._max_bytes:
            raise _build_too_large_error(self._max_bytes)
        if self._decompressor.unused_data:
            raise FeedLoadError("something follows the gzip data of the document")

    def finish(self) -> bytes:
        """Return the whole body. Raises `FeedLoadError` for gzip data without an end."""
        if self._decompressor is not None and not self._decompressor.eof:
            raise FeedLoadError("the gzip data of the document ends in the middle")
        return bytes(self._decoded)


def _build_too_large_error(max_bytes: int) -> FeedLoadError:
    return FeedLoadError(f"the document has more than the {max_bytes:,} bytes that its feed allows")


def _find_charset(content_type: str) -> str | None:
    message = Message()
    message["content-type"] = content_type.replace("\r", "").replace("\n", "")
    charset = message.get_param("charset")
    return _match_field(_CHARSET, charset if isinstance(charset, str) else None)


def _match_field(pattern: re.Pattern[str], value: str | Sequence[str] | None) -> str | None:
    """Return the value of a header field if it has this form, else None."""
    return value if isinstance(value, str) and pattern.fullmatch(value) else None

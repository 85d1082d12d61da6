"""What a feed may be: its settings as a person sends them, and their faults. Nothing here reads the database."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from notifier.errors import Fault, escape_pointer
from notifier.states import FeedFormat
from notifier.strict_json import encode_canonical
from notifier.webhooks.webhook_url import UrlRefusedError, WebhookTarget, parse_webhook_url

FEED_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MAX_HEADER_FIELDS = 10
MAX_HEADER_VALUE_LENGTH = 4096
MAX_SCHEMA_BYTES = 32 * 1024
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
MIN_DOCUMENT_BYTES = 1024
DEFAULT_DOCUMENT_BYTES = 1024 * 1024
MAX_TIMEOUT_SECONDS = 30
DEFAULT_TIMEOUT_SECONDS = 10
MAX_ROW_KEY_LENGTH = 128
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_OWN_HEADERS = frozenset(
    {
        "host", "user-agent", "accept", "accept-encoding", "connection", "content-length", "content-type",
        "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive", "range", "if-range", "if-match",
        "if-none-match", "if-modified-since", "if-unmodified-since", "proxy-authorization", "proxy-connection",
    }
)  # fmt: skip
"""Header fields that the request has already, or that would change what its reply means."""
_NAME_FORM = "lower-case letters, digits, - and _, at most 64, and a letter first"


@dataclass(frozen=True, kw_only=True)
class FeedRequest:
    """A feed as it is to be."""

    url: str
    format: FeedFormat = FeedFormat.JSON
    headers: Mapping[str, str] | None = field(default=None, repr=False)  # None: those that are stored
    json_schema: Mapping[str, Any] | None = None
    row_key: str | None = None
    max_bytes: int = DEFAULT_DOCUMENT_BYTES
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    revision: int | None = None  # that the caller has loaded (0: there was none); None: whichever there is


def find_feed_faults(name: str, request: FeedRequest, trusted: Collection[str]) -> list[Fault]:
    """Find the faults of a feed. `trusted`: hosts that may be called whatever their address is."""
    faults = []
    if not FEED_NAME.fullmatch(name):
        faults.append(Fault("/name", "invalid_name", _NAME_FORM))
    try:
        parse_feed_url(request.url, trusted)
    except UrlRefusedError as error:
        faults.append(Fault("/url", "invalid_url", str(error)))
    faults += _find_header_faults(request.headers or {})
    if request.json_schema is not None and len(encode_canonical(request.json_schema)) > MAX_SCHEMA_BYTES:
        faults.append(Fault("/json_schema", "invalid_schema", f"a schema has at most {MAX_SCHEMA_BYTES:,} bytes"))
    if request.row_key is not None and not 1 <= len(request.row_key) <= MAX_ROW_KEY_LENGTH:
        faults.append(Fault("/row_key", "invalid_row_key", f"1 to {MAX_ROW_KEY_LENGTH} characters"))
    for pointer, value, least, most in (
        ("/max_bytes", request.max_bytes, MIN_DOCUMENT_BYTES, MAX_DOCUMENT_BYTES),
        ("/timeout_seconds", request.timeout_seconds, 1, MAX_TIMEOUT_SECONDS),
    ):
        if not least <= value <= most:
            faults.append(Fault(pointer, "out_of_range", f"{least:,} to {most:,}"))
    return faults


def parse_feed_url(url: str, trusted: Collection[str]) -> WebhookTarget:
    """Parse the URL of a feed; the rules are those of webhooks. Raises `UrlRefusedError`."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UrlRefusedError("a URL must not have a user name or password: send them in a header field")
    return parse_webhook_url(url, trusted)


def find_option_faults(options: Mapping[str, Any], pointer: str) -> list[Fault]:
    """Find the faults in the options of the action `fetch`: the name of a feed, and nothing else."""
    faults = [
        Fault(f"{pointer}/{escape_pointer(name)}", "unknown_field", "this action has the option `feed` only")
        for name in options
        if name != "feed"
    ]
    name = options.get("feed")
    if not isinstance(name, str) or not FEED_NAME.fullmatch(name):
        faults.append(Fault(f"{pointer}/feed", "invalid_name", f"the name of the feed to fetch: {_NAME_FORM}"))
    return faults


def _find_header_faults(headers: Mapping[str, str]) -> list[Fault]:
    faults = []
    if len(headers) > MAX_HEADER_FIELDS:
        faults.append(Fault("/headers", "too_many", f"at most {MAX_HEADER_FIELDS} header fields"))
    lower_names = [name.lower() for name in headers]
    for name, value in headers.items():
        pointer = f"/headers/{escape_pointer(name)}"
        if not HEADER_NAME.fullmatch(name):
            faults.append(Fault(pointer, "header_not_allowed", "1 to 64 letters, digits and -"))
        elif name.lower() in _OWN_HEADERS:
            faults.append(Fault(pointer, "header_not_allowed", "Notifier sets this field itself: leave it out"))
        elif lower_names.count(name.lower()) > 1:
            faults.append(Fault(pointer, "header_not_allowed", "the same field is there twice, in other letters"))
        if len(value) > MAX_HEADER_VALUE_LENGTH or not _HEADER_VALUE.fullmatch(value):
            detail = f"1 to {MAX_HEADER_VALUE_LENGTH:,} printable ASCII characters, no space at its beginning or end"
            faults.append(Fault(pointer, "invalid_header_value", detail))
    return faults

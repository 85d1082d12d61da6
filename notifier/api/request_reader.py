"""Reads the Idempotency-Key and the JSON body of a request.

A body never takes more memory than its limit, even if it is compressed. Large bodies are parsed in a thread, one at a
time, so that other requests are answered meanwhile.
"""

import asyncio
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import ValidationError

from notifier import strict_json
from notifier.api.errors.faults import build_faults, build_not_object_fault
from notifier.api.errors.problem_responses import BadRequestError
from notifier.api.request_model import RequestModel, drop_unset
from notifier.errors import Fault, InvalidRequestError

MAX_INLINE_BYTES: Final = 32 * 1024  # larger bodies are parsed in a thread, not in the event loop
MAX_PARSING_THREADS: Final = 1  # large bodies that one process parses at the same time
THREAD_NAME: Final = "large-body"
Model = TypeVar("Model", bound=RequestModel)
Result = TypeVar("Result")
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";]*)', re.IGNORECASE)
_GZIP_WBITS = 31
"""zlib's `wbits` for the gzip format alone (RFC 1952)."""
_MAX_GZIP_OVERHEAD = 64 * 1024  # bytes that gzip adds to data that cannot be compressed
_MAX_MEMBERS = 1024  # of one body; even an empty member costs time
_ACCEPTED_ENCODINGS = {"Accept-Encoding": "gzip, identity"}
MAX_IDEMPOTENCY_KEY_LENGTH = 255
_IN_QUOTES = r'(?:[!#-\[\]-~]|\\["\\])'
IDEMPOTENCY_KEY_PATTERN = f'^(?:[!#-~](?:[ -~]*[!-~])?|"{_IN_QUOTES}(?:(?:{_IN_QUOTES}| )*{_IN_QUOTES})?")$'
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_QUOTED_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_ESCAPED_CHARACTER = re.compile(r'\\(["\\])')


async def read_model(request: Request, model: type[Model]) -> Model:
    """Read the body as a model. Raises `InvalidRequestError` with every fault, or `BadRequestError`."""
    text = await read_json_text(request, max_bytes=model.limits.max_bytes)
    return await parse_in_thread(partial(_parse_model, model), text)


async def read_optional_model(request: Request, model: type[Model]) -> Model:
    """Read the body as a model; no body, or null, counts as an empty object. Raises as `read_model`."""
    text = await _read_optional_json_text(request, max_bytes=model.limits.max_bytes)
    return await parse_in_thread(partial(_parse_model, model, null_is_empty=True), text or b"{}")


async def parse_in_thread(parse: Callable[[bytes], Result], text: bytes) -> Result:
    """Parse a text, in a thread if it is large."""
    if len(text) <= MAX_INLINE_BYTES:
        return parse(text)
    return await asyncio.get_running_loop().run_in_executor(_get_executor(), parse, text)


def load_json(model: type[RequestModel], text: bytes) -> Any:
    """Load the JSON value of a body of this model. Raises `MalformedJsonError` or `TooManyValuesError`."""
    return strict_json.parse_json(text, keep_fractions=model.keep_fractions, max_values=model.limits.max_values)


def _parse_model(model: type[Model], text: bytes, *, null_is_empty: bool = False) -> Model:
    value = load_json(model, text)
    return validate_body(model, {} if value is None and null_is_empty else value)


@cache
def _get_executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_PARSING_THREADS, THREAD_NAME)


def validate_body(model: type[Model], body: Any) -> Model:
    """Validate a body as a model. Raises `InvalidRequestError` with every fault."""
    fields = drop_unset(model, body)
    if not isinstance(fields, dict):
        raise InvalidRequestError([build_not_object_fault(body)])
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequestError(build_faults(error.errors(include_url=False), model, body)) from error


def document_body(model: type[RequestModel], *, required: bool = True) -> dict[str, Any]:
    """Describe the body of a route that parses it itself, for `openapi_extra`."""
    content = {"application/json": {"schema": model.model_json_schema(by_alias=True)}}
    return {"requestBody": {"description": model.limits.describe(), "required": required, "content": content}}


def get_idempotency_key(request: Request, *, suffix_length: int = 0) -> str | None:
    """Get the Idempotency-Key, which must leave `suffix_length` characters for a suffix; None if there is none."""
    fields = request.headers.getlist("idempotency-key")
    if not fields:
        return None
    key, problem = parse_idempotency_key(fields[0], suffix_length=suffix_length)
    if len(fields) > 1:
        problem = "there is more than one"
    if problem is not None:
        raise BadRequestError("invalid_idempotency_key", f"Idempotency-Key: {problem}")
    return key


def parse_idempotency_key(text: str, *, suffix_length: int = 0) -> tuple[str | None, str | None]:
    """Parse an Idempotency-Key; returns the key, or None and what is wrong.

    It may be in double quotes as in draft-ietf-httpapi-idempotency-key-header (a string of RFC 8941 §3.3.3).
    """
    key = text
    if text.startswith('"'):
        quoted = _QUOTED_KEY.match(text)
        if quoted is None:
            return None, 'the quote at its beginning is not closed; within quotes write \\" for " and \\\\ for \\'
        if quoted.end() < len(text):
            return None, "nothing may follow the closing quote, not even parameters"
        key = _ESCAPED_CHARACTER.sub(r"\1", quoted[1])
    if not _IDEMPOTENCY_KEY.fullmatch(key) or len(key) + suffix_length > MAX_IDEMPOTENCY_KEY_LENGTH:
        length = MAX_IDEMPOTENCY_KEY_LENGTH - suffix_length
        return None, f"it has 1 to {length} printable ASCII characters, and no space at its beginning or end"
    return key, None


async def read_json_text(request: Request, *, max_bytes: int) -> bytes:
    """Read a JSON body of at most `max_bytes` bytes after decompression. Raises `BadRequestError`."""
    _require_json(request)
    text = await _read_body(request, max_bytes=max_bytes)
    if not text:
        raise InvalidRequestError([Fault("", "missing_body", "the body is empty")])
    return text


async def _read_optional_json_text(request: Request, *, max_bytes: int) -> bytes:
    """Read a JSON body, or an empty text if the request has none."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return b""
    if "content-length" in headers:
        _require_json(request)
    text = await _read_body(request, max_bytes=max_bytes)
    if text:  # a chunked body can be empty
        _require_json(request)
    return text


def _require_json(request: Request) -> None:
    content_type = request.headers.get("content-type", "").strip()
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != "application/json":
        actual = f"this one is {content_type[:100]}" if content_type else "there is no Content-Type"
        detail = f"the body must be application/json, and {actual}"
        raise BadRequestError("unsupported_media_type", detail, {"Accept": "application/json"})
    if (charset := _CHARSET.search(f";{parameters}")) and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        detail = f"charset={charset[1][:50]} is not supported: JSON is sent in UTF-8 (RFC 8259 §8.1)"
        raise BadRequestError("unsupported_media_type", detail, {"Accept": "application/json"})


async def _read_body(request: Request, *, max_bytes: int) -> bytes:
    """Read the body without its Content-Encoding (RFC 9110 §8.4), at most `max_bytes` bytes.

    Raises `BadRequestError`: 413 if it is larger, 415 for another encoding, 400 for bytes that are not in it.
    """
    is_gzip = _is_gzip(request.headers.getlist("content-encoding"))
    body = _GzipBody(max_bytes) if is_gzip else _PlainBody(max_bytes)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > body.max_received:
        raise build_too_large_error(max_bytes)
    async for chunk in request.stream():
        body.add(chunk)
        if body.received > body.max_received or len(body.decoded) > max_bytes:
            raise build_too_large_error(max_bytes)
    return body.finish()


def build_too_large_error(max_bytes: int, condition: str = "") -> BadRequestError:
    """Build the refusal of a body that is too large."""
    return BadRequestError("request_too_large", f"the body has at most {max_bytes} bytes{condition}")


def _is_gzip(fields: list[str]) -> bool:
    """Whether a body is compressed. Raises `BadRequestError` for an unknown encoding, or for two."""
    names = [name.strip().lower() for field in fields for name in field.split(",")]
    codings = [name for name in names if name not in {"", "identity"}]
    if len(codings) > 1:
        detail = f"Content-Encoding names {len(codings)} encodings ({', '.join(codings)}); use gzip once, or none"
        raise BadRequestError("unsupported_media_type", detail[:200], _ACCEPTED_ENCODINGS)
    if codings and codings[0] not in {"gzip", "x-gzip"}:
        detail = f"Content-Encoding {codings[0][:50]} is not supported; use gzip, or send the body as it is"
        raise BadRequestError("unsupported_media_type", detail, _ACCEPTED_ENCODINGS)
    return bool(codings)


class _PlainBody:
    """A body that is not compressed."""

    def __init__(self, max_bytes: int) -> None:
        self.max_received = max_bytes  # bytes that may be received
        self.received = 0
        self.decoded = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add the next bytes."""
        self.received += len(chunk)
        self.decoded += chunk

    def finish(self) -> bytes:
        """Return the whole body."""
        return bytes(self.decoded)


class _GzipBody(_PlainBody):
    """A gzip body of one or more members (RFC 1952 §2.2), decompressed up to one byte over the limit."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.max_received = max_bytes + _MAX_GZIP_OVERHEAD
        self._max_bytes = max_bytes
        self._members = 1
        self._member = zlib.decompressobj(_GZIP_WBITS)

    def add(self, chunk: bytes) -> None:
        """Add the next bytes. Raises `BadRequestError` for bytes that are not gzip."""
        self.received += len(chunk)
        while chunk and len(self.decoded) <= self._max_bytes:
            if self._member.eof:
                self._begin_member()
            try:
                self.decoded += self._member.decompress(chunk, self._max_bytes + 1 - len(self.decoded))
            except zlib.error as error:
                part = "its first bytes are not" if self._members == 1 and not self.decoded else "not all of it is"
                raise _build_encoding_error(f"Content-Encoding says gzip, but {part} gzip") from error
            chunk = self._member.unconsumed_tail or self._member.unused_data

    def finish(self) -> bytes:
        """Return the whole body. Raises `BadRequestError` for gzip data without an end."""
        if self.received and not self._member.eof:
            raise _build_encoding_error("Content-Encoding says gzip, but the body ends before the end of its gzip data")
        return bytes(self.decoded)

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise _build_encoding_error(f"the body has more than {_MAX_MEMBERS} gzip members")
        self._member = zlib.decompressobj(_GZIP_WBITS)


def _build_encoding_error(detail: str) -> BadRequestError:
    return BadRequestError("malformed_encoding", detail)

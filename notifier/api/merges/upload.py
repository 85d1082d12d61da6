"""Read the file of a merge, the body of a request or the rows of a feed, into the database, a part at a time."""

import asyncio
import csv
import hashlib
import io
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from notifier.api.dependencies import get_dependencies, open_change_transaction
from notifier.api.errors.problem_responses import BadRequestError
from notifier.api.request_reader import build_too_large_error
from notifier.auth.authenticated_key import Caller
from notifier.errors import DatabaseUnavailableError, Fault, InvalidRequestError, NotFoundError
from notifier.feeds import revision_store
from notifier.feeds.revision_store import FeedRows, NoFeedDocumentError
from notifier.merge import merge_store
from notifier.merge.merge_operations import UploadedFile
from notifier.templating.version_store import PublishedVersion

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 1024 * 1024
MAX_MAPPINGS: Final = 200
"""Columns that a request maps."""
MAX_MAPPING_LENGTH: Final = 400
"""Characters of one mapping, heading and field."""
MEDIA_TYPES: Final = (
    "text/csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/octet-stream",
)


def require_spreadsheet(request: Request) -> None:
    """Refuse a body of another type, a compressed one, and one that is too large. Raises `BadRequestError`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        actual = f"this one is {media_type[:100]}" if media_type else "there is no Content-Type"
        raise BadRequestError("unsupported_media_type", f"the body must be one of {', '.join(MEDIA_TYPES)}; {actual}")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise BadRequestError("unsupported_media_type", "send the file as it is, without Content-Encoding")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_FILE_BYTES:
        raise build_too_large_error(MAX_FILE_BYTES)


async def get_version(request: Request) -> PublishedVersion:
    """Get the current version of the template that the query names. Raises `InvalidRequestError`."""
    slug = request.query_params.get("template", "")
    if not slug:
        fault = Fault("/query/template", "missing_field", "name the template, as ?template=welcome")
        raise InvalidRequestError([fault])
    version = await get_dependencies(request).template_cache.get_version(slug) if "\0" not in slug else None
    if version is None:
        raise InvalidRequestError([Fault("/query/template", "unknown_template", f"there is no template {slug[:64]!r}")])
    return version


def parse_mappings(request: Request) -> Mapping[str, str]:
    """Parse each `map=heading:field`; the field follows the last colon. Raises `InvalidRequestError`."""
    texts = request.query_params.getlist("map")
    if len(texts) > MAX_MAPPINGS:
        raise InvalidRequestError([Fault("/query/map", "too_many", f"at most {MAX_MAPPINGS} columns can be mapped")])
    mappings: dict[str, str] = {}
    for text in texts:
        heading, separator, field = text.rpartition(":")
        if not separator or not heading.strip() or len(text) > MAX_MAPPING_LENGTH or "\0" in text:
            detail = "write heading:field, such as map=Total:order.total; nothing after the colon leaves a column out"
            raise InvalidRequestError([Fault("/query/map", "invalid_parameter", detail)])
        mappings[heading.strip()] = field.strip()
    return mappings


def get_feed_name(request: Request) -> str | None:
    """Get the feed whose rows are merged; None: the body is the file. Raises `InvalidRequestError`."""
    name = request.query_params.get("feed")
    if name is not None and request.headers.get("content-length", "0") != "0":
        raise InvalidRequestError([Fault("/query/feed", "not_both", "send a file, or name a feed, but not both")])
    return name


async def iterate_feed(request: Request, caller: Caller, name: str) -> AsyncIterator[bytes]:
    """Yield the rows of the newest revision of a feed as CSV. Raises `InvalidRequestError`."""
    try:
        async with get_dependencies(request).database.read() as connection:
            feed = await revision_store.list_feed_rows(connection, caller.service_id, name)
    except (NotFoundError, NoFeedDocumentError) as error:
        raise InvalidRequestError([Fault("/query/feed", "unknown_feed", str(error))]) from error
    for data in await asyncio.to_thread(lambda: list(format_feed_rows(feed))):
        yield data


def format_feed_rows(feed: FeedRows) -> Iterator[bytes]:
    """Format the rows of a feed as a CSV file in UTF-8, a thousand rows at a time; what is no text as JSON."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(feed.columns)
    for number, row in enumerate(feed.rows, start=1):
        writer.writerow([_format_cell(row.get(column)) for column in feed.columns])
        if number % 1000 == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _format_cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def store_file(request: Request, merge_id: UUID, parts: AsyncIterable[bytes]) -> UploadedFile:
    """Write a file into the database. Raises `BadRequestError` and `InvalidRequestError`."""
    buffer, size, number, digest = bytearray(), 0, 0, hashlib.sha256()
    async for data in parts:
        size += len(data)
        digest.update(data)
        if size > MAX_FILE_BYTES:
            raise build_too_large_error(MAX_FILE_BYTES)
        buffer += data
        while len(buffer) >= CHUNK_BYTES:
            await _store_chunk(request, merge_id, number, bytes(buffer[:CHUNK_BYTES]))
            del buffer[:CHUNK_BYTES]
            number += 1
    if not size:
        raise InvalidRequestError([Fault("", "missing_body", "the body is empty: send the file as the body")])
    if buffer:
        await _store_chunk(request, merge_id, number, bytes(buffer))
    return UploadedFile(size=size, sha256=digest.hexdigest())


async def _store_chunk(request: Request, merge_id: UUID, number: int, data: bytes) -> None:
    async with open_change_transaction(request) as connection:
        await merge_store.add_chunk(connection, merge_id, number, data)


async def discard_upload(request: Request, merge_id: UUID) -> None:
    """Delete an upload that has failed; one that cannot be deleted now is deleted by a later upload."""
    try:
        async with open_change_transaction(request) as connection:
            await merge_store.delete_merge(connection, merge_id)
    except (DatabaseUnavailableError, ClientDisconnect):
        return

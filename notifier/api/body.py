"""Reads the bytes of a request body up to a limit, and decompresses gzip up to the same limit.

Never more than the limit is held in memory, whatever the client announces, sends or has compressed.
"""

import zlib

from fastapi import Request

from notifier.api.problems import BadRequestError

_GZIP = 31
"""zlib's `wbits` for the gzip format alone (RFC 1952)."""
_OVERHEAD = 64 * 1024  # bytes that gzip adds to data that cannot be compressed
_MAX_MEMBERS = 1024  # of one body; each costs time, even an empty one
_ACCEPTED = {"Accept-Encoding": "gzip, identity"}


async def read(request: Request, *, max_bytes: int) -> bytes:
    """Read the body without its Content-Encoding (RFC 9110 §8.4), at most `max_bytes` bytes.

    Raises `BadRequestError`: 413 before more is read or decompressed, 415 for another encoding, 400 for bytes that are
    not in the encoding.
    """
    is_gzip = _is_gzip(request.headers.getlist("content-encoding"))
    body = _GzipBody(max_bytes) if is_gzip else _PlainBody(max_bytes)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > body.longest:
        raise too_large(max_bytes)
    async for chunk in request.stream():
        body.add(chunk)
        if body.received > body.longest or len(body.decoded) > max_bytes:
            raise too_large(max_bytes)
    return body.finish()


def too_large(max_bytes: int, condition: str = "") -> BadRequestError:
    """Build the refusal of a body that is too large."""
    return BadRequestError("request_too_large", f"the body has at most {max_bytes} bytes{condition}")


def _is_gzip(fields: list[str]) -> bool:
    """Whether a body is compressed. Raises `BadRequestError` for an unknown encoding, or for two."""
    names = [name.strip().lower() for field in fields for name in field.split(",")]
    codings = [name for name in names if name not in {"", "identity"}]
    if len(codings) > 1:
        detail = f"Content-Encoding names {len(codings)} encodings ({', '.join(codings)}); use gzip once, or none"
        raise BadRequestError("unsupported_media_type", detail[:200], _ACCEPTED)
    if codings and codings[0] not in {"gzip", "x-gzip"}:
        detail = f"Content-Encoding {codings[0][:50]} is not supported; use gzip, or send the body as it is"
        raise BadRequestError("unsupported_media_type", detail, _ACCEPTED)
    return bool(codings)


class _PlainBody:
    """A body that is not compressed."""

    def __init__(self, max_bytes: int) -> None:
        self.longest = max_bytes  # bytes that may be received
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
    """A body of one or more gzip members (RFC 1952 §2.2), decompressed up to one byte over the limit."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.longest = max_bytes + _OVERHEAD
        self._max_bytes = max_bytes
        self._members = 1
        self._member = zlib.decompressobj(_GZIP)

    def add(self, chunk: bytes) -> None:
        """Add the next bytes. Raises `BadRequestError` for bytes that are not gzip."""
        self.received += len(chunk)
        while chunk and len(self.decoded) <= self._max_bytes:
            if self._member.eof:
                self._begin_member()
            try:
                self.decoded += self._member.decompress(chunk, self._max_bytes + 1 - len(self.decoded))
            except zlib.error as error:
                where = "its first bytes are not" if self._members == 1 and not self.decoded else "not all of it is"
                raise _malformed(f"Content-Encoding says gzip, and {where} gzip") from error
            chunk = self._member.unconsumed_tail or self._member.unused_data

    def finish(self) -> bytes:
        """Return the whole body. Raises `BadRequestError` for gzip data without an end."""
        if self.received and not self._member.eof:
            raise _malformed("Content-Encoding says gzip, and the body ends before the end of its gzip data")
        return bytes(self.decoded)

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise _malformed(f"the body has more than {_MAX_MEMBERS} gzip members")
        self._member = zlib.decompressobj(_GZIP)


def _malformed(detail: str) -> BadRequestError:
    return BadRequestError("malformed_encoding", detail)

"""Uploads of files: sent in parts, sent again from the beginning, and refused while they are sent."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from integration.client.both_clients import Connect
from integration.client.scripted_server import Server, answer, drop, problem
from support.seeded_installation import Installation

from notifier.client import ConnectionFailedError, InvalidRequestError, PermissionDeniedError
from notifier.client.file_body import PART_BYTES

ID = "0197c0de-0000-7000-8000-000000000001"
NOW = "2026-01-31T12:00:00Z"
MERGE: dict[str, Any] = {
    **dict.fromkeys(("template_version", "size", "rows", "valid", "faulty", "duplicates", "suppressed", "copies"), 1),
    "id": ID,
    "state": "checking",
    "kind": "live",
    "template": "welcome",
    "created_by": "key:1",
    "created_at": NOW,
    "updated_at": NOW,
}
CONTENT = b"E-Mail,Name\n" + b"ada@example.com,Ada\n" * (3 * PART_BYTES // 20)
MAX_FILE_BYTES = 64 * 1024 * 1024


class WatchedFile(io.BytesIO):
    """A file that remembers how much was asked of it at once."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.sizes: list[int | None] = []

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and remember the size."""
        self.sizes.append(size)
        return super().read(size)


def _write(folder: Path) -> Path:
    path = folder / "people.csv"
    path.write_bytes(CONTENT)
    return path


SOURCES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: CONTENT,
    "path": _write,
    "open file": lambda _: WatchedFile(CONTENT),
}


@pytest.mark.parametrize("kind", SOURCES)
async def test_a_refused_upload_is_sent_again_as_a_whole(connect: Connect, tmp_path: Path, kind: str) -> None:
    """After 503 the same bytes are sent again, with their length and type."""
    source = SOURCES[kind](tmp_path)
    with Server(problem(503, "database_unavailable", Retry_After="0"), answer(202, MERGE)) as server:
        client = connect(server.url)
        merge = await client("merges.create", source, template="welcome", map_={"Name": "name", "Nr": ""})
        await client.close()
    assert (merge.id, len(server.requests)) == (ID, 2)
    for request in server.requests:
        assert request.body == CONTENT
        assert request.path == "/v1/merges?template=welcome&map=Name%3Aname&map=Nr%3A"
        assert request.headers["content-length"] == str(len(CONTENT))
        assert "transfer-encoding" not in request.headers
        assert request.headers["content-type"] == ("text/csv" if kind == "path" else "application/octet-stream")


async def test_a_file_is_read_in_parts(connect: Connect) -> None:
    """No more than a part of the file is in memory at once, and the file stays open."""
    file = WatchedFile(CONTENT)
    with Server(answer(202, MERGE)) as server:
        client = connect(server.url)
        await client("merges.create", file, template="welcome")
        await client.close()
    assert set(file.sizes) == {0, PART_BYTES}
    assert not file.closed


async def test_a_lost_upload_is_not_repeated(connect: Connect) -> None:
    """An upload whose reply was lost may be there, so that it is not sent again."""
    with Server(drop) as server:
        client = connect(server.url)
        with pytest.raises(ConnectionFailedError, match="may have taken effect"):
            await client("merges.create", CONTENT, template="welcome")
        await client.close()
    assert len(server.requests) == 1


async def test_a_refusal_arrives_while_the_file_is_sent(
    connect: Connect, api: str, installation: Installation, tmp_path: Path
) -> None:
    """A file that is too large, or of a key that may not send, is refused before it was read as a whole."""
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InvalidRequestError) as caught:
        await connect(api, installation.keys.shop)("merges.create", path, template="welcome")
    assert caught.value.status == 413
    with pytest.raises(PermissionDeniedError):
        await connect(api, installation.keys.reader)("merges.create", path, template="welcome")

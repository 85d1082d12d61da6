"""Every document is followed from its first block to its last, with a running demo."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support import notifier_process
from support.document_blocks import DOCUMENTS, BlockUse, list_blocks
from support.document_reader import DocumentReader
from support.seeded_installation import Keys

FOLLOWED = {BlockUse.RUN, BlockUse.POSTED, BlockUse.ANSWER, BlockUse.VALUES, BlockUse.RENDERED, BlockUse.SHOWN}
WEBHOOK_PAGE = "docs/webhooks.md"  # these need a listener at its port; the README starts its own receiver


class _Listening(HTTPServer):
    """A handler that stores the last request as it was received."""

    timeout = 5
    last = ""

    def heard(self) -> str:
        """Wait for the next request and return it."""
        self.last = ""
        self.handle_request()
        return self.last


class _Handler(BaseHTTPRequestHandler):
    server: _Listening

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.last = f"{self.requestline}\n{str(self.headers).strip()}\n\n{body}"
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the name that the library has
        """Log nothing."""


@pytest.fixture
def listening() -> Iterator[_Listening]:
    with _Listening(("127.0.0.1", 0), _Handler) as server:
        yield server


@pytest.mark.parametrize(
    "document", [document for document in DOCUMENTS if any(b.fate in FOLLOWED for b in list_blocks(document))]
)
def test_its_blocks_do_what_it_says(
    document: str, demo: dict[str, str], sqlite_database: tuple[str, Keys], listening: _Listening, tmp_path: Path
) -> None:
    """Each block runs unchanged and gives the output that the document shows."""
    port = listening.server_port if document == WEBHOOK_PAGE else notifier_process.find_free_port()
    reader = DocumentReader(tmp_path, demo, listening.heard, port, DATA_DIR=str(tmp_path))
    reader.follow([block for block in list_blocks(document) if block.fate in FOLLOWED])

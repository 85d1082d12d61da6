"""Every document, followed from its first block to its last by a reader with a running demo."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support import notifier_process
from support.document_blocks import DOCUMENTS, BlockUse, list_blocks
from support.document_reader import DocumentReader
from support.seeded_installation import Keys

FOLLOWED = {BlockUse.RUN, BlockUse.POSTED, BlockUse.ANSWER, BlockUse.VALUES, BlockUse.RENDERED, BlockUse.SHOWN}
TOLD = "docs/webhooks.md"  # whose reader has somebody listen at the port; the README brings its own receiver
BESIDE_THE_SERVER = "docs/operations.md"  # whose commands look at what the demo has; all others have a stopped one


class _Listening(HTTPServer):
    """Keeps the last request, as it came."""

    timeout = 5
    last = ""

    def heard(self) -> str:
        """The next request."""
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
        """Say nothing."""


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
    """Each runs as it stands, and what stands behind it is what it answers."""
    folder = demo["folder"] if document == BESIDE_THE_SERVER else str(tmp_path)
    port = listening.server_port if document == TOLD else notifier_process.find_free_port()
    reader = DocumentReader(tmp_path, demo, listening.heard, port, DATA_DIR=folder)
    reader.follow([block for block in list_blocks(document) if block.fate in FOLLOWED])

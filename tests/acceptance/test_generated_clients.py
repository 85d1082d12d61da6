"""Clients generated from the committed openapi.json send a mail and read its status."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import running_demo
from support.client_generators import require_generators, run_command
from support.document_blocks import ROOT, list_blocks

from notifier.inbox.client import MailHogClient

DOCUMENT = "docs/generated-clients.md"


@pytest.fixture(scope="module")
def demo(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of a demo and its key."""
    require_generators()
    with running_demo.start_demo(tmp_path_factory.mktemp("demo"), demo_data) as demo:
        yield demo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a generated client, with only the document in it."""
    shutil.copy(ROOT / "openapi.json", tmp_path)
    return tmp_path


def _send(demo: dict[str, str], folder: Path, command: str, recipient: str) -> list[str]:
    """Run a program, check that its mail arrived, and return the printed lines."""
    printed = run_command(command, folder, NOTIFIER_URL=demo["api"], NOTIFIER_API_KEY=demo["key"])
    with MailHogClient(demo["inbox"]) as inbox:
        assert inbox.wait_for(to=recipient, timeout=100).subject.startswith("Welcome to Larkspur")
    return printed.splitlines()


def test_a_python_client(demo: dict[str, str], folder: Path) -> None:
    """openapi-python-client skips nothing but images; the program of the page sends, reads and handles a refusal."""
    command, program = (list_blocks(DOCUMENT, language)[0].text for language in ("sh", "python"))
    printed = run_command(command, folder)
    warnings = {line for line in printed.splitlines() if "WARNING" in line}
    known = ("GET /v1/assets/{name}/file within assets.", "POST /v1/merges within merges.")
    assert warnings == {f"WARNING parsing {name}" for name in known}, printed
    (folder / "send.py").write_text(program)
    sent, refused = _send(demo, folder, "python send.py", "ada@example.com")
    assert sent.endswith(" sent")
    assert "('/to', 'invalid_address')" in refused


def test_a_typescript_client(demo: dict[str, str], folder: Path) -> None:
    """openapi-typescript's types accept valid requests and refuse invalid ones; the page's program sends."""
    command, program = list_blocks(DOCUMENT, "sh")[1].text, list_blocks(DOCUMENT, "typescript")[0].text
    run_command(command, folder)
    (folder / "send.mts").write_text(program)
    shutil.copy(ROOT / "tests" / "generated" / "types.mts", folder)
    check = "tsc --noEmit --strict --module nodenext --allowImportingTsExtensions"
    run_command(f"{check} send.mts types.mts", folder)
    sent, *refused = _send(demo, folder, "node send.mts", "bob@example.com")
    assert sent.endswith(" sent")
    assert "'invalid_address'" in "".join(refused)

"""Clients generated from the committed openapi.json send a mail and read its status."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import notifier_process
from support.client_generators import require_generators, run_command
from support.document_blocks import ROOT, list_blocks
from support.notifier_process import NotifierProcess

from notifier.inbox.client import MailHogClient

DOCUMENT = "docs/generated-clients.md"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The address of a demo and its key."""
    require_generators()
    ports = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0")
    folder = tmp_path_factory.mktemp("demo")
    env = notifier_process.without_coverage(notifier_process.build_environment(folder))
    with NotifierProcess("demo", *ports, "--data-dir", str(folder), "--json", env=env) as started:
        yield started.wait_until_ready_json()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a generated client, with only the document in it."""
    shutil.copy(ROOT / "openapi.json", tmp_path)
    return tmp_path


def _send(demo: dict[str, Any], folder: Path, command: str, recipient: str) -> list[str]:
    """Run a program, check that its mail arrived, and return the printed lines."""
    printed = run_command(command, folder, NOTIFIER_URL=demo["api"], NOTIFIER_API_KEY=demo["key"])
    with MailHogClient(demo["inbox"]) as inbox:
        assert inbox.wait_for(to=recipient, timeout=100).subject.startswith("Welcome to Larkspur")
    return printed.splitlines()


def test_a_python_client(demo: dict[str, Any], folder: Path) -> None:
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


def test_a_typescript_client(demo: dict[str, Any], folder: Path) -> None:
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

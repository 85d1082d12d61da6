"""The TypeScript client, and clients that are generated from openapi.json, send a mail and read its status."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import running_demo
from support.client_generators import require_generators, run_command
from support.document_blocks import ROOT, list_blocks

from notifier.inbox.client import MailHogClient

DOCUMENT = "docs/generated-clients.md"
TYPESCRIPT = ROOT / "clients" / "typescript"


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


def test_the_types_of_the_typescript_client_are_generated(folder: Path) -> None:
    """The checked-in types are those of openapi.json: after a change of it, run `make typescript`."""
    run_command("openapi-typescript openapi.json --default-non-nullable=false --output types.ts", folder)
    assert (folder / "types.ts").read_text() == (TYPESCRIPT / "src" / "api-types.ts").read_text(), "run make typescript"


def test_the_typescript_client(demo: dict[str, str], tmp_path: Path) -> None:
    """Its package and the programs of its README compile strictly, its own tests pass, and its mail arrives."""
    folder = shutil.copytree(TYPESCRIPT, tmp_path / "client", ignore=shutil.ignore_patterns("node_modules", "dist"))
    for number, block in enumerate(list_blocks("clients/typescript/README.md", "typescript")):
        (folder / "test" / f"readme-{number}.ts").write_text(block.text)
    run_command("tsc --project tsconfig.build.json && tsc --noEmit", folder)
    tested = run_command("node --test 'test/*.test.ts'", folder, NOTIFIER_URL=demo["api"], NOTIFIER_API_KEY=demo["key"])
    assert "fail 0" in tested
    sent, *refused = _send(demo, folder, "node test/readme-0.ts", "bob@example.com")
    assert sent.endswith(" false sent")
    assert any(line.startswith("/to invalid_address ") for line in refused)
    _send(demo, folder, "node test/readme-1.ts", "bob@example.com")

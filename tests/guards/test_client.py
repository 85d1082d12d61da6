"""The client is independent: it imports nothing else of Notifier, and works with only its two libraries installed."""

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from generated.write_blocking import HEADERS, generate_blocking
from integration.client.scripted_server import Server, answer
from packaging.requirements import Requirement
from support.client_only_folder import CLIENT_LIBRARIES, link_distributions, run_alone

from notifier import __version__

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "notifier" / "client"
TYPESCRIPT = ROOT / "clients" / "typescript"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHARED = {"notifier.__version__", "notifier.backoff.parse_retry_after"}
"""The module that the client imports from outside its package; it imports only the standard library."""
PRODUCER = "producer"  # the caller's half of the outbox also needs SQLAlchemy
CELERY = PACKAGE / "celery.py"  # tasks for a Celery application
DJANGO = "django"  # the e-mail backends also need Django
HEADER_NAMES = "notifier.header_names.STANDARD_HEADERS"  # of a module that imports only the standard library
SEND = """
import asyncio, json, sys
from notifier.client import AsyncNotifier, Notifier, WebhookVerifier

async def send(url):
    async with AsyncNotifier(url=url, key="ntf_live_x") as notifier:
        return (await notifier.send(to="ada@example.com", template="welcome")).id

with Notifier(url=sys.argv[1], key="ntf_live_x") as notifier:
    ids = [notifier.send(to="ada@example.com", template="welcome").id, asyncio.run(send(sys.argv[1]))]
WebhookVerifier("whsec_c2VjcmV0c2VjcmV0")
print(json.dumps({"ids": ids, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def _modules() -> list[Path]:
    modules = sorted(path for path in PACKAGE.rglob("*.py") if path != CELERY)
    return [path for path in modules if path.relative_to(PACKAGE).parts[0] not in {PRODUCER, DJANGO}]


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_the_client_imports_only_itself_and_its_libraries() -> None:
    """The client imports the standard library, httpx2, standardwebhooks, and of Notifier only `SHARED`."""
    imported = set().union(*(_imported(path) for path in _modules()))
    ours = {name for name in imported if name.split(".")[0] == "notifier"}
    assert {name for name in ours if not name.startswith("notifier.client")} == SHARED
    others = {name.split(".")[0] for name in imported} - {"notifier"} - sys.stdlib_module_names
    assert others == set(CLIENT_LIBRARIES)


def test_a_plain_installation_brings_just_these_libraries() -> None:
    """Without an extra two libraries are installed; an extra brings those that it needs."""
    extras = PROJECT["optional-dependencies"]
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == set(CLIENT_LIBRARIES)
    assert [Requirement(text).name for text in extras["producer"]] == ["sqlalchemy"]
    assert [Requirement(text).name for text in extras["celery"]] == ["celery"]
    assert [Requirement(text).name for text in extras["django"]] == ["django"]
    assert "sqlalchemy" in {Requirement(text).name for text in extras["server"]}


def test_the_producer_imports_sqlalchemy_besides() -> None:
    """The producer module imports only what `notifier-outbox[producer]` installs."""
    imported = set().union(*(_imported(path) for path in sorted((PACKAGE / PRODUCER).glob("*.py"))))
    others = {name.split(".")[0] for name in imported} - {"notifier"} - sys.stdlib_module_names
    assert others == {"httpx2", "sqlalchemy"}
    assert all(name.startswith("notifier.client.") or name in SHARED for name in imported if "notifier" in name)


def test_the_celery_tasks_import_celery_besides() -> None:
    """The tasks import only what `notifier-outbox[celery]` installs, and only the client of Notifier."""
    imported = _imported(CELERY)
    others = {name.split(".")[0] for name in imported} - {"notifier"} - sys.stdlib_module_names
    assert others == {"celery"}
    assert all(name.startswith("notifier.client.") for name in imported if name.startswith("notifier"))


def test_the_backends_import_django_besides() -> None:
    """The Django module imports only what `notifier-outbox[django]` installs."""
    imported = set().union(*(_imported(path) for path in sorted((PACKAGE / DJANGO).rglob("*.py"))))
    assert {name.split(".")[0] for name in imported} - sys.stdlib_module_names == {"django", "notifier"}
    ours = {name for name in imported if name.startswith("notifier.")}
    assert {name for name in ours if not name.startswith("notifier.client.")} == {HEADER_NAMES}


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder with the client, its two libraries and their requirements."""
    folder = tmp_path / "packages"
    link_distributions(folder, CLIENT_LIBRARIES)
    (folder / "notifier").symlink_to(ROOT / "notifier")
    return folder


def test_it_sends_where_only_its_libraries_are(alone: Path) -> None:
    """Both clients send with only their libraries installed, and load no other module of Notifier."""
    sent = {"id": "1", "status": "queued", "created_at": "2026-01-31T12:00:00Z"}
    with Server(answer(202, sent)) as server:
        done = run_alone(alone, SEND, server.url)
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert output["ids"] == ["1", "1"]
    assert {"pydantic", "sqlalchemy", "fastapi", "structlog", "tenacity"}.isdisjoint(output["loaded"])
    assert len(server.requests) == 2


@pytest.mark.parametrize("library", ["pydantic", "sqlalchemy", "structlog", "tenacity", "msgspec"])
def test_the_place_has_nothing_else(alone: Path, library: str) -> None:
    """Control: other dependencies of Notifier cannot be imported in that folder."""
    done = run_alone(alone, f"import {library}")
    assert re.search(f"No module named '{library}'", done.stderr)


def test_the_inbox_client_works_there_too(alone: Path) -> None:
    """The inbox client reads MailHog, or another process's inbox, without the service installed."""
    program = "from notifier.inbox.client import MailHogClient"
    done = run_alone(alone, f"{program}; MailHogClient('http://127.0.0.1:8025').close()")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_says_what_to_install(alone: Path) -> None:
    """Without the service `notifier` exits with 2 and prints one sentence."""
    program = "from notifier.cli import entry_point"
    done = run_alone(alone, f"{program}; entry_point.start_command_line()")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "notifier: only the client is installed: run pip install 'notifier-outbox[server]'\n"


def test_importing_it_does_nothing(alone: Path) -> None:
    """Importing the client needs no environment, prints nothing, and loads no event loop library of the server."""
    done = run_alone(alone, "import notifier.client; print(len(sys.modules))")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_typescript_client_has_our_name_and_version() -> None:
    """The package of the TypeScript client, and what it tells the server, have the distribution's name and version."""
    package = json.loads((TYPESCRIPT / "package.json").read_text())
    assert (package["name"], package["version"]) == (PROJECT["name"], __version__)
    assert f'VERSION = "{__version__}"' in (TYPESCRIPT / "src" / "client.ts").read_text()
    assert f"notifier-outbox-{__version__}.tgz" in (TYPESCRIPT / "README.md").read_text()


@pytest.mark.parametrize("name", HEADERS)
def test_the_blocking_client_is_generated_from_the_awaiting_one(name: str) -> None:
    """The blocking client is up to date: after a change of the awaiting one, run tests/generated/write_blocking.py."""
    assert (PACKAGE / name).read_text() == generate_blocking(name)

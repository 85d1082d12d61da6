"""The wheel, built from the source distribution, works far from the checkout; the client alone is small."""

import compileall
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from support import client_only_folder

ROOT = Path(__file__).parents[2]
DISTRIBUTION = "notifier-outbox"
MAX_CLIENT_DISTRIBUTIONS = 12
MAX_CLIENT_BYTES = 15 * 1024**2  # of all files that `pip install notifier-outbox` writes, compiled ones included
USERS_TESTS = """
import socket

def test_that_needs_no_mail():
    pass

def test_that_sends_mail(inbox):
    socket.create_connection((inbox.smtp_host, inbox.smtp_port)).close()
"""


def _build(target: str, source: Path, folder: Path) -> Path:
    """Build a distribution from a source tree, and return its file."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the source distribution of this tree, unpacked and compiled as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(_build("sdist", ROOT, folder / "sdist")) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    with zipfile.ZipFile(_build("wheel", source, folder / "wheel")) as wheel:
        wheel.extractall(folder / "site")
    compileall.compile_dir(folder / "site", quiet=1)
    return folder / "site"


def _notifier(unpacked: Path, cwd: Path, *arguments: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFIER_")}
    command = [sys.executable, "-c", "from notifier.cli.main import run_command_line; run_command_line()", *arguments]
    ran = subprocess.run(
        command, cwd=cwd, env=env | {"PYTHONPATH": str(unpacked)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_upgrade_and_push_work_outside_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    """From an empty directory the installed wheel migrates a database and publishes the shipped templates."""
    where = _notifier(unpacked, tmp_path, "--version")
    assert where.strip()
    assert _notifier(unpacked, tmp_path, "db", "upgrade").startswith("at ")
    pushed = _notifier(unpacked, tmp_path, "templates", "push")
    for slug in ("welcome", "password_reset", "order_shipped", "daily_report", "newsletter"):
        assert slug in pushed
    assert (tmp_path / "var" / "notifier.sqlite3").is_file()


def test_all_files_of_the_package_are_shipped(unpacked: Path) -> None:
    """The wheel has one package, with every page, script and marker of the checkout, and nothing of the tests."""
    assert {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"} == {"notifier"}
    for folder, shipped in (("notifier", "."), ("templates", "_shipped/templates"), ("alembic", "_shipped/alembic")):
        files = (path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file())
        expected = {file for file in files if "__pycache__" not in file.parts}
        assert {file for file in expected if not (unpacked / "notifier" / shipped / file).is_file()} == set()


def test_both_commands_and_the_fixture_are_entry_points(unpacked: Path) -> None:
    """The command has two names, of which `uvx` runs the distribution's; pytest finds the fixture."""
    (distribution,) = metadata.distributions(path=[str(unpacked)])
    assert distribution.name == DISTRIBUTION
    command = "notifier.cli.entry_point:start_command_line"
    assert {(point.group, point.name, point.value) for point in distribution.entry_points} == {
        ("console_scripts", "notifier", command),
        ("console_scripts", DISTRIBUTION, command),
        ("pytest11", "notifier", "notifier.inbox.fixture"),
    }


def test_the_fixture_says_what_it_needs(unpacked: Path, tmp_path: Path) -> None:
    """With the client only, pytest runs tests as before; one that asks for the inbox fails with what to install."""
    packages = tmp_path / "packages"
    client_only_folder.link_distributions(packages, [*client_only_folder.CLIENT_LIBRARIES, "pytest"])
    for path in unpacked.iterdir():
        (packages / path.name).symlink_to(path)
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    program = "import pytest; pytest.main(['-p', 'no:cacheprovider', '-W', 'error', *sys.argv[1:]])"
    ran = client_only_folder.run_alone(packages, program, f"--rootdir={tmp_path}", str(tmp_path / "test_users.py"))
    assert "1 passed, 1 error" in ran.stdout, ran.stdout + ran.stderr
    assert "the fixture inbox needs uvicorn: run pip install 'notifier-outbox[server]'" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr


def _count_bytes(paths: Iterable[Path]) -> int:
    files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file())


def test_the_client_is_a_small_installation(unpacked: Path) -> None:
    """Without extras pip installs few distributions and megabytes, although the service's modules are in the wheel."""
    others = client_only_folder.list_with_requirements(client_only_folder.CLIENT_LIBRARIES)
    assert len(others) + 1 <= MAX_CLIENT_DISTRIBUTIONS, others
    installed = {path for name in others for path in client_only_folder.list_installed_paths(name)}
    assert _count_bytes([unpacked, *installed]) <= MAX_CLIENT_BYTES

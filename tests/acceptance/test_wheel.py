"""The wheel contains migrations, templates and the inbox page, and works far from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this tree, unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
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


def test_nothing_of_the_tests_is_shipped(unpacked: Path) -> None:
    """The wheel has only one package, with the inbox page and the type marker."""
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")} == {"notifier"}
    assert (unpacked / "notifier" / "py.typed").is_file()
    assert list((unpacked / "notifier" / "inbox" / "static").glob("*.html"))

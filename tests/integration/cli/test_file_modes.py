"""Files with addresses, variables and secrets are readable by Notifier's user only, whatever the umask."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import notifier_process
from support.notifier_process import NotifierProcess
from support.typed_commands import type_command

from notifier.ids import generate_id
from notifier.outbox.journal import Journal


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """The usual umask, with which others may read new files."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def _modes(folder: Path) -> dict[str, int]:
    """The modes of a directory and of everything in it."""
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def _assert_private(folder: Path, *names: str) -> None:
    modes = _modes(folder)
    assert {name.partition("/")[2] for name in modes} >= set(names)
    assert {name: oct(mode) for name, mode in modes.items() if mode not in {0o600, 0o700}} == {}


@pytest.mark.usefixtures("usual_umask")
def test_what_migrations_and_servers_make_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directories that were missing, SQLite's files, the lock and the journals."""
    folder = tmp_path / "made" / "data"
    env = notifier_process.build_environment(folder, SMTP__SECURITY="none")
    for name in list(os.environ):
        if name.startswith("NOTIFIER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(folder))
    assert type_command("db", "upgrade").code == 0
    _assert_private(tmp_path / "made", "data/notifier.sqlite3")
    with NotifierProcess("serve", "--port", "0", env=env, fresh=True) as serve:
        serve.wait_until_ready()
        _assert_private(
            folder, "lock", "notifier.sqlite3", "notifier.sqlite3-wal", "notifier.sqlite3-shm", "journal",
        )  # fmt: skip
        assert list(folder.glob("journal/*.journal"))


@pytest.mark.usefixtures("usual_umask")
def test_a_sender_alone_makes_its_directories_private(tmp_path: Path) -> None:
    """On PostgreSQL nothing but the journal is in the data directory."""
    journal = Journal(tmp_path / "data" / "journal", generate_id())
    _assert_private(tmp_path / "data", "journal")
    journal.close()


def test_doctor_says_how_to_close_what_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` warns with commands that correct it; after them there is no warning."""
    folder = tmp_path / "open data"
    (folder / "journal").mkdir(parents=True)
    for name in ("notifier.sqlite3", "notifier.sqlite3-wal", "lock", "journal/x.journal"):
        (folder / name).touch()
        (folder / name).chmod(0o644)
    folder.chmod(0o755)
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(folder))
    (line,) = [line for line in type_command("doctor").stdout.splitlines() if "file_modes" in line]
    assert line.startswith("warn")
    for command in line.partition("run ")[2].split(" && "):
        words = shlex.split(command)
        assert words[0] == "chmod"
        for path in words[2:]:
            Path(path).chmod(int(words[1], 8))
    assert {mode & 0o077 for mode in _modes(folder).values()} == {0}
    (line,) = [line for line in type_command("doctor").stdout.splitlines() if "file_modes" in line]
    assert line.startswith("ok")

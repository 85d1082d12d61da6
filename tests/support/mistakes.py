"""A mistake of a person at the terminal, and what a command must say about it."""

from dataclasses import dataclass, field
from pathlib import Path

from support import notifier_process

SECRET = "s3cr3t-word"


@dataclass(frozen=True)
class Mistake:
    """A command with something wrong: its words, settings (without the prefix), and the files beside it."""

    words: str  # of the command, separated by blanks
    cause: str  # must be in the message
    act: str  # must be in the message, too
    settings: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes | None] = field(default_factory=dict)  # None: a directory
    code: int = 2

    def __str__(self) -> str:
        return f"{self.cause}: {self.words}".replace("/", "|")[:60]


def assert_explained(mistake: Mistake, folder: Path) -> None:
    """Run the command in the folder, whose `data` may hold a database: one line on stderr names cause and act.

    There is no traceback and no secret.
    """
    for name, content in mistake.files.items():
        file = folder / name
        file.mkdir() if content is None else file.write_bytes(content)
    env = notifier_process.build_environment(folder / "data", **mistake.settings)
    ended = notifier_process.run_notifier(*mistake.words.split(), env=env, check=False, cwd=folder)
    told = (ended.returncode, ended.stdout, ended.stderr)
    assert (ended.returncode, ended.stdout) == (mistake.code, ""), told
    assert ended.stderr.startswith("notifier: "), told
    assert ended.stderr.endswith("\n"), told
    assert ended.stderr.count("\n") == 1, told
    assert mistake.cause in ended.stderr, told
    assert mistake.act in ended.stderr, told
    assert SECRET not in ended.stderr, told
    assert "Traceback" not in ended.stderr, told

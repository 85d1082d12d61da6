"""Wrong commands, options and values: one line with the mistake and what to write, exit 2."""

from pathlib import Path

import pytest
from support.mistakes import Mistake, assert_explained
from support.seeded_installation import SqliteSeed

MISTAKES = [
    # commands, options and arguments that do not exist or are missing
    Mistake("servee", "No such command 'servee'", "Did you mean 'serve'"),
    Mistake("keys creat", "No such command 'creat'", "Did you mean 'create'? Try `notifier keys --help`"),
    Mistake("serve --prt 8000", "No such option: --prt", "--port"),
    Mistake("keys revoke", "Missing argument", "Try `notifier keys revoke --help`"),
    Mistake("keys create --service", "'--service' requires an argument", "--help"),
    Mistake("serve here", "unexpected extra argument", "Try `notifier serve --help`"),
    Mistake("keys create", "--service NAME", "--admin"),
    # values of the wrong type or outside their limits
    Mistake("serve --port eighty", "Invalid value for '--port'", "a valid integer"),
    Mistake("serve --port 70000", "Invalid value for '--port'", "65535"),
    Mistake("inbox --smtp-port -1", "Invalid value for '--smtp-port'", "0"),
    Mistake("sender --processes 0", "Invalid value for '--processes'", "1"),
    Mistake("keys create --service shop --expires-in soon", "--expires-in", "such as 90d"),
    Mistake("keys create --service shop --scope everything", "/scopes/0", "notifications:send"),
    Mistake("staff create ada@example.com --role king", "/roles/0", "operator"),
    Mistake("staff create ada", "/email", "must have an @-sign"),
    Mistake("suppressions add ada", "/address", "must have an @-sign"),
    Mistake("send --to ada@example.com --template welcome --var name --key k", "--var name", "write name=value"),
    Mistake("resolve 0190a5c4-0000-7000-8000-000000000000 --as eaten", "'eaten'", "'sent', 'failed', 'resend'"),
    Mistake("jobs show 7", "'7' is not a job's id", "`notifier jobs list`"),
    # options that exclude each other
    Mistake("templates push --overwrite --only-new", "--overwrite", "exclude each other"),
    # files and directories
    Mistake("templates lint --dir missing", "there is no directory missing", "correct --dir"),
    Mistake("templates lint", "there is no directory missing", "NOTIFIER_TEMPLATES_DIR", {"TEMPLATES_DIR": "missing"}),
    Mistake("schedules apply missing.toml", "missing.toml", "no such file"),
    Mistake("merge missing.csv --template welcome --key k", "missing.csv", "is no file"),
]  # fmt: skip


@pytest.fixture(scope="module")
def installation(sqlite_seed: SqliteSeed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a migrated database in `data`."""
    folder = tmp_path_factory.mktemp("installation")
    (folder / "data").mkdir(mode=0o700)
    sqlite_seed.copy(folder / "data")
    return folder


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_explained(mistake: Mistake, installation: Path) -> None:
    """One line on stderr with the cause and what to do, exit 2."""
    assert_explained(mistake, installation)

"""Each command does and prints the same over HTTP beside a running server on SQLite, and in its own process."""

from collections.abc import Iterator

import pytest
from support.command_terminal import Terminal, erase_differences, open_terminals
from support.seeded_installation import SqliteSeed

WAYS = ("http", "local")


@pytest.fixture(scope="module")
def terminals(sqlite_seed: SqliteSeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Terminal]]:
    """One server for all tests of this module, and a database without one."""
    with open_terminals(sqlite_seed, tmp_path_factory.mktemp("both")) as opened:
        yield opened


def _run_both(terminals: dict[str, Terminal], *commands: str) -> list[str]:
    """Type the commands at both terminals, and return what both print, without ids and times."""
    printed = {}
    for way, terminal in terminals.items():
        results = [terminal.type(*command.split()) for command in commands]
        printed[way] = [f"{result.code} {erase_differences(result.stdout + result.stderr)}" for result in results]
    assert printed["http"] == printed["local"]
    return printed["http"]


def test_services(terminals: dict[str, Terminal]) -> None:
    """A service is created once, changed and listed; with --if-missing it may exist."""
    created, again, there, changed, listed, unnamed, unknown = _run_both(
        terminals,
        "services create billing --from-domain billing.example",
        "services create billing",
        "services create billing --if-missing",
        "services update billing --rate-per-minute 60 --keep-content-days 3 --team-recipient @billing.example",
        "services list",
        "services update billing",
        "services update nobody --no-team",
    )
    assert (created, there) == ("0 ID\n", "0 ID\n")
    assert again == "1 notifier: there is a service named 'billing' already\n"
    assert "ID billing billing.example @billing.example 60 3 - TIME" in changed
    assert "ID billing billing.example @billing.example 60 3 - TIME" in listed
    assert unnamed == "2 notifier: name at least one change\n"
    assert unknown == "1 notifier: there is no service named 'nobody'\n"


def test_keys(terminals: dict[str, Terminal]) -> None:
    """Keys of a service and admin keys are created and listed; what is wrong is named."""
    created, listed, admin, *wrong = _run_both(
        terminals,
        "keys create --service other --name app --kind test --expires-in 90d",
        "keys list --service other",
        "keys create --admin --name cli",
        "keys create --service nobody",
        "keys create --service other --scope everything",
        "keys create",
        "keys revoke 17",
        "keys revoke ntf_live_AAAAAAAAAAAA",
    )
    assert created == admin == "0 KEY\n"
    assert "ID KEY other app test notifications:send,notifications:read TIME - - TIME -" in listed
    assert wrong[0] == "2 notifier: --service: there is no service named 'nobody'\n"
    assert "notifications:read" in wrong[1]
    assert wrong[2:] == [
        "2 notifier: either --service NAME or --admin\n",
        "2 notifier: this is neither an id nor the prefix of a key\n",
        "1 notifier: there is no such key\n",
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_rotated_and_revoked(terminals: dict[str, Terminal], way: str) -> None:
    """A key is rotated and revoked by its prefix, its id or itself; the audit names who did it."""
    terminal = terminals[way]
    (created,) = terminal.read_json("keys", "create", "--service", "shop", "--rate-per-minute", "7")
    (new,) = terminal.read_json("keys", "rotate", created["prefix"])
    assert (new["service"], new["rate_per_minute"]) == ("shop", "7")
    assert terminal.read_json("keys", "revoke", new["key"])[0]["revoked"] != "-"
    assert terminal.read_json("keys", "revoke", created["id"])[0]["revoked"] != "-"


def test_what_is_wrong_with_the_url_or_the_key_is_one_line(terminals: dict[str, Terminal]) -> None:
    """An API out of reach, an unknown key and a key without the scope are each named, with what to change."""
    terminal = terminals["http"]
    away = terminal.type("keys", "list", URL="http://127.0.0.1:1")
    assert (away.code, away.stderr) == (
        2,
        "notifier: http://127.0.0.1:1 is out of reach: start it, or give --local to open the database\n",
    )
    unknown = terminal.type("keys", "list", ADMIN_KEY="ntf_admin_x")
    assert (unknown.code, unknown.stderr.count("\n")) == (2, 1)
    assert "does not accept the key in NOTIFIER_ADMIN_KEY" in unknown.stderr
    weak = terminal.type("keys", "list", ADMIN_KEY="")
    assert (weak.code, weak.stderr) == (
        2,
        "notifier: this key lacks the scope keys:manage (the key in NOTIFIER_API_KEY)\n",
    )
    none = terminal.type("keys", "list", ADMIN_KEY="", API_KEY="", URL="http://notifier.example")
    assert (none.code, "set NOTIFIER_ADMIN_KEY or NOTIFIER_API_KEY" in none.stderr) == (2, True)


def test_no_served_api_knows_the_operator(terminals: dict[str, Terminal]) -> None:
    """Without NOTIFIER_URL, a command that writes beside the server says how to reach it."""
    variables = {"URL": "", "DATA_DIR": ""}
    assert terminals["http"].type("keys", "list", **variables).code > 0

"""Each command does and prints the same over HTTP beside a running server on SQLite, and in its own process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import notifier_process
from support.command_terminal import Terminal, erase_differences, open_terminals
from support.seeded_installation import SqliteSeed

WAYS = ("http", "local")


@pytest.fixture(scope="module")
def terminals(sqlite_seed: SqliteSeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Terminal]]:
    """One server for all tests of this module, and a database without one."""
    relay = {"RECIPIENTS__MODE": "live", "SMTP__PORT": str(notifier_process.find_free_port())}
    with open_terminals(sqlite_seed, tmp_path_factory.mktemp("both"), **relay) as opened:
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
        "notifier: this key lacks the scope keys:manage: set another than the one in NOTIFIER_API_KEY\n",
    )
    none = terminal.type("keys", "list", ADMIN_KEY="", API_KEY="", URL="http://notifier.example")
    assert (none.code, "set NOTIFIER_ADMIN_KEY or NOTIFIER_API_KEY" in none.stderr) == (2, True)


def test_no_served_api_knows_the_operator(terminals: dict[str, Terminal]) -> None:
    """Without NOTIFIER_URL, a command that writes beside the server says how to reach it."""
    variables = {"URL": "", "DATA_DIR": ""}
    assert terminals["http"].type("keys", "list", **variables).code > 0


def test_mails_of_an_address(terminals: dict[str, Terminal]) -> None:
    """`find` answers for the newest mail and lists all; one mail is shown as a whole; none is exit 1."""
    several, last, one, none, wrong, since = _run_both(
        terminals,
        "find bob@example.com --since 7d --template welcome --status scheduled",
        "find bob@example.com --last",
        "find ann@example.com --service shop",
        "find nobody@example.com",
        "find bob",
        "find bob@example.com --since yesterday",
    )
    answer, _, header, *rows = several.removeprefix("0 ").splitlines()
    assert answer.startswith("The newest, of TIME: Not yet. ")
    assert header == "TIME STATUS REASON TEMPLATE SERVICE ID"
    assert [row.split()[:5] for row in rows] == [["TIME", "scheduled", "-", "welcome", "shop"]] * 2
    for shown, address in ((last, "bob"), (one, "ann")):
        assert shown.startswith(f"0 ID welcome v1 to {address}@example.com\n\nanswer Not yet. ")
        assert "\nservice shop\nwaits " in shown
        assert "(by shop, key " in shown
    assert none == "1 notifier: there is no such mail to nobody@example.com\n"
    assert wrong == "2 notifier: 'bob' is no address\n"
    assert since.startswith("2 notifier: --since: a duration such as 7d")


@pytest.mark.parametrize("way", WAYS)
def test_one_mail_by_the_first_digits_of_its_id(terminals: dict[str, Terminal], way: str) -> None:
    """A mail is shown, cancelled and retried by the first digits of its id; several are named."""
    terminal = terminals[way]
    newest, older = terminal.read_json("find", "bob@example.com")
    assert terminal.read_json("show", "bob@example.com")["id"] == newest["id"]
    assert terminal.read_json("show", newest["id"][:20])["events"][0]["actor_name"].startswith("shop, key ")
    several = terminal.type("show", newest["id"][:8])
    assert (several.code, older["id"] in several.stderr) == (2, True)
    assert terminal.type("show", "00000000").stderr == "notifier: there is no such notification\n"
    assert terminal.read("cancel", newest["id"][:23], "--comment", "sold out") == "cancelled\n"
    refused = terminal.type("retry", newest["id"])
    assert (refused.code, refused.stderr.count("\n")) == (1, 1)
    assert terminal.type("resolve", older["id"], "--as", "sent").code == 1
    assert terminal.read("unknown") == ""
    assert terminal.read("retry", "--reason", "internal") == "retried 0\n"
    shown = terminal.read_json("show", newest["id"])
    assert (shown["status"], shown["events"][-1]["detail"]) == ("cancelled", "sold out")


def test_suppressions(terminals: dict[str, Terminal]) -> None:
    """Suppressions of the instance and of a service are added, listed and lifted."""
    first, second, listed, of_shop, lifted, again, expired = _run_both(
        terminals,
        "suppressions add eve@example.com --detail rang",
        "suppressions add eve@example.com --service shop --scope marketing",
        "suppressions list --address eve@example.com",
        "suppressions list --service shop",
        "suppressions lift eve@example.com",
        "suppressions lift eve@example.com",
        "suppressions add eve@example.com --expires-at 2020-01-01",
    )
    assert "ID eve@example.com - all requested rang " in first
    assert "ID eve@example.com shop marketing requested " in second
    assert (listed.count("eve@"), of_shop.count("eve@"), lifted.count("eve@")) == (2, 1, 1)
    assert again.startswith("1 notifier: the instance has no suppression of eve@example.com")
    assert expired.startswith("2 notifier: /expires_at: ")


def test_staff(terminals: dict[str, Terminal]) -> None:
    """A person is created with a link, gets roles, and is disabled by e-mail address."""
    created, roles, disabled, listed, unknown = _run_both(
        terminals,
        "staff create Ana@example.com --role admin --url https://mail.example.com --json",
        "staff roles ana@example.com --role editor --json",
        "staff disable ANA@example.com",
        "staff list",
        "staff link nobody@example.com",
    )
    assert '"link": "https://mail.example.com/console/welcome/' in created
    assert roles.startswith("1 notifier: ")  # the only admin
    assert disabled.startswith("1 notifier: ")
    assert "ana@example.com Ana admin no TIME - -" in listed
    assert unknown == "1 notifier: there is no such person\n"


def test_jobs_schedules_and_feeds(terminals: dict[str, Terminal], tmp_path: Path) -> None:
    """A file of schedules is planned, a feed is saved, figures are shown; what is wrong is named."""
    file = tmp_path / "schedules.toml"
    file.write_text('[schedules.weekly]\naction = "purge"\ntiming = "every 7d"\n')
    saved, nobody, of_shop, planned, wrong, feed, feeds, no_job, figures = _run_both(
        terminals,
        "schedules save nightly --action purge --timing every-day",
        "schedules save weekly --action purge --timing every-week --service nobody",
        "schedules list --service shop",
        f"schedules apply {file} --dry-run",
        "schedules apply README.md",
        "feeds save prices https://shop.example/prices.json --service shop",
        "feeds list --service shop",
        "jobs cancel 0190a5c4-0000-7000-8000-000000000000",
        "stats --by day",
    )
    assert saved.startswith("2 notifier: timing: ")
    assert nobody.startswith("2 notifier: --service: there is no service named 'nobody'")
    assert of_shop == "0 "
    assert planned == "0 NAME CHANGE\nweekly created\n"
    assert wrong.startswith("2 notifier: README.md: ")
    assert "prices new - - - https://shop.example/prices.json" in feed
    assert "prices new - - - https://shop.example/prices.json" in feeds
    assert no_job == "1 notifier: there is no such job\n"
    assert figures.startswith("0 START TOTAL SENT ")


@pytest.mark.parametrize("way", WAYS)
def test_a_schedule_begins_a_job(terminals: dict[str, Terminal], way: str) -> None:
    """A schedule is saved, switched off and on, run by hand and deleted; its job is shown."""
    terminal = terminals[way]
    terminal.read("schedules", "save", "nightly", "--action", "purge", "--timing", "0 3 * * *", "--disabled")
    assert terminal.read_json("schedules", "enable", "nightly")["enabled"] is True
    assert terminal.read_json("schedules", "disable", "nightly")["enabled"] is False
    assert len(terminal.read_json("schedules", "next", "nightly", "--count", "3")) == 3
    job = terminal.read_json("schedules", "run", "nightly")["job"]
    assert terminal.read_json("jobs", "show", job)["schedule"] == "nightly"
    assert job in [each["id"] for each in terminal.read_json("jobs", "list", "--schedule", "nightly")]
    terminal.read("schedules", "delete", "nightly")
    assert terminal.type("schedules", "show", "nightly").code == 1


def test_send_says_why_a_mail_waits(terminals: dict[str, Terminal]) -> None:
    """If the mail still waits, `send` says why and what to do; `show` finds the reason later."""
    terminal = terminals["http"]
    words = ("send", "--to", "zoe@example.com", "--template", "welcome", "--var", "name=Zoe", "--var", "product=x")
    sent = terminal.type(*words, "--wait", "0")
    accepted, *_, sentence, again = sent.stdout.splitlines()
    id_ = accepted.removeprefix("accepted as ")
    assert (sent.code, again, sentence.endswith(".")) == (1, f"look again with: notifier show {id_}", True)
    assert terminal.read_json("show", "zoe@example.com")["id"] == id_

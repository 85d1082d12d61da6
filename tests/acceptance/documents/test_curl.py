"""The scripts of examples/curl, each run by a plain shell against a running demo."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from support import notifier_process
from support.document_blocks import ROOT, list_blocks
from support.webhook_receiver import run_receiver

from notifier.inbox.client import MailHogClient

FOLDER = ROOT / "examples" / "curl"


class Terminal:
    """Runs the scripts with a URL and a key."""

    def __init__(self, demo: dict[str, str]) -> None:
        ours = notifier_process.without_coverage(notifier_process.build_environment(FOLDER))
        self.env = ours | {
            "NOTIFIER_URL": demo["api"],
            "NOTIFIER_API_KEY": demo["key"],
        }

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one script to its end."""
        command = ["sh", str(FOLDER / f"{name}.sh"), *words]
        return subprocess.run(command, env=self.env, check=False, capture_output=True, text=True, timeout=100)

    def answers(self, name: str, *words: str) -> list[Any]:
        """The API's replies to a script that succeeded."""
        done = self.run(name, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line]


@pytest.fixture
def terminal(demo: dict[str, str]) -> Terminal:
    return Terminal(demo)


def test_send(terminal: Terminal, demo: dict[str, str]) -> None:
    """The mail arrives; the same key returns the same mail."""
    (first,) = terminal.answers("send", "curl-send@example.com", "curl-1")
    with MailHogClient(demo["inbox"]) as inbox:
        assert inbox.wait_for(to="curl-send@example.com").subject == "Welcome to Larkspur, Ada"
    (again,) = terminal.answers("send", "curl-send@example.com", "curl-1")
    assert again["id"] == first["id"]


def test_merge(terminal: Terminal, demo: dict[str, str]) -> None:
    """The rows with faults are listed, and each of the others becomes a mail."""
    merge, faults, started = terminal.answers("merge", str(ROOT / "examples" / "merge.csv"))
    assert (merge["state"], merge["rows"], merge["valid"]) == ("checked", 5, 3)
    assert [row["row"] for row in faults["rows"]] == [4, 5]
    assert (started["state"], started["submitted"]["size"]) == ("running", 3)
    with MailHogClient(demo["inbox"]) as inbox:
        assert inbox.wait_for(to="erin@example.com").subject == "Welcome to Larkspur, Erin"


def test_batch(terminal: Terminal) -> None:
    """Two mails are accepted, one is refused, and the batch reports its progress."""
    accepted, batch = terminal.answers("batch", "curl-2")
    assert ["error" in item for item in accepted["results"]] == [False, True, False]
    assert (batch["id"], batch["accepted"]) == (accepted["batch_id"], 2)


def test_schedule_and_cancel(terminal: Terminal) -> None:
    """A scheduled mail is cancelled and never sent."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    scheduled, cancelled = terminal.answers("schedule-and-cancel", "curl-later@example.com", tomorrow)
    assert (scheduled["status"], cancelled["status"]) == ("scheduled", "cancelled")
    assert cancelled["id"] == scheduled["id"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("send", ("nobody", "curl-4")),
        ("batch", ("ü",)),
        ("schedule-and-cancel", ("ada@example.com", "tomorrow")),
        ("dry-run", ('Ada", "age": "36',)),
        ("suppress", ("nobody",)),
        ("webhook", ("http://hooks.example.org",)),
    ],
)
def test_what_is_refused_is_shown(terminal: Terminal, name: str, words: tuple[str, ...]) -> None:
    """The script exits with curl's 22 and prints the problem last."""
    refused = terminal.run(name, *words)
    assert refused.returncode == 22, refused.stdout
    assert json.loads(refused.stdout.splitlines()[-1])["type"].startswith("/problems/")


def test_dry_run(terminal: Terminal) -> None:
    """A dry run shows the mail without sending it."""
    (answer,) = terminal.answers("dry-run", "Ada")
    assert (answer["subject"], answer["dry_run"]) == ("Welcome to Larkspur, Ada", True)


def test_find_and_explain(terminal: Terminal) -> None:
    """The newest mail is shown with its events and the reason; no match is an error."""
    (sent,) = terminal.answers("send", "curl+find@example.com", "curl-3")
    page, events, explained = terminal.answers("find-and-explain", "curl+find@example.com")
    assert [notification["id"] for notification in page["notifications"]] == [sent["id"]]
    assert events["events"][0]["kind"] == "accepted"
    assert explained["id"] == sent["id"]
    assert terminal.run("find-and-explain", "nobody@example.com").returncode == 1


def test_suppress(terminal: Terminal, demo: dict[str, str]) -> None:
    """A suppression is added, listed and lifted, and nothing is left."""
    added, listed = terminal.answers("suppress", "curl+stop@example.com")
    assert listed["suppressions"] == [added]
    with httpx2.Client(base_url=demo["api"], headers={"Authorization": f"Bearer {demo['key']}"}, timeout=100) as client:
        assert client.get(f"/v1/suppressions/{added['id']}").status_code == 404


async def test_webhook(terminal: Terminal) -> None:
    """The URL receives a test event, signed with the secret that the script printed."""
    async with run_receiver() as receiver:
        made, test_delivery, listed = terminal.answers("webhook", receiver.url())
        (heard,) = await receiver.wait_for(1)
    assert heard.verified(made["secret"])["type"] == "webhook.test"
    assert heard.id == test_delivery["event_id"]
    assert listed["deliveries"][0]["id"] == test_delivery["id"]


def test_without_a_key(terminal: Terminal) -> None:
    """A wrong key prints the 401; without a key the script names what is missing and sends nothing."""
    terminal.env["NOTIFIER_API_KEY"] += "x"
    wrong = terminal.run("find-and-explain", "ada@example.com")
    assert (wrong.returncode, json.loads(wrong.stdout)["status"]) == (22, 401)
    del terminal.env["NOTIFIER_API_KEY"]
    done = terminal.run("dry-run", "Ada")
    assert done.returncode != 0
    assert done.stderr.endswith("NOTIFIER_API_KEY: an API key\n")


def test_the_page_names_every_script() -> None:
    """The README names every script, and each script is executable."""
    *_, block = list_blocks("examples/curl/README.md", "sh")
    scripts = sorted(path.name for path in FOLDER.glob("*.sh"))
    assert sorted(line.split()[0].removeprefix("./") for line in block.text.splitlines()) == scripts
    assert all((FOLDER / name).stat().st_mode & 0o111 for name in scripts)

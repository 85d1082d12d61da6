"""An operator at night asks whether Bob got his mail, why not, and what to do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from support import api_caller, notifier_process
from support.notifier_process import NotifierProcess
from support.scripted_relay import DROP, ScriptedRelay
from support.seeded_installation import Keys

Ran = tuple[int, str, str]


class Night:
    """An installation with a server that can be stopped, and an operator's terminal."""

    def __init__(self, url: str, keys: Keys, relay: ScriptedRelay, folder: Path) -> None:
        self._keys, self._port = keys, notifier_process.find_free_port()
        settings = {"DATABASE_URL": url, "SMTP__PORT": str(relay.port), "RECIPIENTS__MODE": "live"}
        self._env = notifier_process.build_environment(folder, **settings, SENDER__RESEND_AFTER="1")

    @asynccontextmanager
    async def server(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Run the server; return a caller of its API."""
        headers = {"Authorization": f"Bearer {self._keys.shop}"}
        with NotifierProcess("serve", "--port", str(self._port), env=self._env) as server:
            await asyncio.to_thread(server.wait_until_ready)
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", headers=headers) as client:
                yield client
            await asyncio.to_thread(server.stop)

    async def run(self, *words: str) -> Ran:
        """Run a command; return its exit code, stdout and stderr."""
        ran = await asyncio.to_thread(notifier_process.run_notifier, *words, env=self._env, check=False)
        return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def night(sqlite_database: tuple[str, Keys], relay: ScriptedRelay, tmp_path: Path) -> Night:
    """An installation on SQLite, where a running server owns the file."""
    return Night(*sqlite_database, relay, tmp_path)


def _list_events(output: str) -> list[str]:
    """The kinds of the events that `show` prints after its last empty line."""
    return [line.split()[1] for line in output.strip().rpartition("\n\n")[2].splitlines()]


async def test_an_uncertain_mail_from_alarm_to_end(night: Night, relay: ScriptedRelay) -> None:
    """A mail whose reply was lost twice is listed by `unknown`, explained by `show`, resolved and retried."""
    relay.say("bob@example.com", "DOT", DROP, times=2)
    async with night.server() as client:
        path = await api_caller.submit_mail(client, "bob@example.com")
        await api_caller.wait_for_attempts(client, path, 2)
        id_ = path.rpartition("/")[2]
        # While the server runs the operator can read; a decision is refused with the reason.
        code, output, _ = await night.run("show", id_)
        refused = await night.run("resolve", id_, "--as", "failed")
    assert code == 0
    assert "status    unknown (no_final_reply)" in output
    assert f"notifier resolve {id_} --as sent|failed|resend" in output
    assert _list_events(output) == ["accepted", "attempt", "uncertain", "attempt"]
    assert refused[0] == 2
    assert "set NOTIFIER_URL to its address and NOTIFIER_ADMIN_KEY" in refused[2]

    listed = json.loads((await night.run("unknown", "--json"))[1])
    assert [(row["id"], row["to"], row["reason"]) for row in listed] == [(id_, "bob@example.com", "no_final_reply")]
    assert listed[0]["since"] < listed[0]["until"]
    assert "bob@example.com" in (await night.run("unknown"))[1]

    assert (await night.run("cancel", id_))[0] == 1
    words = "Bob rang:\n\x1b[31mnothing came"
    assert await night.run("resolve", id_, "--as", "failed", "--comment", words) == (0, "failed\n", "")
    assert (await night.run("unknown"))[:2] == (0, "")
    again = await night.run("resolve", id_, "--as", "sent")
    assert again == (1, "", "notifier: only what is unknown can be resolved: it is failed\n")
    assert await night.run("retry", id_, "--comment", "relay mended") == (0, "queued\n", "")

    async with night.server() as client:
        notification = await api_caller.wait_for_status(client, path, "sent")
        events = (await client.get(f"{path}/events")).json()["events"]
    assert [attempt["outcome"] for attempt in notification["attempts"]] == ["uncertain", "uncertain", "accepted"]
    done = [(event["kind"], event["detail"]) for event in events if event["actor"] and event["kind"] != "accepted"]
    assert done == [("resolved", f"as failed: {words}"), ("retried", "relay mended")]
    assert all(event["actor"].startswith("operator:") for event in events if event["kind"] in {"resolved", "retried"})
    _, output, _ = await night.run("show", id_)
    assert "\x1b" not in output
    assert "status    sent" in output
    assert "unsure    since" in output
    code, text, _ = await night.run("show", id_, "--json")
    assert (code, json.loads(text)) == (0, json.loads(text) | notification | {"events": events})


async def test_a_scheduled_mail_is_cancelled(night: Night) -> None:
    """`cancel` stops a scheduled mail, says so, and can be repeated."""
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    async with night.server() as client:
        path = await api_caller.submit_mail(client, "bob@example.com", send_at=later)
    id_ = path.rpartition("/")[2]
    assert "status    scheduled" in (await night.run("show", id_))[1]
    for _ in range(2):
        assert await night.run("cancel", id_, "--comment", "sold out") == (0, "cancelled\n", "")
    _, output, _ = await night.run("show", id_)
    assert _list_events(output) == ["accepted", "scheduled", "cancelled"]
    assert "\ncontent   kept until " in output
    assert "\nwhat now  nothing: it has ended\n" in output


async def test_wrong_use_is_named(night: Night) -> None:
    """Invalid ids, decisions and comments exit with 2; an unknown notification exits with 1 and one line."""
    unknown = "0190a5c4-0000-7000-8000-000000000000"
    for command in ("show", "cancel", "retry"):
        assert await night.run(command, unknown) == (1, "", "notifier: there is no such notification\n")
        wrong = await night.run(command, "17")
        assert wrong == (2, "", "notifier: '17' is not the id of a notification, nor its first 8 digits or more\n")
    assert (await night.run("resolve", unknown, "--as", "delivered"))[0] == 2
    assert (await night.run("resolve", unknown))[0] == 2
    assert (await night.run("cancel", unknown, "--comment", "x" * 901))[0] == 2


async def test_on_postgresql_one_decides_beside_a_running_server(
    postgres_database: tuple[str, Keys], relay: ScriptedRelay, tmp_path: Path
) -> None:
    """On PostgreSQL a failed mail is retried from the terminal while the server runs, which then sends it."""
    night = Night(*postgres_database, relay, tmp_path)
    relay.say("bob@example.com", "DOT", "554 5.6.0 no")
    async with night.server() as client:
        path = await api_caller.submit_mail(client, "bob@example.com")
        await api_caller.wait_for_status(client, path, "failed")
        id_ = path.rpartition("/")[2]
        assert f"to send it again: notifier retry {id_}" in (await night.run("show", id_))[1]
        assert await night.run("retry", id_) == (0, "queued\n", "")
        await api_caller.wait_for_status(client, path, "sent")
    assert len(relay.received) == 1

"""An operator at the terminal lists, adds and lifts suppressions."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support import marketing_template, notifier_process
from support.seeded_installation import Installation

from notifier import suppression
from notifier.audit import Actor
from notifier.db.tables import INSTANCE
from notifier.ids import generate_id
from notifier.states import SuppressionReason, SuppressionScope


class Terminal:
    """Commands in the environment of an installation."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self._env = notifier_process.build_environment(
            folder, DATABASE_URL=installation.settings.effective_database_url
        )

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command; return its exit code, stdout and stderr."""
        ran = await asyncio.to_thread(notifier_process.run_notifier, "suppressions", *words, env=self._env, check=False)
        return ran.returncode, ran.stdout, ran.stderr

    async def rows(self, *words: str) -> list[dict[str, Any]]:
        """The rows that a command prints with `--json`."""
        code, output, complaint = await self.run(*words, "--json")
        assert code == 0, complaint
        rows: list[dict[str, Any]] = json.loads(output)
        return rows


@pytest.fixture
def terminal(installation: Installation, tmp_path: Path) -> Terminal:
    return Terminal(installation, tmp_path)


async def test_add_list_and_lift(installation: Installation, terminal: Terminal) -> None:
    """A suppression holds for one service or all, is lifted by id or address, and is audited where it applies."""
    for_all = await terminal.rows("add", "Bob@Bücher.example", "--detail", "a\n\x1b[31mletter")
    (for_shop,) = await terminal.rows(
        "add", "bob@example.com", "--service", "shop", "--scope", "marketing", "--expires-at", "2099-01-01"
    )
    assert await terminal.rows("list") == [for_shop, *for_all]
    assert for_all[0]["address"] == "bob@xn--bcher-kva.example"
    assert for_all[0]["by"].startswith("operator:")
    assert await terminal.rows("list", "--service", "shop", "--address", "BOB@example.com") == [for_shop]
    assert (for_shop["scope"], for_shop["reason"], for_shop["until"]) == (
        "marketing",
        "requested",
        "2099-01-01T00:00:00Z",
    )
    code, output, _ = await terminal.run("list")
    assert (code, "\x1b" in output, len(output.splitlines())) == (0, False, 3)

    assert await terminal.rows("lift", for_shop["id"], "--comment", "asked bob@example.com") == [for_shop]
    assert await terminal.rows("lift", "bob@bücher.example") == for_all
    assert await terminal.rows("list") == await terminal.rows("list", "--service", "shop") == []
    async with (
        installation.open_parts() as parts,
        installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as shop,
    ):
        entries = (await shop.get("/v1/audit")).json()["entries"]
    assert [(entry["action"], entry["object_id"]) for entry in entries] == [
        ("suppression.lifted", for_shop["id"]),
        ("suppression.added", for_shop["id"]),
    ]
    assert entries[0]["actor"] == for_all[0]["by"]
    assert entries[0]["after"] == {"comment": "asked [address]"}


async def test_what_an_earlier_release_marked_wrongly_is_found(installation: Installation, terminal: Terminal) -> None:
    """Suppressions by replies that would suppress nobody today are listed with them; manual ones are not."""
    replies = {
        "gone@example.com": "550 5.1.1 <gone@example.com>: user unknown",
        "blocked@example.com": "550 5.1.1 blocked, listed at zen.spamhaus.org",
        "disabled@example.com": "550 5.2.1 mailbox disabled",
        "customer@example.com": "550 5.1.1 <trap@staff.example>: user unknown",
    }
    async with installation.open_parts() as parts, parts.database.write() as connection:
        for address, words in replies.items():
            reason = SuppressionReason.RECIPIENT_REFUSED
            await suppression.suppress_recipient(
                connection, address, reason=reason, detail=words, now=parts.clock.now()
            )
        wish = suppression.NewSuppression(
            address="bob@example.com",
            service_id=INSTANCE,
            scope=SuppressionScope.ALL,
            reason=SuppressionReason.RECIPIENT_REFUSED,
            detail="550 5.1.1 spam",
            created_by="operator:ada",
        )
        await suppression.add_suppression(connection, wish, actor=Actor(name="operator:ada", at=parts.clock.now()))
    rows = await terminal.rows("list", "--doubtful")
    assert {row["address"]: row["detail"] for row in rows} == {
        address: words for address, words in replies.items() if address != "gone@example.com"
    }
    assert len(await terminal.rows("lift", rows[0]["id"])) == 1


async def test_wrong_use_is_named(terminal: Terminal) -> None:
    """Invalid addresses, ids, scopes and dates exit with 2; nothing to lift, or no such service, exits with 1."""
    for words in (
        ("add", "bob"),
        ("add", "bob@example.com", "--scope", "some"),
        ("add", "bob@example.com", "--expires-at", "2020-01-01"),
        ("add", "bob@example.com", "--detail", "x" * 1001),
        ("lift", "17"),
        ("list", "--address", "bob"),
    ):
        assert (await terminal.run(*words))[0] == 2, words
    code, _, complaint = await terminal.run("lift", "bob@example.com")
    assert (code, complaint.partition(";")[0]) == (1, "notifier: the instance has no suppression of bob@example.com")
    assert (await terminal.run("lift", str(generate_id())))[0] == 1
    assert await terminal.run("list", "--service", "none") == (
        2,
        "",
        "notifier: --service: there is no service named 'none'\n",
    )
    assert await terminal.rows("list") == []

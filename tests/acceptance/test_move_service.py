"""A service moves from one installation to another by the steps of docs/scaling.md, typed as they stand there."""

import asyncio
import contextlib
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import notifier_process
from support.command_terminal import Terminal
from support.document_blocks import Block, list_blocks, run_python_block
from support.notifier_process import NotifierProcess
from support.polling import poll_in_thread
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import SqliteSeed

from notifier import suppression
from notifier.client import AuthenticationError, Notifier
from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.states import SuppressionReason

DOCUMENT = "docs/scaling.md"
MAIL: Any = {"template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
KEY = "order-17"
_FUNCTION = re.compile(r'(old|new)\(\) \{ NOTIFIER_URL=\$(\w+) NOTIFIER_ADMIN_KEY=\$(\w+) notifier "\$@"; \}')


class Reader:
    """A reader of the document at a terminal, with the variables that it names."""

    def __init__(self, local: Terminal, variables: dict[str, str], folder: Path) -> None:
        self._local = local
        self.variables = variables
        self._folder = folder
        self._functions: dict[str, Terminal] = {}

    def follow(self, block: Block) -> str:
        """Do what the block says, and return what it prints."""
        if block.language == "python":
            with pytest.MonkeyPatch.context() as environment:
                for name, value in self.variables.items():
                    environment.setenv(name, value)
                return run_python_block(block)[0]
        return "".join(self._type(line) for line in block.text.splitlines())

    def _type(self, line: str) -> str:
        if function := _FUNCTION.fullmatch(line):
            name, url, key = function.groups()
            values = {"NOTIFIER_URL": self.variables[url], "NOTIFIER_ADMIN_KEY": self.variables[key]}
            self._functions[name] = Terminal(values, self._local.keys)
            return ""
        name, *words = [re.sub(r"\$(\w+)", lambda match: self.variables[match[1]], word) for word in shlex.split(line)]
        terminal = self._local if name == "notifier" else self._functions[name]
        with contextlib.chdir(self._folder):
            return terminal.read(*words)


class Cell:
    """An installation with an admin key, whose server is not started yet."""

    def __init__(self, folder: Path, seed: SqliteSeed, *, is_new: bool) -> None:
        folder.mkdir()
        self.folder = folder
        self.database = f"sqlite:///{folder / 'notifier.sqlite3'}" if is_new else seed.copy(folder)
        variables = {"NOTIFIER_DATA_DIR": str(folder), "NOTIFIER_DATABASE_URL": self.database}
        self.terminal = Terminal(variables, seed.keys)
        if is_new:
            self.terminal.read("db", "upgrade")
        self.admin_key = self.terminal.read("keys", "create", "--admin", "--scope", "all").strip()

    @contextlib.contextmanager
    def serve(self, relay: ScriptedRelay) -> Iterator[str]:
        """Run its server, and yield its URL."""
        settings = {"RECIPIENTS__MODE": "live", "SMTP__PORT": str(relay.port), "FROM": "Shop <shop@shop.example>"}
        env = notifier_process.build_environment(self.folder, DATABASE_URL=self.database, **settings)
        with NotifierProcess("serve", "--port", "0", env=env) as server:
            yield server.wait_until_ready().rpartition(" ")[2]


async def _suppress_by_relay(url: str, address: str) -> None:
    """Suppress an address for all services, as a sender does when a relay says that the mailbox does not exist."""
    database, reason = Database(url), SuppressionReason.RECIPIENT_REFUSED
    async with database.write() as connection:
        await suppression.suppress_recipient(
            connection, address, reason=reason, detail="550 5.1.1 user unknown", now=SystemClock().now()
        )
    await database.close()


async def test_a_service_moves(sqlite_seed: SqliteSeed, tmp_path: Path, relay: ScriptedRelay) -> None:
    """It mails from the new cell, to nobody who was suppressed; the old one keeps what waits, and takes nothing new."""

    def follow_document() -> None:
        old, new = (Cell(tmp_path / name, sqlite_seed, is_new=name == "new") for name in ("old", "new"))
        asyncio.run(_suppress_by_relay(old.database, "gone@example.com"))
        with old.serve(relay) as old_url, new.serve(relay) as new_url:
            variables = {"OLD_URL": old_url, "OLD_KEY": old.admin_key, "NEW_URL": new_url, "NEW_KEY": new.admin_key}
            reader = Reader(old.terminal, variables | {"OLD_SERVICE_KEY": sqlite_seed.keys.shop}, tmp_path)
            _move(reader, sqlite_seed.keys.shop)

    await asyncio.to_thread(follow_document)  # the relay needs the event loop of this thread


def _move(reader: Reader, old_key: str) -> None:
    old_url, admin_key = reader.variables["OLD_URL"], reader.variables["OLD_KEY"]
    with Notifier(url=old_url, key=old_key) as at_old, Notifier(url=old_url, key=admin_key) as admin:
        admin.suppressions.add("judy@example.com", service="shop", scope="all", reason="requested")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        later = at_old.send(to="ada@example.com", idempotency_key=KEY, send_at=tomorrow, **MAIL)
        capacity, functions, service, templates, suppressions, waiting, end = list_blocks(DOCUMENT)
        assert "SQLite: one process" in reader.follow(capacity)
        reader.follow(functions)
        new_key = reader.follow(service).splitlines()[-1]
        assert "welcome" in reader.follow(templates)
        reader.follow(suppressions)
        reader.follow(suppressions)  # the document says that it can be repeated
        with Notifier(url=reader.variables["NEW_URL"], key=new_key) as at_new:
            addresses = {"ada": "sent", "judy": "suppressed", "gone": "suppressed"}
            assert not at_new.send(to="ada@example.com", idempotency_key=KEY, **MAIL).replayed
            mails = {name: at_new.send(to=f"{name}@example.com", **MAIL).id for name in addresses}
            for name, status in addresses.items():
                poll_in_thread(partial(_has_status, at_new, mails[name], status))
        assert "scheduled 1" in reader.follow(waiting).splitlines()
        at_old.cancel(later.id)
        assert "scheduled 0" in reader.follow(waiting).splitlines()
        reader_key = re.search(r"ntf_live_\w{40,}", reader.follow(end))
        poll_in_thread(lambda: _is_refused(at_old))
    assert reader_key is not None
    with Notifier(url=old_url, key=reader_key[0]) as reading:
        assert reading.get(later.id).status == "cancelled"


def _has_status(notifier: Notifier, id_: str, status: str) -> bool:
    return notifier.get(id_).status == status


def _is_refused(notifier: Notifier) -> bool:
    """Return True once the key is refused, which takes up to a second after it was revoked."""
    try:
        notifier.send(to="ada@example.com", **MAIL)
    except AuthenticationError:
        return True
    return False

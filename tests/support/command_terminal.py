"""Terminals at which the same commands are typed: beside a running server, or on a database without one."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from notifier.client import AsyncNotifier
from notifier.runtime import process_parts, wiring
from notifier.settings import Settings
from support import notifier_process
from support.notifier_process import NotifierProcess
from support.seeded_installation import Keys, SqliteSeed
from support.typed_commands import CommandResult, type_command

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}(-[0-9a-f]{4}-[0-9a-f]{12})?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ])?\d\d:\d\d(:\d\d)?(\.\d+)?(Z| UTC)?")
_ACTOR = re.compile(r"key:ID|operator:\w+")
_KEY = re.compile(r"ntf_[a-z]+_[0-9A-Za-z]{12,44}")
_TOKEN = re.compile(r"(?<=/console/welcome/)[\w-]+")


@dataclass(frozen=True)
class Terminal:
    """Variables with which commands are typed."""

    variables: dict[str, str] = field(repr=False)
    keys: Keys = field(repr=False)

    def type(self, *words: str, **variables: str) -> CommandResult:
        """Type a command in this process; `variables` are set for it alone, without the prefix."""
        extra = {f"NOTIFIER_{name}": value for name, value in variables.items()}
        with pytest.MonkeyPatch.context() as environment:
            for name in [name for name in os.environ if name.startswith("NOTIFIER_")]:
                environment.delenv(name)
            for name, value in (self.variables | extra).items():
                environment.setenv(name, value)
            return type_command(*words)

    def read(self, *words: str, **variables: str) -> str:
        """Type a command that succeeds, and return its output."""
        result = self.type(*words, **variables)
        assert result.code == 0, result.stderr
        return result.stdout

    def read_json(self, *words: str, **variables: str) -> Any:
        """Type a command that succeeds with `--json`, and return what it prints."""
        return json.loads(self.read(*words, "--json", **variables))


@contextmanager
def open_terminals(seed: SqliteSeed, folder: Path, **settings: str) -> Iterator[dict[str, Terminal]]:
    """Open a terminal beside a server, "http", and one on a database of its own, "local"; each has an admin key."""
    with NotifierProcess("serve", "--port", "0", env=_build_environment(seed, folder / "http", settings)) as server:
        url = server.wait_until_ready().rpartition(" ")[2]
        admin = (folder / "http" / "admin-key").read_text()
        remote = {"NOTIFIER_URL": url, "NOTIFIER_ADMIN_KEY": admin, "NOTIFIER_API_KEY": seed.keys.shop}
        env = _build_environment(seed, folder / "local", settings)
        local = {name: value for name, value in env.items() if name.startswith("NOTIFIER_")}
        yield {"http": Terminal(remote, seed.keys), "local": Terminal(local, seed.keys)}


def _build_environment(seed: SqliteSeed, folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """Copy the seeded database to a folder, create an admin key in it, and return the variables for it.

    The server begins no run by itself: one that counts the statistics would make the two differ on a slow host.
    """
    folder.mkdir()
    url = seed.copy(folder)
    asyncio.run(_submit_mails(url, seed.keys))
    env = notifier_process.build_environment(folder, DATABASE_URL=url, SENDER__SCHEDULES="false", **settings)
    variables = {name: value for name, value in env.items() if name.startswith("NOTIFIER_")}
    key = Terminal(variables, seed.keys).read("keys", "create", "--admin", "--scope", "all").strip()
    (folder / "admin-key").write_text(key)
    return env


async def _submit_mails(url: str, keys: Keys) -> None:
    """Submit two mails to Bob and one to Ann, which are scheduled for tomorrow."""
    later = datetime.now(UTC) + timedelta(days=1)
    async with process_parts.open_process_parts(Settings(database_url=url)) as parts:
        transport = httpx2.ASGITransport(wiring.build_api(parts))
        async with AsyncNotifier(url="http://api", key=keys.shop, transport=transport) as notifier:
            for address in ("bob@example.com", "bob@example.com", "ann@example.com"):
                await notifier.send(
                    to=address, template="welcome", variables={"name": "Ada", "product": "Larkspur"}, send_at=later
                )


def erase_differences(text: str) -> str:
    """Replace what differs between two databases: ids, keys, times, who did it, and the columns' widths."""
    for pattern, name in ((_ID, "ID"), (_KEY, "KEY"), (_TOKEN, "TOKEN"), (_TIME, "TIME"), (_ACTOR, "ACTOR")):
        text = pattern.sub(name, text)
    return re.sub(r" +", " ", text)

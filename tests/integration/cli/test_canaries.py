"""A real process never writes secrets or personal data to stdout and stderr, whatever fails."""

import ast
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from support import canary_strings, notifier_process
from support.notifier_process import NotifierProcess
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import SqliteSeed
from support.typed_commands import type_command

from notifier.auth import key_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.clock import SystemClock
from notifier.db.engine import Database

KEPT = {"alembic_version", "api_key", "service", "sqlite_sequence"}
"""Tables that are not broken, so that requests are authenticated before they fail."""
RAISE = "".join(
    f"CREATE TRIGGER {event}_{{table}} BEFORE {event} ON {{table}}"
    f" BEGIN SELECT RAISE(ABORT, '{canary_strings.ADDRESS}'); END;"
    for event in ("INSERT", "UPDATE", "DELETE")
)
DROP = "DROP TABLE {table};"
RAISING = """
import asyncio, gc, logging, sys, threading, warnings
from starlette.applications import Starlette
from starlette.routing import Route
from notifier.cli import command
from notifier.log_settings import LogSettings
from notifier.runtime import wiring

CANARY = {words!r}

async def fail(request=None):
    raise ValueError(CANARY)

class Fails:
    def __del__(self):
        raise ValueError(CANARY)

def fail_now(words):
    raise ValueError(words)

async def main():
    listener = wiring.open_listener("127.0.0.1", 0)
    async with wiring.serve_http(Starlette(routes=[Route("/", fail)]), listener):
        for request in (b"GET /?{token} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", CANARY.encode() + b"\\r\\n\\r\\n"):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(request)
            await reader.read(10)
            writer.close()
    asyncio.get_running_loop().call_soon(fail_now, CANARY)
    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
    Fails()
    warnings.warn(CANARY)
    logging.getLogger("some.library").error("it went wrong: %s", CANARY)
    logging.getLogger("some.library").error("it went wrong: " + CANARY, stack_info=True)
    logging.getLogger("sqlalchemy.pool").error("Exception during reset", exc_info=ValueError(CANARY))
    thread = threading.Thread(target=fail_now, args=(CANARY,))
    thread.start()
    thread.join()

command.set_up_logging(LogSettings())
command.run_command(main())
raise ValueError(CANARY)
"""
SOURCES = {"asyncio", "finalizer", "some.library", "sqlalchemy.pool", "thread", "uvicorn.error"}


async def _admin_key(url: str) -> str:
    database = Database(url)
    async with database.write() as connection:
        scopes = tuple(KeyScope)
        _, key = await key_admin.insert_key(connection, None, key_admin.NewKey(scopes=scopes), now=SystemClock().now())
    await database.close()
    return key


def _spoil(file: Path, statement: str) -> None:
    """Run a statement for each table that is not `KEPT`."""
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for name in names - KEPT:
            connection.executescript(statement.format(table=name))
    connection.close()


def _assert_clean(output: str) -> None:
    assert canary_strings.find_leaks(output) == []
    for line in output.splitlines():
        assert isinstance(json.loads(line), dict), line


async def test_no_route_lets_a_canary_into_the_log(
    sqlite_seed: SqliteSeed, tmp_path: Path, relay: ScriptedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls every route with personal data in each place, then with a failing database."""
    url = sqlite_seed.copy(tmp_path)
    admin, shop = await _admin_key(url), sqlite_seed.keys.shop
    relay.greeting = f"554 5.7.1 <{canary_strings.ADDRESS}>: log in with {canary_strings.TOKEN}"
    settings = {"SMTP__PORT": str(relay.port), "SMTP__SECURITY": "none", "RECIPIENTS__MODE": "live"}
    env = notifier_process.build_environment(
        tmp_path, **settings, LOG_FORMAT="json", LOG_LEVEL="DEBUG", API__ACCESS_LOG="true", DATABASE_URL=url
    )
    codes = set()
    with NotifierProcess("serve", "--port", "0", env=env) as serve:
        base = (await asyncio.to_thread(serve.wait_until_ready)).rpartition(" ")[2]
        async with httpx2.AsyncClient(base_url=base, trust_env=False) as client:
            unknown = {"Authorization": f"Bearer {canary_strings.TOKEN}"}
            codes.add((await client.get("/v1/whoami", headers=unknown)).status_code)
            for keys_used, statement in (((shop,), ""), ((shop, admin), RAISE), ((admin,), DROP)):
                _spoil(tmp_path / "notifier.sqlite3", statement)
                for key in keys_used:
                    for request in canary_strings.list_requests(key):
                        codes.add((await client.request(**request)).status_code)
                await asyncio.to_thread(serve.wait_for_error, "circuit_opened")
        await asyncio.to_thread(serve.stop)
        assert {200, 202, 401, 403, 404, 422, 500, 503} <= codes
        assert {"circuit_opened", "request_failed"} <= {json.loads(line)["event"] for line in serve.errors.splitlines()}
        _assert_clean(serve.errors)
        assert canary_strings.find_leaks("".join(serve.printed)) == []
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for words in (
        "keys list",
        f"show {canary_strings.ID}",
        "suppressions list",
        f"suppressions add {canary_strings.ADDRESS}",
    ):
        ended = await asyncio.to_thread(type_command, *words.split())
        assert canary_strings.find_leaks(ended.stdout + ended.stderr) == [], words


def test_what_libraries_and_the_interpreter_say_has_no_words_of_others() -> None:
    """Errors and warnings of libraries and the interpreter contain no personal data."""
    script = RAISING.format(
        words=f"{canary_strings.ADDRESS} {canary_strings.TOKEN} {canary_strings.SQL}", token=canary_strings.TOKEN
    )
    env = os.environ | {"NOTIFIER_LOG_FORMAT": "json"}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=env, check=False, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 1
    assert canary_strings.find_leaks(ended.stdout + ended.stderr) == []
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {line.get("source") for line in lines} == SOURCES | {None}
    details = {line.get("detail") for line in lines}
    assert {
        "Exception in ASGI application",
        "Task exception was never retrieved",
        "Invalid HTTP request received",
    } <= details
    assert [line["event"] for line in lines].count("warning") == 1
    assert lines[-1]["error"] == "ValueError"


def test_every_engine_hides_its_parameters() -> None:
    """Errors of SQLAlchemy contain the values of a statement, unless the engine hides them."""
    calls = [
        (path, {keyword.arg for keyword in node.keywords})
        for path in Path("notifier").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"create_engine", "create_async_engine", "make"}
        if ast.unparse(node.func) != "make" or path.name == "forward.py"
    ]
    assert [path for path, arguments in calls if "hide_parameters" not in arguments] == []
    assert len(calls) == 3

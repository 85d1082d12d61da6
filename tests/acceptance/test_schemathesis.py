"""The API against its own description, with every check that schemathesis has: no 5xx, and nothing undeclared.

schemathesis.toml has the settings, and tests/support/schemathesis_hooks.py the rules that no schema can express.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from chaos.size import size
from support import notifier_process
from support.notifier_process import NotifierProcess
from support.seeded_installation import SqliteSeed

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.clock import SystemClock
from notifier.db.engine import Database

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("schemathesis.toml").read_text()
SHORTER = """
[phases.coverage]
unexpected-methods = ["OPTIONS"]

# What is in a batch is what a single POST takes; what else is left out has the same forms of names, pages and bodies as
# what is tried, and tests of its own in tests/integration.
[[operations]]
include-operation-id = "submit_batch"
[operations.phases.coverage]
enabled = false

[[operations]]
include-tag = ["webhooks", "audit", "templates", "assets", "feeds", "schedules"]
[operations.phases.coverage]
enabled = false
"""
EXAMPLES = size(2, 620)
"""Maximum number of requests for each operation and phase."""
MIN_EXAMPLES = size(400, 20_000)


async def _others_key(url: str) -> str:
    """A key of another service, with every scope."""
    database = Database(url)
    async with database.write() as connection:
        service = await service_admin.find_service(connection, "other")
        key = await key_admin.create_live_key(connection, service, scopes=tuple(KeyScope), now=SystemClock().now())
    await database.close()
    return key


def _own_keys(api: str, *callers: str) -> str:
    """The ids of the keys that the requests use."""
    replies = [httpx2.get(f"{api}/v1/whoami", headers={"Authorization": f"Bearer {key}"}) for key in callers]
    return " ".join(reply.json()["key"]["id"] for reply in replies)


@pytest.mark.timeout(size(280, 1700))
def test_the_api_is_what_its_description_says(tmp_path: Path, sqlite_seed: SqliteSeed) -> None:
    """Generated requests, valid and invalid, alone and in linked sequences, get only documented replies."""
    other = asyncio.run(_others_key(sqlite_seed.copy(tmp_path)))
    ports = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0")
    (tmp_path / "demo-key").touch()  # the directory that an earlier demo left
    with NotifierProcess(
        "demo", *ports, "--data-dir", str(tmp_path), "--json", env=notifier_process.build_environment(tmp_path)
    ) as demo:
        where = demo.wait_until_ready_json()
        users = {"shop": where["key"], "other": other}
        written = [
            {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {key}"}]}
            for name, key in users.items()
        ]
        (tmp_path / "users.json").write_text(json.dumps({"auth": written}))
        (tmp_path / "schemathesis.toml").write_text(CONFIGURATION + size(SHORTER, ""))
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml"]
        command += ["run", str(ROOT / "openapi.json"), "--url", where["api"], "--checks", "all", "--seed", "5"]
        command += ["--max-examples", str(EXAMPLES), "--request-timeout", "100"]
        # None of our code runs in it, and measuring coverage would double its time.
        env = notifier_process.without_coverage(dict(os.environ))
        env |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "SCHEMATHESIS_HOOKS": "support.schemathesis_hooks"}
        env |= {"FITTING_OWN_KEYS": _own_keys(where["api"], *users.values())}
        ran = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, env=env)
        refused = httpx2.get(f"{where['api']}/metrics").text
        assert len(_own_keys(where["api"], *users.values()).split()) == len(users), "a key has ended on the way"
    sys.stdout.write(ran.stdout[-2500:])  # `make chaos` shows it
    assert ran.returncode == 0, ran.stdout[-6000:]
    generated = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert generated is not None, ran.stdout[-2000:]
    assert int(generated[1]) >= MIN_EXAMPLES
    assert 'code="rate_limited"' not in refused

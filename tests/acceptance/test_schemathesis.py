"""The API against its own description: no 5xx, and no status, type or body that openapi.json does not declare."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from chaos.size import size
from parts import process
from parts.process import Process

ROOT = Path(__file__).parents[2]
EXAMPLES = size(2, 160)
"""For each operation and phase; together about 1,000 cases, or more than 20,000."""
LEAST = size(400, 20_000)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ENDLESS = "/progress$"
"""A stream that lasts as long as its batch."""


@pytest.mark.timeout(size(280, 1700))
def test_the_api_is_what_its_description_says(tmp_path: Path) -> None:
    """Generated requests, good ones and bad ones, one by one and following the links from answer to request."""
    ports = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0")
    with Process("demo", *ports, "--json", env=process.environment(tmp_path)) as demo:
        where = demo.ready_json()
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(ROOT / "openapi.json"), "--url", where["api"]]
        command += ["--header", f"Authorization: Bearer {where['key']}", "--checks", CHECKS, "--seed", "5"]
        command += ["--max-examples", str(EXAMPLES), "--exclude-path-regex", ENDLESS, "--request-timeout", "20"]
        # Nothing of ours runs in it, and measuring its coverage takes twice its time.
        env = process.unmeasured(dict(os.environ))
        ran = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stdout[-6000:]
    generated = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert generated is not None, ran.stdout[-2000:]
    assert generated[1] == generated[2]
    assert int(generated[1]) >= LEAST

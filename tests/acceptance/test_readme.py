"""The README's code blocks, run as they stand, with only ports, ids and the relay's address put in."""

import asyncio
import json
import re
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme
from parts import process
from parts.process import Process
from parts.relay import Relay

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEMO, SUBMIT, LOOK, DOCTOR, TESTS = range(5)


def _blocks(language: str) -> list[str]:
    return [text for name, text in _BLOCK.findall((ROOT / "README.md").read_text()) if name == language]


def _bash(script: str, env: dict[str, str]) -> str:
    path = f"{process.NOTIFIER.parent}:{env['PATH']}"
    command = ["bash", "-euc", script]
    return subprocess.run(command, env=env | {"PATH": path}, capture_output=True, text=True, check=True).stdout


def test_from_the_first_command_to_sent(tmp_path: Path) -> None:
    """The demo starts, the curl answers as printed, and the GET has at least what the README shows."""
    assert _blocks("sh")[DEMO].split()[:2] == ["make", "demo"]
    ports = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0")
    env = process.environment(tmp_path)
    with Process("demo", *ports, "--json", env=env) as demo:
        where = demo.ready_json()
        env |= {"KEY": where["key"]}
        host = where["api"].removeprefix("http://")
        answer = _bash(_blocks("sh")[SUBMIT].replace("localhost:8000", host), env)
        promised = _blocks("http")[0].splitlines()
        assert answer.splitlines()[0].strip() == promised[0]
        location = re.search(r"(?im)^(location: /v1/notifications/)([0-9a-f-]{36})\r?$", answer)
        assert location is not None
        assert promised[1].startswith(location[1])
        look = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", location[2], _blocks("sh")[LOOK]).replace("localhost:8000", host)
        shown = json.loads(_blocks("json")[0])
        for _ in range(100):
            found = json.loads(_bash(look, env))
            if found["status"] == shown["status"]:
                break
        assert (found["status"], found["to"]) == (shown["status"], shown["to"])
        promised_attempt, attempt = shown["attempts"][0], found["attempts"][0]
        assert set(promised_attempt) <= set(attempt)
        for name in ("number", "outcome", "code"):
            assert attempt[name] == promised_attempt[name]
        assert attempt["reply"].startswith(promised_attempt["reply"])


@pytest.fixture
async def protected_relay(tmp_path: Path) -> Relay:
    """A relay with STARTTLS and a login, whose certificate is in ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return await Relay(starttls=context, users={"apikey": "correct horse"}).start()


async def test_four_variables_and_doctor(protected_relay: Relay, tmp_path: Path) -> None:
    """The README's four variables are enough for a relay with STARTTLS and a login, and `doctor` says so."""
    script = _blocks("sh")[DOCTOR].replace("smtp.example.com", "127.0.0.1").replace("=587", f"={protected_relay.port}")
    script = script.replace("PASSWORD=…", "PASSWORD='correct horse'")
    assert len(re.findall(r"NOTIFIER_SMTP__\w+=", script)) == 4
    extra = {"SMTP__CA_FILE": str(tmp_path / "ca.pem"), "SMTP__SECURITY": "starttls"}  # as 127.0.0.1 is no real relay
    env = process.environment(tmp_path, **extra)
    process.run("db", "upgrade", env=env)
    told = await asyncio.to_thread(_bash, script, env)
    assert re.search(r"^ok +relay +127\.0\.0\.1:\d+ answers, STARTTLS, logged in as apikey$", told, re.MULTILINE)
    assert protected_relay.commands.count("AUTH") == 1
    await protected_relay.stop()


def test_the_test_command_exists() -> None:
    """The command that the README gives for the tests is the one that CI runs."""
    assert _blocks("sh")[TESTS].strip() == "make test"
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()

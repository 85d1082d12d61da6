"""README.md from the demo to the first real mail, typed as it stands.

Its other blocks are run with those of all documents.
"""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import answer_likeness, notifier_process
from support.document_blocks import ROOT, BlockUse, list_blocks
from support.protected_relay import HOST, PASSWORD, open_protected_relay
from support.scripted_relay import ScriptedRelay


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[ScriptedRelay]:
    """A relay with STARTTLS and a login."""
    async with open_protected_relay(tmp_path) as relay:
        yield relay


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An empty home, the exports of the demo's screen, the relay's CA as a trusted one, and a free port."""
    plain = notifier_process.without_coverage(notifier_process.build_environment(tmp_path))
    del plain["NOTIFIER_DATA_DIR"]
    (tmp_path / "home").mkdir()
    return plain | {
        "HOME": str(tmp_path / "home"),
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        "NOTIFIER_API__PORT": str(notifier_process.find_free_port()),
        "NOTIFIER_URL": "http://localhost:8000",
        "NOTIFIER_API_KEY": "ntf_live_of_the_demo",
        "NOTIFIER_ADMIN_KEY": "ntf_admin_of_the_demo",
    }


@contextmanager
def _type_in_terminal(script: str, env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run shell lines, the last of which keeps running, until the block ends."""
    command = ["bash", "-euc", script]
    terminal = subprocess.Popen(
        command,
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with terminal:
        try:
            yield terminal
        finally:
            os.killpg(terminal.pid, signal.SIGTERM)


def _wait_for_line(terminal: subprocess.Popen[str], start: str) -> list[str]:
    """The lines up to the one that begins so."""
    lines: list[str] = []
    for line in terminal.stdout or ():
        lines.append(line)
        if line.startswith(start):
            return lines
    raise AssertionError("".join(lines))


async def test_from_init_to_a_sent_mail(relay: ScriptedRelay, env: dict[str, str], tmp_path: Path) -> None:
    """The two blocks of README.md, in two terminals, send a mail over TLS with a login."""
    first, second, shown = (block for block in list_blocks("README.md") if block.fate is BlockUse.ELSEWHERE)
    setup = first.text.replace("smtp.example.com:587", f"{HOST}:{relay.port}").replace(
        "PASSWORD=…", f"PASSWORD='{PASSWORD}'"
    )
    checkout = tmp_path / "checkout"
    (checkout / ".venv").mkdir(parents=True)
    (checkout / ".venv" / "bin").symlink_to(notifier_process.NOTIFIER.parent)
    path = f"{notifier_process.NOTIFIER.parent}{os.pathsep}{env['PATH']}"
    with _type_in_terminal(setup, env | {"PATH": path}, checkout) as terminal:
        told = await asyncio.to_thread(_wait_for_line, terminal, "API on ")
        assert f"relay       {HOST}:{relay.port} answers, STARTTLS, logged in as apikey\n" in told
        assert PASSWORD not in "".join(told)
        sent = await asyncio.to_thread(
            _run, second.text, {k: v for k, v in env.items() if k[:9] != "NOTIFIER_"}, checkout
        )
    assert answer_likeness.find_differences(shown.text.splitlines(), sent.splitlines(), answer_likeness.Ids()) == []
    (mail,) = relay.received
    assert (mail.sender, mail.recipient) == ("hello@example.com", "ada@example.org")
    assert list((tmp_path / "home").iterdir()) == []


def _run(script: str, env: dict[str, str], folder: Path) -> str:
    """Run shell lines to their end."""
    return subprocess.run(
        ["bash", "-euc", script], env=env, cwd=folder, check=True, stdout=subprocess.PIPE, text=True, timeout=100
    ).stdout


def test_no_export_of_the_readme_stops_the_demo(tmp_path: Path) -> None:
    """With every export of README.md and a `.env` of another installation, the demo runs, and uses none of them."""
    exports = re.findall(r"(NOTIFIER_\w+)=(\S+)", "".join(block.text for block in list_blocks("README.md", "sh")))
    assert len(exports) >= 4
    (tmp_path / ".env").write_text("NOTIFIER_SMTP__HOST=smtp.example.com\nNOTIFIER_RECIPIENTS__MODE=live\n")
    env = notifier_process.build_environment(tmp_path) | dict(exports)
    ports = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0")
    with notifier_process.NotifierProcess("demo", *ports, "--json", env=env, cwd=tmp_path) as demo:
        places = demo.wait_until_ready_json()
        assert "NOTIFIER_SMTP__PASSWORD" in places["ignored"]
        assert demo.stop() == 0


def test_the_test_command_exists() -> None:
    """The README's test command is the one that CI runs."""
    assert [block.text for block in list_blocks("README.md")][-1] == "make test\n"
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()

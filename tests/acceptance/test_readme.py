"""What README.md says about a relay and the tests; its other blocks are run with those of all documents."""

import asyncio
import re
import ssl
from pathlib import Path

import pytest
import trustme
from support import notifier_process
from support.document_blocks import ROOT, BlockUse, list_blocks
from support.scripted_relay import ScriptedRelay


@pytest.fixture
async def protected_relay(tmp_path: Path) -> ScriptedRelay:
    """A relay with STARTTLS and a login, with its certificate in ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return await ScriptedRelay(starttls=context, users={"apikey": "correct horse"}).start()


async def test_four_variables_and_doctor(protected_relay: ScriptedRelay, tmp_path: Path) -> None:
    """The README's four variables configure a relay with STARTTLS and a login, and `doctor` confirms it."""
    (block,) = (candidate for candidate in list_blocks("README.md") if candidate.fate is BlockUse.ELSEWHERE)
    script = block.text.replace("smtp.example.com", "127.0.0.1").replace("=587", f"={protected_relay.port}")
    script = script.replace("PASSWORD=…", "PASSWORD='correct horse'")
    assert len(re.findall(r"NOTIFIER_SMTP__\w+=", script)) == 4
    extra = {"SMTP__CA_FILE": str(tmp_path / "ca.pem"), "SMTP__SECURITY": "starttls"}  # as 127.0.0.1 is no real relay
    env = notifier_process.without_coverage(notifier_process.build_environment(tmp_path, **extra))
    notifier_process.run_notifier("db", "upgrade", env=env)
    output = await asyncio.to_thread(notifier_process.run_script, script, env)
    assert re.search(r"^ok +relay +127\.0\.0\.1:\d+ answers, STARTTLS, logged in as apikey$", output, re.MULTILINE)
    assert protected_relay.commands.count("AUTH") == 1
    await protected_relay.stop()


def test_the_test_command_exists() -> None:
    """The README's test command is the one that CI runs."""
    assert [block.text for block in list_blocks("README.md")][-1] == "make test\n"
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()

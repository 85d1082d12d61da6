"""docs/client.md is executed against the real API, and it names what the client has."""

import asyncio
import re
import time
from datetime import UTC, datetime

import pytest
from integration.client.recording_client import list_calls
from standardwebhooks import Webhook
from support.document_blocks import ROOT, list_blocks, run_python_block
from support.seeded_installation import Installation

import notifier.client
from notifier.client import Notifier, NotifierClientError, RetryPolicy

PAGE = (ROOT / "docs" / "client.md").read_text()
BLOCKS = list_blocks("docs/client.md")
SEND, ASYNC, BATCH, ERRORS, FILES, WEBHOOK = range(6)


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch, api: str, installation: Installation) -> None:
    monkeypatch.setenv("NOTIFIER_URL", api)
    monkeypatch.setenv("NOTIFIER_API_KEY", installation.keys.shop)


@pytest.mark.usefixtures("_environment")
async def test_the_blocks_that_call() -> None:
    """Each block runs unchanged, with the two variables set, and prints what the page says."""
    assert len(BLOCKS) == WEBHOOK + 1
    printed = [
        (await asyncio.to_thread(run_python_block, BLOCKS[number]))[0] for number in (SEND, SEND, ASYNC, BATCH, ERRORS)
    ]
    assert printed[0].split()[1:] == ["queued", "False"]
    assert printed[1].split() == [printed[0].split()[0], "queued", "True"]
    assert printed[2].splitlines() == ["ada@example.com queued"] * 2
    assert printed[3].split() == ["1", "invalid_address"]
    assert [line.split()[:2] for line in printed[4].splitlines()] == [
        ["/to", "invalid_address"],
        ["/variables/product", "missing_variable"],
    ]


def test_the_block_about_files() -> None:
    """The block about files makes an attachment."""
    assert run_python_block(BLOCKS[FILES])[1]["receipt"].content_type == "application/pdf"


def test_the_block_that_is_told() -> None:
    """The webhook block accepts a signed message and refuses any other."""
    names = run_python_block(BLOCKS[WEBHOOK])[1]
    secret = re.search(r'WebhookVerifier\("(\w+=*)"\)', BLOCKS[WEBHOOK].text)
    assert secret is not None
    body = '{"type": "notification.sent", "timestamp": "2026-01-31T12:00:00Z", "data": {}}'
    at = datetime.fromtimestamp(int(time.time()), UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret[1]).sign("evt_1", at, body),
    }
    assert names["receive"](body.encode(), headers) == "evt_1: notification.sent"
    with pytest.raises(notifier.client.WebhookVerificationError):
        names["receive"](body.encode() + b" ", headers)


def test_the_page_names_every_method_and_error() -> None:
    """The page names every method and error of the client, with the client's defaults."""
    listed = re.search(r"Both have the same methods:(.*?)\n\n`list`", PAGE, re.DOTALL)
    assert listed is not None
    named = {
        f"{part}{dot}{method}"
        for part, dot, methods in (name.rpartition(".") for name in re.findall(r"`([\w.|]+)`", listed[1]))
        for method in methods.split("|")
    }
    with Notifier(url="http://127.0.0.1", key="x") as client:
        assert named == list_calls(client)
    errors = {
        name
        for name, kind in vars(notifier.client).items()
        if isinstance(kind, type) and issubclass(kind, NotifierClientError)
    }
    assert errors == set(re.findall(r"`(\w+Error)`", PAGE))
    policy = RetryPolicy()
    assert f"retries=RetryPolicy(tries={policy.tries}, seconds={policy.seconds:g})" in PAGE

"""Each recipe of docs/relays.md against a relay that behaves as the provider's documents say."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from support import api_caller, typed_commands
from support.certificate_authority import CertificateAuthority
from support.document_blocks import ROOT, list_blocks
from support.polling import poll_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation, Keys

from notifier.runtime import wiring
from notifier.settings import SenderSettings, Settings
from notifier.telemetry.redaction import redact_text

DOCUMENT = "docs/relays.md"
SELF_SIGNED_HOST = "127.0.0.2"
"""Stands for a relay elsewhere: this machine, and yet not one of the names for which TLS is off by default."""
TLS_PORTS = frozenset({"465", "2465"})
MECHANISMS = {"Microsoft 365": ("LOGIN",), "Postmark": ("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5")}
"""What AUTH offers, where it is not PLAIN and LOGIN."""
USER_NAMES = {
    "Amazon SES": r"AKIA[A-Z0-9]+",
    "SendGrid": "apikey",
    "Resend": "resend",
    "Postmark": r"[0-9a-f-]{36}",
    "Scaleway": r"[0-9a-f-]{36}",
    "Postfix as a smarthost": r"\w+",
}
"""The form of a user name; elsewhere it is an address."""
COMMANDS = {"login": "AUTH", "sender": "MAIL", "recipient": "RCPT", "body": "DOT"}
STATUSES = {"waits": "queued", "deferred": "deferred", "failed": "failed", "sent": "sent"}


@dataclass(frozen=True)
class Refusal:
    """One row of a recipe's table."""

    at: str
    reply: str
    result: str


@dataclass(frozen=True)
class Recipe:
    """One section of the document."""

    name: str
    text: str  # of its block
    refusals: list[Refusal]

    def get(self, variable: str) -> str:
        """The value of a variable; empty if the recipe does not set it."""
        match = re.search(rf"^NOTIFIER_{variable}=(.*)$", self.text, re.MULTILINE)
        return match[1].replace("…", "correct-horse") if match else ""


def _read_recipes() -> list[Recipe]:
    sections = (ROOT / DOCUMENT).read_text().split("\n## ")[1:]
    blocks = list_blocks(DOCUMENT, "sh")
    rows = [re.findall(r"^\| (\w+) \| `([^`]+)` \| `(\w+)` \|$", section, re.MULTILINE) for section in sections]
    return [
        Recipe(section.splitlines()[0], block.text, [Refusal(*row) for row in found])
        for section, block, found in zip(sections, blocks, rows, strict=True)
    ]


RECIPES = _read_recipes()


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    """Each recipe."""
    chosen: Recipe = request.param
    return chosen


@pytest.fixture
async def relay(recipe: Recipe, tmp_path: Path) -> AsyncIterator[ScriptedRelay]:
    """A relay with the port's security, the provider's AUTH mechanisms, and the recipe's user."""
    context = CertificateAuthority(tmp_path).issue_server_context(SELF_SIGNED_HOST)
    relay = ScriptedRelay(host=SELF_SIGNED_HOST, mechanisms=MECHANISMS.get(recipe.name, ("PLAIN", "LOGIN")))
    if recipe.get("SMTP__HOST") == "127.0.0.1":
        relay.host = "127.0.0.1"
    elif recipe.get("SMTP__PORT") in TLS_PORTS:
        relay.tls = context
    else:
        relay.starttls = context
    if user := recipe.get("SMTP__USERNAME"):
        relay.users = {user: recipe.get("SMTP__PASSWORD")}
    await relay.start()
    yield relay
    await relay.stop()


@pytest.fixture
def installation(
    recipe: Recipe,
    relay: ScriptedRelay,
    sqlite_database: tuple[str, Keys],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Installation:
    """An installation whose `.env` is the recipe, with the address of `relay`."""
    url, keys = sqlite_database
    replaced = {"SMTP__HOST": relay.host, "SMTP__PORT": str(relay.port), "SMTP__CA_FILE": str(tmp_path / "ca.pem")}
    own = {**replaced, "RECIPIENTS__MODE": "live", "DATABASE_URL": url, "DATA_DIR": str(tmp_path)}
    lines = [line for line in recipe.text.splitlines() if line.partition("=")[0].removeprefix("NOTIFIER_") not in own]
    lines += [f"NOTIFIER_{name}={value}" for name, value in own.items()]
    (tmp_path / ".env").write_text("\n".join(lines).replace("…", "correct-horse"))
    (tmp_path / ".env").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    sender = SenderSettings(concurrency=2, grace=5, render_children=1, schedules=False)
    return Installation(settings=Settings(sender=sender), keys=keys)


async def test_a_mail_is_sent(recipe: Recipe, relay: ScriptedRelay, installation: Installation) -> None:
    """`doctor` finds the relay in order; each refusal does what the table says; then a mail is sent."""
    user = recipe.get("SMTP__USERNAME")
    assert re.fullmatch(USER_NAMES.get(recipe.name, r"[\w.]+@[\w.]+") if user else "", user)
    healthy = await asyncio.to_thread(typed_commands.type_command, "doctor")
    assert re.search(rf"^ok +relay +.*{re.escape(user and f'logged in as {user}')}", healthy.stdout, re.MULTILINE)
    async with (
        installation.open_parts() as parts,
        installation.open_client(parts) as client,
        wiring.run_sender(parts),
    ):
        refusals = [row for row in recipe.refusals if row.at != "login"]
        for number, refusal in enumerate(refusals):
            status = await _refuse_one(refusal, relay, client, f"mail{number}@shop.example", recipe.get("FROM"))
            assert (refusal.reply, status) == (refusal.reply, STATUSES[refusal.result])
        path = await api_caller.submit_mail(client, "grace@example.com", **{"from": "last@shop.example"})
        assert (await api_caller.wait_for_status(client, path, "sent"))["status"] == "sent"


async def _refuse_one(
    refusal: Refusal, relay: ScriptedRelay, client: httpx2.AsyncClient, sender: str, shown_sender: str
) -> str:
    """Send a mail that is refused so, from an address of its own, and return its status."""
    relay.say("*", COMMANDS[refusal.at], refusal.reply.replace(shown_sender, sender))
    path = await api_caller.submit_mail(client, **{"from": sender})
    if refusal.result == "waits":

        async def explain() -> bool:
            return "sender_refused" in (await client.get(f"{path}/explain")).text

        assert await poll_until(explain)
        return str((await client.get(path)).json()["status"])
    return str((await api_caller.wait_for_status(client, path, "sent", "deferred", "failed"))["status"])


async def test_doctor_names_a_refused_login(recipe: Recipe, relay: ScriptedRelay, installation: Installation) -> None:
    """`doctor` shows the provider's words, and exits with 1."""
    assert installation.settings.smtp.host == relay.host
    for refusal in (row for row in recipe.refusals if row.at == "login"):
        relay.say("*", "AUTH", refusal.reply, times=4)
        found = await asyncio.to_thread(typed_commands.type_command, "doctor")
        relay.forget()
        assert found.code == 1
        (line,) = (line for line in found.stdout.splitlines() if re.match(r"BAD +relay ", line))
        assert redact_text(refusal.reply) in line

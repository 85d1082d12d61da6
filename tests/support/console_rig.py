"""The program with its console as one process, on a seeded database, with people of every role who are signed in."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from notifier.auth.staff_roles import StaffRole
from notifier.clock import SystemClock
from notifier.inbox.inbox_server import BackgroundInbox
from notifier.runtime import wiring
from support import mail_examples, notifier_process, template_editor, template_states, uncertain_mails
from support.notifier_process import NotifierProcess
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation
from support.staff_people import StaffScene

OPENID = {"CONSOLE__OIDC_ISSUER": "http://127.0.0.1:9", "CONSOLE__OIDC_CLIENT_ID": "notifier"}
"""A provider that is out of reach: the pages offer it."""
NOBODY = "nobody"
"""A person without a role: they may look at mail and templates, but not at content."""


@dataclass(kw_only=True)
class ConsoleSeed:
    """What is in the database before the program starts."""

    installation: Installation
    tokens: dict[str, str] = field(default_factory=dict)  # of sessions, by the role of the person
    links: dict[str, str] = field(default_factory=dict)  # one-time links, by the name of the person
    admin_key: str = ""
    examples: dict[str, str] = field(default_factory=dict)  # what `{…}` in the list of pages stands for

    async def fill(self, people: StaffScene, parts: wiring.ProcessParts) -> None:
        """Create people of each role, a person with a one-time link, and a mail whose outcome nobody knows."""
        actors = {}
        for role in (NOBODY, *StaffRole):
            roles = () if role == NOBODY else (StaffRole(role),)
            person, signed_in = await people.create_signed_in(role.capitalize(), *roles)
            self.tokens[role] = signed_in.token
            actors[role] = f"staff:{person.id}"
        self.tokens["mallory"] = await people.create_hostile()
        for name in ("Wendy", "Wilma"):
            self.links[name] = await people.create_link(await people.create_person(name, StaffRole.ADMIN))
        self.examples["welcome_link"] = self.links["Wendy"]
        relay = await ScriptedRelay().start()
        smtp = self.installation.settings.smtp.model_copy(update={"port": relay.port})
        lost = replace(parts, settings=parts.settings.model_copy(update={"smtp": smtp}))
        try:
            await uncertain_mails.publish_holding_welcome(lost)
            self.examples |= await mail_examples.send_examples(self.installation, lost, relay)
        finally:
            await relay.stop()
        await template_states.save_states(parts, actors[StaffRole.EDITOR])
        self.admin_key = await template_editor.create_admin_key(parts)


@dataclass(frozen=True, kw_only=True)
class ConsoleRig:
    """A running program with its console."""

    url: str
    inbox: BackgroundInbox
    tokens: Mapping[str, str]
    links: Mapping[str, str]
    examples: Mapping[str, str]
    admin_key: str  # of the API
    key: str  # of a service, which may send
    process: NotifierProcess

    def fill_in(self, path: str) -> str:
        """Put the examples into a path of the list of pages."""
        for name, value in self.examples.items():
            path = path.replace(f"{{{name}}}", value)
        return path


async def _fill(seed: ConsoleSeed) -> None:
    async with seed.installation.open_parts() as parts:
        await seed.fill(StaffScene(parts.database, SystemClock()), parts)


@contextmanager
def start_console(installation: Installation, folder: Path) -> Iterator[ConsoleRig]:
    """Fill the database, and run the program until the block ends."""
    seed = ConsoleSeed(installation=installation)
    asyncio.run(_fill(seed))
    settings = {"DATABASE_URL": installation.settings.effective_database_url, "FROM": "Shop <shop@shop.example>"}
    with BackgroundInbox() as inbox:
        env = notifier_process.build_environment(folder, SMTP__PORT=str(inbox.smtp_port), **OPENID, **settings)
        with NotifierProcess("serve", "--port", "0", env=env) as process:
            url = process.wait_until_ready().rpartition(" ")[2]
            yield ConsoleRig(
                url=url,
                inbox=inbox,
                tokens=seed.tokens,
                links=seed.links,
                examples=seed.examples,
                admin_key=seed.admin_key,
                key=installation.keys.shop,
                process=process,
            )

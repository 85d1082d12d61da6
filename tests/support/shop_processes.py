"""A shop, its Notifier and its relay, as processes that a test starts and stops."""

from pathlib import Path

import httpx2

from notifier.inbox.client import MailHogClient
from support import notifier_process
from support.notifier_process import NotifierProcess


class ShopProcesses:
    """A shop that sends mail through Notifier, and the relay behind it."""

    def __init__(self, folder: Path, smtp_port: int | None = None, *scopes: str, **more: str) -> None:
        self.smtp_port, self.http_port, self.port = (notifier_process.find_free_port() for _ in range(3))
        self.smtp_port = smtp_port or self.smtp_port
        settings = {"SMTP__PORT": str(self.smtp_port), "SENDER__RESEND_AFTER": "2"} | more
        self.env = notifier_process.without_coverage(
            notifier_process.build_environment(folder, **settings, FROM="Shop <orders@shop.example>")
        )
        for command in ("db upgrade", "services create shop", "templates push"):
            notifier_process.run_notifier(*command.split(), env=self.env)
        scope_options = [word for scope in scopes for word in ("--scope", scope)]
        self.key = notifier_process.run_notifier(
            "keys", "create", "--service", "shop", *scope_options, env=self.env
        ).stdout.splitlines()[-1]

    def relay(self) -> NotifierProcess:
        """Start the relay, an inbox that accepts every mail."""
        arguments = ("inbox", "--port", str(self.http_port), "--smtp-port", str(self.smtp_port))
        started = NotifierProcess(*arguments, env=self.env)
        started.wait_until_ready()
        return started

    def notifier(self) -> NotifierProcess:
        """Start Notifier."""
        started = NotifierProcess("serve", "--port", str(self.port), env=self.env)
        started.wait_until_ready()
        return started

    def client(self, key: str = "") -> httpx2.Client:
        """A client of Notifier for the shop, or for another key."""
        url = f"http://127.0.0.1:{self.port}"
        return httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key or self.key}"}, timeout=100)

    def admin_key(self) -> str:
        """Create an editor's key while Notifier is stopped."""
        return notifier_process.run_notifier("keys", "create", "--admin", env=self.env).stdout.splitlines()[-1]

    def inbox(self) -> MailHogClient:
        """The received mails."""
        return MailHogClient(f"http://127.0.0.1:{self.http_port}")

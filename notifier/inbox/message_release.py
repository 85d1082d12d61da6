"""Releases a message: sends it on to another SMTP server of this machine.

Only loopback hosts are allowed, and only ports that the inbox was started with: a development inbox must not send mail
to real people, nor let a web page reach other services of this machine.
"""

import smtplib
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from notifier.inbox.received_message import ReceivedMessage

_RELEASE_TIMEOUT = 10.0  # seconds
_MAX_PORT = 65_535
_RELEASE_HOST = "localhost"


class ReleaseRefusedError(ValueError):
    """The inbox does not allow this release."""


@dataclass(frozen=True, kw_only=True)
class ReleaseTarget:
    """The server and the recipient to which a message is released."""

    host: str
    port: int
    email: str  # the envelope recipient

    @classmethod
    def from_json(cls, body: Any, ports: Collection[int]) -> "ReleaseTarget":
        """Parse MailHog's JSON, with keys in any case and the port as number or text.

        A `name` of the list of outgoing servers stands for host and port. `ports`: those to which mail may be
        released. Raises ReleaseRefusedError with a sentence for the caller.
        """
        if not isinstance(body, dict):
            raise ReleaseRefusedError('Send a JSON object with "email", "host" and "port".')
        fields = {str(key).lower(): str(value).strip() for key, value in body.items()}
        if name := fields.get("name", ""):
            server = list_outgoing_servers(ports).get(name)
            if server is None:
                raise ReleaseRefusedError(f"There is no outgoing server {name!r}: see /api/v2/outgoing-smtp.")
            fields |= {"host": server["Host"], "port": server["Port"]}
        host, port, email = fields.get("host", ""), fields.get("port", ""), fields.get("email", "")
        if not _is_loopback(host):
            raise ReleaseRefusedError(f"The inbox releases to loopback hosts only, and {host!r} is not one of them.")
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= _MAX_PORT):
            raise ReleaseRefusedError(f"{port!r} is not a port.")
        if "@" not in email or not email.isprintable() or set(email) & set("<> "):
            raise ReleaseRefusedError(f"{email!r} is not an e-mail address.")
        if int(port) not in ports:
            raise ReleaseRefusedError(
                f"Mail is not released to port {port}: start the inbox with --release-port {port}."
            )
        return cls(host=host, port=int(port), email=email)


def list_outgoing_servers(ports: Collection[int]) -> dict[str, dict[str, Any]]:
    """MailHog's list of outgoing servers, by name: one for each port to which mail may be released."""
    empty = {"Save": False, "Email": "", "Username": "", "Password": "", "Mechanism": ""}
    names = {f"{_RELEASE_HOST}:{port}": str(port) for port in sorted(ports)}
    return {name: {"Name": name, "Host": _RELEASE_HOST, "Port": port, **empty} for name, port in names.items()}


def send_message(message: ReceivedMessage, target: ReleaseTarget) -> None:
    """Send the exact bytes to the target. Raises OSError (SMTPException is one) if it does not accept them."""
    with smtplib.SMTP(target.host, target.port, local_hostname="localhost", timeout=_RELEASE_TIMEOUT) as client:
        client.ehlo()
        options = ["BODY=8BITMIME"] if client.has_extn("8bitmime") else []
        if not (message.sender + target.email).isascii():
            options.append("SMTPUTF8")
        client.sendmail(message.sender, [target.email], message.raw, options)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

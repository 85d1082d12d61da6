"""A relay with STARTTLS and a login, whose certificate authority is in `ca.pem`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.certificate_authority import CertificateAuthority
from support.scripted_relay import ScriptedRelay

HOST = "127.0.0.2"
"""The relay's address: this machine, and yet not one of the names for which TLS is off by default."""
USERNAME, PASSWORD = "apikey", "correct horse"


@asynccontextmanager
async def open_protected_relay(folder: Path) -> AsyncIterator[ScriptedRelay]:
    """Run the relay until the block ends."""
    context = CertificateAuthority(folder).issue_server_context(HOST)
    relay = await ScriptedRelay(host=HOST, starttls=context, users={USERNAME: PASSWORD}).start()
    try:
        yield relay
    finally:
        await relay.stop()

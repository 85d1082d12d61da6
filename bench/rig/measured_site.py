"""The measured process with the console: the product's application and server, and a person who is signed in.

It prints its port and the token of the person's session.
"""

import asyncio
import gc
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from notifier.audit import Actor
from notifier.auth import staff_admin, staff_link
from notifier.auth.password_hasher import PasswordHasher
from notifier.auth.staff_admin import NewStaff
from notifier.auth.staff_roles import StaffRole
from notifier.auth.staff_session import SignInOrigin
from notifier.auth.staff_sign_in import StaffAuthenticator
from notifier.cli import command
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.runtime.process_parts import ProcessParts
from notifier.settings import Settings
from notifier.telemetry import logging


async def sign_in(parts: ProcessParts) -> str:
    """Create a person with every role; returns the token of a session."""
    actor = Actor(name="operator:bench", at=datetime.now(UTC))
    person = NewStaff(email=f"{generate_id().hex}@staff.example", name="Bench", roles=frozenset(StaffRole))
    async with parts.database.write() as connection:
        view = await staff_admin.create_staff(connection, person, actor=actor)
        link = await staff_link.create_link(connection, view.id, actor=actor)
    authenticator = StaffAuthenticator(database=parts.database, hasher=PasswordHasher(), clock=parts.clock)
    origin = SignInOrigin(address="127.0.0.1", browser="bench")
    return (await authenticator.use_link(link.token, "a long password of the bench", origin)).token


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = Settings()
    logging.configure_logging(json=True, level=settings.log_level)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        listener = wiring.open_listener("127.0.0.1", 0)
        stack.callback(listener.close)
        parts = await stack.enter_async_context(wiring.open_process_parts(settings))
        await stack.enter_async_context(wiring.serve_http(wiring.build_site(parts), listener))
        token = await sign_in(parts)
        gc.collect()  # as the command does once it is ready
        gc.freeze()
        print(listener.getsockname()[1], token, flush=True)
        await stop.wait()


if __name__ == "__main__":
    command.run_command(main())

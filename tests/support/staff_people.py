"""People who sign in, for tests: created in the database, with a password set by a real one-time link."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import argon2

from notifier.audit import Actor
from notifier.auth import staff_admin, staff_link
from notifier.auth.password_hasher import PasswordHasher
from notifier.auth.staff_admin import NewStaff, StaffView
from notifier.auth.staff_roles import StaffRole
from notifier.auth.staff_session import SessionTimes, SignedIn, SignInOrigin
from notifier.auth.staff_sign_in import StaffAuthenticator
from notifier.clock import Clock
from notifier.db.engine import Database
from support.hostile_words import HOSTILE, list_shares

PASSWORD = "violet harbour lantern"
STAFF_OPERATIONS = frozenset(
    {f"{act}_notification" for act in ("update", "cancel", "retry", "resolve")}
    | {"add_suppression", "lift_suppression", "test_template"}
)
"""What an admin key may do for a service, or as the instance: staff do the same in the console."""
STAFF_COMMANDS = tuple(
    f"staff {act}"
    for act in (
        "list",
        "create ada@example.com --name Ada",
        *(f"{act} ada@example.com" for act in ("roles", "disable", "enable", "link", "sessions", "sign-out")),
    )
)
"""Each command for people, with arguments that it takes."""
MANY_BROWSERS = 10
"""Of the person with hostile words, so that all are among them."""
ORIGIN = SignInOrigin(address="192.0.2.10", browser="Test browser")


class CountingHasher(argon2.PasswordHasher):
    """Cheap argon2id that counts its computations, and how many run at once. A test may hold them up."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.lock = threading.Lock()
        self.opened = threading.Event()
        self.opened.set()
        self.computations = self.running = self.most_running = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._enter()
        try:
            return super().hash(password, salt=salt)
        finally:
            self._leave()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the library's name
        self._enter()
        try:
            return super().verify(hash, password)
        finally:
            self._leave()

    def _enter(self) -> None:
        with self.lock:
            self.computations += 1
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self.opened.wait(60)

    def _leave(self) -> None:
        with self.lock:
            self.running -= 1


@dataclass
class StaffScene:
    """A database in which people are created and sign in."""

    database: Database
    clock: Clock
    times: SessionTimes = SessionTimes()  # noqa: RUF009 - frozen
    counting: CountingHasher = field(default_factory=CountingHasher)

    def __post_init__(self) -> None:
        self.authenticator = StaffAuthenticator(
            database=self.database, hasher=PasswordHasher(self.counting), clock=self.clock, times=self.times
        )

    def build_actor(self) -> Actor:
        """Build an operator, who creates people."""
        return Actor(name="operator:test", at=self.clock.now())

    async def create_person(self, name: str, *roles: StaffRole) -> StaffView:
        """Create a person without a password; the e-mail address is made of the name."""
        person = NewStaff(email=f"{name.lower()}@staff.example", name=name, roles=frozenset(roles))
        async with self.database.write() as connection:
            return await staff_admin.create_staff(connection, person, actor=self.build_actor())

    async def create_link(self, person: StaffView) -> str:
        """Create a one-time link; returns its token."""
        async with self.database.write() as connection:
            return (await staff_link.create_link(connection, person.id, actor=self.build_actor())).token

    async def create_signed_in(
        self, name: str, *roles: StaffRole, origin: SignInOrigin = ORIGIN
    ) -> tuple[StaffView, SignedIn]:
        """Create a person, who sets a password by a link and is then signed in."""
        person = await self.create_person(name, *roles)
        token = await self.create_link(person)
        return person, await self.authenticator.use_link(token, PASSWORD, origin)

    async def create_hostile(self) -> str:
        """Create a person of support with the words of strangers in name and browsers; return a session's token."""
        name = HOSTILE[0] + HOSTILE[24]
        person = NewStaff(email="mallory@staff.example", name=name, roles=frozenset({StaffRole.SUPPORT}))
        async with self.database.write() as connection:
            view = await staff_admin.create_staff(connection, person, actor=self.build_actor())
        signed_in = await self.authenticator.use_link(await self.create_link(view), PASSWORD, ORIGIN)
        for words in list_shares(MANY_BROWSERS):
            await self.sign_in(view.email, origin=SignInOrigin(address=ORIGIN.address, browser=" ".join(words)))
        return signed_in.token

    async def sign_in(self, email: str, password: str = PASSWORD, origin: SignInOrigin = ORIGIN) -> SignedIn:
        """Sign in by password."""
        return await self.authenticator.sign_in(email, password, origin)


def describe_roles(roles: Iterable[StaffRole]) -> str:
    """Describe a set of roles, for the names of tests."""
    return "+".join(sorted(role.value for role in roles)) or "no role"

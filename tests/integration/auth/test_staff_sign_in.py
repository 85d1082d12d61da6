"""Signing in: the same answer for everybody who may not, growing waits, bounded hashing, one-time links."""

import asyncio
from datetime import timedelta

import pytest
from support import polling
from support.connection_load import measure_load
from support.manual_clock import ManualClock
from support.staff_people import ORIGIN, PASSWORD, StaffScene

from notifier.auth import sign_in_waits, staff_admin, staff_link, staff_session
from notifier.auth.password_hasher import (
    MAX_PARALLEL_HASHES,
    MAX_WAITING_HASHES,
    TooManySignInsError,
    WeakPasswordError,
)
from notifier.auth.staff_link import LinkEndedError, StaffDisabledError
from notifier.auth.staff_roles import StaffRole
from notifier.auth.staff_session import SignInOrigin
from notifier.auth.staff_sign_in import MAX_STRANGER_CONNECTIONS, SignInRefusedError

WRONG = "another long password"
ELSEWHERE = SignInOrigin(address="198.51.100.7", browser="Strange browser")


async def _refuse(scene: StaffScene, email: str, password: str = WRONG, origin: SignInOrigin = ELSEWHERE) -> int:
    """Try a password that must be refused; returns the seconds to wait."""
    with pytest.raises(SignInRefusedError) as refused:
        await scene.sign_in(email, password, origin)
    return refused.value.wait_seconds


async def test_sign_in_gives_a_new_token_each_time(scene: StaffScene) -> None:
    """Two sign-ins of one person are two sessions with tokens of 256 bits."""
    person, first = await scene.create_signed_in("Ana", StaffRole.EDITOR)
    second = await scene.sign_in(" ANA@staff.example ")
    assert first.token != second.token
    assert len(second.token) == 43  # 32 bytes in base64
    async with scene.database.read() as connection:
        found = await staff_session.find_session(connection, second.token, scene.clock.now())
        sessions = await staff_session.list_sessions(connection, person.id, scene.clock.now())
    assert found == second.session
    assert found is not None
    assert found.member.scopes == {"notifications:read", "templates:read", "templates:edit"}
    assert [session.id for session in sessions] == [second.session.id, first.session.id]


async def test_unknown_disabled_and_passwordless_people_cost_one_hash_like_a_wrong_password(scene: StaffScene) -> None:
    """Each refusal has the same message and the same number of hash computations."""
    await scene.create_signed_in("Ana", StaffRole.ADMIN)
    ben, _ = await scene.create_signed_in("Ben")
    await scene.create_person("Cem")  # has not set a password
    async with scene.database.write() as connection:
        await staff_admin.disable_staff(connection, ben.id, actor=scene.build_actor())
    await _refuse(scene, "nobody@staff.example")  # computes the hash that nobody has
    costs, messages = [], set()
    for email, password in (
        ("ana@staff.example", WRONG),
        ("ben@staff.example", PASSWORD),
        ("cem@staff.example", PASSWORD),
        ("nobody@staff.example", PASSWORD),
        ("not an address", PASSWORD),
    ):
        before = scene.counting.computations
        with pytest.raises(SignInRefusedError) as refused:
            await scene.sign_in(email, password, ELSEWHERE)
        costs.append(scene.counting.computations - before)
        messages.add((str(refused.value), refused.value.wait_seconds))
    assert costs == [1] * 5
    assert messages == {("The e-mail address or the password is wrong.", 0)}


@pytest.mark.parametrize("email", ["ana@staff.example", "nobody@staff.example"])
async def test_waits_grow_by_account_for_known_and_unknown_people(
    scene: StaffScene, clock: ManualClock, email: str
) -> None:
    """After five wrong passwords each next one waits longer, wherever it comes from, up to a quarter of an hour."""
    await scene.create_signed_in("Ana")
    waits = []
    for attempt in range(20):
        origin = SignInOrigin(address=f"198.51.100.{attempt}", browser="")
        assert await _refuse(scene, email, origin=origin) == 0
        async with scene.database.read() as connection:
            subject = sign_in_waits.build_email_subject(email)
            waits.append(await sign_in_waits.get_wait_seconds(connection, [subject], clock.now()))
        if waits[-1]:
            assert await _refuse(scene, email, PASSWORD, origin) == waits[-1]
        clock.advance(waits[-1])
    assert waits == [0] * 5 + [min(2**n, 900) for n in range(15)]


async def test_a_password_during_a_wait_is_neither_checked_nor_counted(scene: StaffScene, clock: ManualClock) -> None:
    """Trying during the wait does not make it longer, and costs no hash."""
    await scene.create_signed_in("Ana")
    for _ in range(6):
        await _refuse(scene, "ana@staff.example")
    before = scene.counting.computations
    for _ in range(20):
        assert await _refuse(scene, "ana@staff.example", PASSWORD) == 1
    assert scene.counting.computations == before
    clock.advance(1)
    assert (await scene.sign_in("ana@staff.example", PASSWORD, ELSEWHERE)).session.member.name == "Ana"


async def test_a_stranger_cannot_keep_a_person_out(scene: StaffScene) -> None:
    """While strangers make an account wait, its owner signs in from where they signed in before."""
    await scene.create_signed_in("Ana")
    for attempt in range(6):
        await _refuse(scene, "ana@staff.example", origin=SignInOrigin(address=f"198.51.100.{attempt}", browser=""))
    assert await _refuse(scene, "ana@staff.example", PASSWORD) > 0
    assert (await scene.sign_in("ana@staff.example")).session.member.name == "Ana"


async def test_a_link_ends_the_wait_of_an_account(scene: StaffScene) -> None:
    """From anywhere, a one-time link lets a person in whatever strangers try."""
    person, _ = await scene.create_signed_in("Ana")
    for attempt in range(6):
        await _refuse(scene, "ana@staff.example", origin=SignInOrigin(address=f"198.51.100.{attempt}", browser=""))
    await scene.authenticator.use_link(await scene.create_link(person), WRONG, ELSEWHERE)
    assert (await scene.sign_in("ana@staff.example", WRONG, ELSEWHERE)).session.member.name == "Ana"


@pytest.mark.parametrize(
    ("first", "second"), [("198.51.100.7", "198.51.100.7"), ("2001:db8::1", "2001:db8::ffff:2"), ("unix", "unix")]
)
async def test_waits_grow_by_client_address(scene: StaffScene, clock: ManualClock, first: str, second: str) -> None:
    """One address that tries many people waits; an IPv6 subscriber is one address; a sign-in forgives one attempt."""
    await scene.create_signed_in("Ana")
    for attempt in range(10):
        await _refuse(scene, f"p{attempt}@staff.example", origin=SignInOrigin(address=first, browser=""))
    origin = SignInOrigin(address=second, browser="")
    await _refuse(scene, "p11@staff.example", origin=origin)
    assert await _refuse(scene, "p12@staff.example", origin=origin) == 1
    clock.advance(1)
    await scene.sign_in("ana@staff.example", PASSWORD, origin)
    assert await _refuse(scene, "p13@staff.example", origin=origin) == 0
    assert await _refuse(scene, "p14@staff.example", origin=origin) == 2  # the ten others are not forgotten


async def test_parallel_guesses_do_not_pass_the_waits(scene: StaffScene) -> None:
    """Of twelve guesses at the same moment six are checked, the rest find the wait."""
    await scene.create_signed_in("Ana")
    before = scene.counting.computations
    await asyncio.gather(*(_refuse(scene, "ana@staff.example") for _ in range(12)))
    assert scene.counting.computations - before <= 6 + 1  # and once the hash that nobody has


async def test_strangers_take_few_connections(scene: StaffScene) -> None:
    """Fifty strangers at once use two connections at most, and never one while a password is hashed."""
    await _refuse(scene, "nobody@staff.example")
    origins = [SignInOrigin(address=f"198.51.100.{n}", browser="") for n in range(50)]
    with measure_load(scene.database) as load:
        guesses = (scene.sign_in(f"p{n}@staff.example", WRONG, origin) for n, origin in enumerate(origins))
        results = await asyncio.gather(*guesses, return_exceptions=True)
    assert {type(result) for result in results} <= {SignInRefusedError, TooManySignInsError}
    assert 1 <= load.most_out <= MAX_STRANGER_CONNECTIONS
    scene.counting.opened.clear()
    before = scene.counting.computations
    with measure_load(scene.database) as load:
        task = asyncio.create_task(scene.sign_in("nobody@staff.example", WRONG, ELSEWHERE))
        await polling.wait_until(lambda: scene.counting.computations > before)
        assert load.out == 0
        scene.counting.opened.set()
        with pytest.raises(SignInRefusedError):
            await task


async def test_at_most_two_hashes_run_at_once_and_few_wait(scene: StaffScene) -> None:
    """Two run, some wait, more are refused at once; refused ones are not counted as wrong passwords."""
    await scene.create_signed_in("Ana")
    await scene.sign_in("ana@staff.example")  # computes the hash that nobody has
    scene.counting.most_running = 0
    scene.counting.opened.clear()
    origins = [SignInOrigin(address=f"198.51.100.{n}", browser="") for n in range(MAX_WAITING_HASHES + 10)]
    tasks = [
        asyncio.create_task(scene.sign_in(f"p{n}@staff.example", WRONG, origin)) for n, origin in enumerate(origins)
    ]
    refused = len(tasks) - MAX_PARALLEL_HASHES - MAX_WAITING_HASHES
    await polling.wait_until(lambda: sum(task.done() for task in tasks) == refused)
    tasks[0].cancel()  # its thread goes on: no third may begin
    await asyncio.wait([tasks[0]])
    await asyncio.sleep(0.1)  # in which a third would
    assert scene.counting.running == MAX_PARALLEL_HASHES
    scene.counting.opened.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, TooManySignInsError) for result in results) == refused
    assert scene.counting.most_running == MAX_PARALLEL_HASHES


async def test_a_link_works_once(scene: StaffScene) -> None:
    """Of two who use a link at the same time one gets in; afterwards nobody does."""
    person = await scene.create_person("Ana")
    token = await scene.create_link(person)
    results = await asyncio.gather(
        *(scene.authenticator.use_link(token, f"{PASSWORD} {n}", ORIGIN) for n in range(2)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["LinkEndedError", "SignedIn"]
    with pytest.raises(LinkEndedError):
        await scene.authenticator.use_link(token, PASSWORD, ORIGIN)


@pytest.mark.parametrize(("has_password", "hours"), [(False, 72), (True, 1)])
async def test_a_link_ends_in_time(scene: StaffScene, clock: ManualClock, *, has_password: bool, hours: int) -> None:
    """The first link lives 72 hours, that of a reset one hour."""
    person = (await scene.create_signed_in("Ana"))[0] if has_password else await scene.create_person("Ana")
    token = await scene.create_link(person)
    clock.advance(hours * 3600 - 1)
    async with scene.database.read() as connection:
        link = await staff_link.find_link(connection, token, clock.now())
    assert link.expires_at - clock.now() == timedelta(seconds=1)
    clock.advance(1)
    with pytest.raises(LinkEndedError):
        await scene.authenticator.use_link(token, PASSWORD, ORIGIN)


async def test_a_new_link_ends_the_old_one_and_a_weak_password_keeps_it(scene: StaffScene) -> None:
    """Only the newest link works, and a refused password does not use it up."""
    person = await scene.create_person("Ana")
    old, new = await scene.create_link(person), await scene.create_link(person)
    with pytest.raises(LinkEndedError):
        await scene.authenticator.use_link(old, PASSWORD, ORIGIN)
    for weak in ("short", "aaaaaaaaaaaaaaaa", "ana@staff.example", "x" * 257):
        with pytest.raises(WeakPasswordError):
            await scene.authenticator.use_link(new, weak, ORIGIN)
    await scene.authenticator.use_link(new, PASSWORD, ORIGIN)


async def test_a_reset_ends_every_session(scene: StaffScene) -> None:
    """A new password by a link signs everybody out who had the old one."""
    person, old = await scene.create_signed_in("Ana")
    new = await scene.authenticator.use_link(await scene.create_link(person), WRONG, ORIGIN)
    async with scene.database.read() as connection:
        assert await staff_session.find_session(connection, old.token, scene.clock.now()) is None
        assert await staff_session.find_session(connection, new.token, scene.clock.now()) is not None
    await _refuse(scene, "ana@staff.example", PASSWORD)


async def test_a_changed_password_ends_the_other_sessions(scene: StaffScene) -> None:
    """This browser stays signed in, with a new token; the others do not, and the old token is worth nothing."""
    _, here = await scene.create_signed_in("Ana")
    there = await scene.sign_in("ana@staff.example")
    with pytest.raises(SignInRefusedError):
        await scene.authenticator.change_password(here.session, WRONG, WRONG)
    with pytest.raises(WeakPasswordError):
        await scene.authenticator.change_password(here.session, PASSWORD, "short")
    token = await scene.authenticator.change_password(here.session, PASSWORD, WRONG)
    async with scene.database.read() as connection:
        now = scene.clock.now()
        found = [await staff_session.find_session(connection, text, now) for text in (here.token, there.token, token)]
    assert [session and session.id for session in found] == [None, None, here.session.id]
    await scene.sign_in("ana@staff.example", WRONG)


async def test_a_confirmed_password_gives_a_new_token(scene: StaffScene, clock: ManualClock) -> None:
    """The session goes on under a new token, and knows when the password was given; guesses in it wait."""
    _, signed_in = await scene.create_signed_in("Ana")
    clock.advance(600)
    token = await scene.authenticator.confirm_password(signed_in.session, PASSWORD)
    async with scene.database.read() as connection:
        assert await staff_session.find_session(connection, signed_in.token, clock.now()) is None
        session = await staff_session.find_session(connection, token, clock.now())
    assert session is not None
    assert session.password_at == clock.now()
    for _ in range(6):
        with pytest.raises(SignInRefusedError):
            await scene.authenticator.confirm_password(session, WRONG)
    with pytest.raises(SignInRefusedError) as refused:
        await scene.authenticator.confirm_password(session, PASSWORD)
    assert refused.value.wait_seconds == 1


async def test_who_was_disabled_meanwhile_does_not_get_in(scene: StaffScene) -> None:
    """Disabling while the password is being checked refuses the sign-in; a disabled person gets no link."""
    person, _ = await scene.create_signed_in("Ana")
    await scene.sign_in("ana@staff.example")
    scene.counting.opened.clear()
    before = scene.counting.computations
    task = asyncio.create_task(scene.sign_in("ana@staff.example"))
    await polling.wait_until(lambda: scene.counting.computations > before)
    async with scene.database.write() as connection:
        await staff_admin.disable_staff(connection, person.id, actor=scene.build_actor())
    scene.counting.opened.set()
    with pytest.raises(SignInRefusedError):
        await task
    with pytest.raises(StaffDisabledError):
        await scene.create_link(person)

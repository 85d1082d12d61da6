"""Sessions end when they are idle, over, revoked, or their person is disabled; roles apply at the next request."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from support.manual_clock import ManualClock
from support.staff_people import ORIGIN, StaffScene

from notifier.audit import AuditFilter, list_audit_records
from notifier.auth import staff_admin, staff_session
from notifier.auth.authenticated_key import InsufficientScopeError, KeyScope
from notifier.auth.staff_admin import LastAdminError, NewStaff
from notifier.auth.staff_roles import StaffRole
from notifier.auth.staff_session import SignInOrigin, StaffSession, hash_token
from notifier.db.tables import StaffLogin, get_columns
from notifier.errors import InvalidRequestError, NameTakenError, NotFoundError

STRANGER_ID = UUID(int=7)


async def _find(scene: StaffScene, token: str) -> StaffSession | None:
    async with scene.database.read() as connection:
        return await staff_session.find_session(connection, token, scene.clock.now())


async def _list_actions(scene: StaffScene, object_id: str) -> list[tuple[str, str]]:
    """List what the audit has about a person, oldest first: the action and the actor."""
    async with scene.database.read() as connection:
        filters = AuditFilter(object_kind="staff", object_id=object_id)
        records = await list_audit_records(connection, None, filters, before=None, limit=50)
    return [(record.action, record.actor) for record in reversed(records)]


async def test_a_session_ends_half_an_hour_after_its_last_use(scene: StaffScene, clock: ManualClock) -> None:
    """Use within half an hour keeps it alive, written at most once a minute."""
    _, signed_in = await scene.create_signed_in("Ana")
    for minutes in (29, 29, 29):
        clock.advance(minutes * 60)
        session = await _find(scene, signed_in.token)
        assert session is not None
        async with scene.database.write() as connection:
            await staff_session.touch_session(connection, session.id, clock.now())
    touched = await _find(scene, signed_in.token)
    clock.advance(59)
    async with scene.database.write() as connection:
        await staff_session.touch_session(connection, signed_in.session.id, clock.now())
    assert await _find(scene, signed_in.token) == touched
    clock.advance(30 * 60 - 59)
    assert await _find(scene, signed_in.token) is None


async def test_a_session_ends_after_twelve_hours(scene: StaffScene, clock: ManualClock) -> None:
    """Use does not make it longer."""
    _, signed_in = await scene.create_signed_in("Ana")
    for _ in range(12 * 4):
        clock.advance(15 * 60 - 1)
        async with scene.database.write() as connection:
            await staff_session.touch_session(connection, signed_in.session.id, clock.now())
    assert await _find(scene, signed_in.token) is not None
    clock.advance(12 * 4)
    assert await _find(scene, signed_in.token) is None


async def test_only_the_hash_of_a_token_is_stored(scene: StaffScene) -> None:
    """Who reads the table cannot use a session."""
    _, signed_in = await scene.create_signed_in("Ana")
    async with scene.database.read() as connection:
        row = (await connection.execute(select(get_columns(StaffLogin).token_hash))).one()
    assert row.token_hash == hash_token(signed_in.token)
    for strange in ("", "x", "\udcff", row.token_hash.hex()):
        assert await _find(scene, strange) is None


async def test_a_revoked_session_is_gone_at_once(scene: StaffScene) -> None:
    """One is revoked, then all others; nobody revokes the session of somebody else."""
    person, first = await scene.create_signed_in("Ana")
    second, third = [await scene.sign_in(person.email) for _ in range(2)]
    other, others = await scene.create_signed_in("Ben")
    actor = scene.build_actor()
    async with scene.database.write() as connection:
        await staff_session.revoke_session(connection, person.id, first.session.id, actor=actor)
        await staff_session.revoke_session(connection, person.id, first.session.id, actor=actor)
        with pytest.raises(NotFoundError):
            await staff_session.revoke_session(connection, other.id, second.session.id, actor=actor)
    assert await _find(scene, first.token) is None
    assert await _find(scene, second.token) is not None
    async with scene.database.write() as connection:
        assert await staff_session.revoke_other_sessions(connection, person.id, third.session.id, actor=actor) == 1
    assert [bool(await _find(scene, one.token)) for one in (second, third, others)] == [False, True, True]
    async with scene.database.write() as connection:
        await staff_session.sign_out(connection, third.session, actor=actor)
    assert await _find(scene, third.token) is None
    assert [action for action, _ in await _list_actions(scene, str(person.id))] == [
        *("staff.created", "staff.link_created", "staff.password_set", "staff.signed_in"),
        *("staff.signed_in", "staff.signed_in", "staff.session_revoked", "staff.session_revoked", "staff.signed_out"),
    ]


async def test_disabling_ends_sessions_and_enabling_does_not_bring_them_back(scene: StaffScene) -> None:
    """A disabled person is out at the next request, and signs in anew after they are enabled."""
    person, signed_in = await scene.create_signed_in("Ana")
    async with scene.database.write() as connection:
        view = await staff_admin.disable_staff(connection, person.id, actor=scene.build_actor())
    assert view.disabled_at == scene.clock.now()
    assert await _find(scene, signed_in.token) is None
    async with scene.database.write() as connection:
        await staff_admin.enable_staff(connection, person.email, actor=scene.build_actor())
    assert await _find(scene, signed_in.token) is None
    await scene.sign_in(person.email)
    actions = await _list_actions(scene, str(person.id))
    assert actions[-4:] == [
        ("staff.disabled", "operator:test"),
        ("staff.session_revoked", "operator:test"),
        ("staff.enabled", "operator:test"),
        ("staff.signed_in", f"staff:{person.id}"),
    ]


async def test_roles_apply_at_the_next_request(scene: StaffScene) -> None:
    """A session has the scopes that its person has now."""
    person, signed_in = await scene.create_signed_in("Ana", StaffRole.SUPPORT)
    signed_in.session.member.require_scope(KeyScope.CONTENT)
    async with scene.database.write() as connection:
        await staff_admin.set_roles(connection, person.id, {StaffRole.PUBLISHER}, actor=scene.build_actor())
    session = await _find(scene, signed_in.token)
    assert session is not None
    session.member.require_scope(KeyScope.TEMPLATES_PUBLISH)
    with pytest.raises(InsufficientScopeError):
        session.member.require_scope(KeyScope.CONTENT)


async def test_the_last_admin_stays(scene: StaffScene) -> None:
    """The only admin can neither be disabled nor lose the role; with a second one both is possible."""
    ana = await scene.create_person("Ana", StaffRole.ADMIN)
    actor = scene.build_actor()
    async with scene.database.write() as connection:
        with pytest.raises(LastAdminError):
            await staff_admin.disable_staff(connection, ana.id, actor=actor)
        with pytest.raises(LastAdminError):
            await staff_admin.set_roles(connection, ana.id, (), actor=actor)
    await scene.create_person("Ben", StaffRole.ADMIN, StaffRole.EDITOR)
    async with scene.database.write() as connection:
        await staff_admin.disable_staff(connection, ana.id, actor=actor)


async def test_an_email_address_is_one_person(scene: StaffScene) -> None:
    """The same address in other letters is taken; people are found by id, address and name."""
    ana = await scene.create_person("Ana", StaffRole.EDITOR)
    again = NewStaff(email="ANA@staff.example", name="Another", roles=frozenset())
    async with scene.database.write() as connection:
        with pytest.raises(NameTakenError):
            await staff_admin.create_staff(connection, again, actor=scene.build_actor())
    async with scene.database.read() as connection:
        assert await staff_admin.get_staff(connection, "Ana@Staff.example") == ana
        assert await staff_admin.get_staff_names(connection, [ana.id, STRANGER_ID]) == {ana.id: "Ana"}
        assert await staff_admin.list_staff(connection) == [ana]
        with pytest.raises(NotFoundError):
            await staff_admin.get_staff(connection, STRANGER_ID)


async def test_preferences_and_flash(scene: StaffScene, clock: ManualClock) -> None:
    """A person has a time zone and an editor; a text for the next page is shown once."""
    person, signed_in = await scene.create_signed_in("Ana")
    actor = scene.build_actor()
    async with scene.database.write() as connection:
        await staff_admin.set_preferences(
            connection, person.id, time_zone="Europe/Amsterdam", uses_plain_editor=True, actor=actor
        )
        await staff_session.set_flash(connection, signed_in.session.id, "Saved. " + "x" * 600)
        with pytest.raises(InvalidRequestError):
            await staff_admin.set_preferences(
                connection, person.id, time_zone="../etc/passwd", uses_plain_editor=False, actor=actor
            )
    session = await _find(scene, signed_in.token)
    assert session is not None
    assert (session.member.time_zone, session.member.uses_plain_editor) == ("Europe/Amsterdam", True)
    assert session.flash is not None
    assert len(session.flash) == staff_session.MAX_FLASH_LENGTH
    async with scene.database.write() as connection:
        assert await staff_session.take_flash(connection, session.id) == session.flash
        assert await staff_session.take_flash(connection, session.id) is None


async def test_old_sessions_are_deleted_and_their_place_is_known_for_thirty_days(
    scene: StaffScene, clock: ManualClock
) -> None:
    """A sign-in deletes the rows of sessions that began more than 30 days ago."""
    person, _ = await scene.create_signed_in("Ana")
    origin = SignInOrigin(address="203.0.113.9", browser="Other \x00\x1b browser" + "y" * 300)
    clock.advance(timedelta(days=29).total_seconds())
    await scene.sign_in(person.email, origin=origin)
    clock.advance(timedelta(days=2).total_seconds())
    await scene.sign_in(person.email, origin=origin)
    async with scene.database.read() as connection:
        now = clock.now()
        assert not await staff_session.is_known_address(connection, person.email, ORIGIN.address, now)
        assert await staff_session.is_known_address(connection, person.email, origin.address, now)
        rows = (await connection.execute(select(get_columns(StaffLogin).browser))).scalars().all()
    assert [row[:16] for row in rows] == ["Other    browser"] * 2

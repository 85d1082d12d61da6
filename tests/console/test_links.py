"""One-time links: the first one welcomes somebody, a later one only changes the password."""

import httpx2
from support.console_client import SAME_ORIGIN, open_console
from support.seeded_installation import Installation
from support.staff_people import PASSWORD, StaffScene

from notifier.auth import staff_admin
from notifier.auth.staff_roles import StaffRole

NEW_PASSWORD = "copper meadow telegraph"


async def test_a_later_link_changes_only_the_password(sqlite_installation: Installation) -> None:
    """It asks for no zone and takes none; roles, zone and editor stay, and every older session has ended."""
    async with sqlite_installation.open_parts() as parts:
        scene = StaffScene(parts.database, parts.clock)
        person, before = await scene.create_signed_in("Ana", StaffRole.EDITOR)
        async with parts.database.write() as connection:
            actor = scene.build_actor()
            await staff_admin.set_preferences(
                connection, person.id, time_zone="Europe/Lisbon", uses_plain_editor=True, actor=actor
            )
        async with parts.database.read() as connection:
            kept = await staff_admin.get_staff(connection, person.email)
        token = await scene.create_link(person)
        async with open_console(parts) as client:
            page = await client.get(f"/console/welcome/{token}")
            assert "Choose a new password." in page.text
            assert "Time zone" not in page.text
            form = {"password": NEW_PASSWORD, "time_zone": "Asia/Tokyo"}
            reply = await client.post(f"/console/welcome/{token}", data=form, headers=SAME_ORIGIN)
            assert (reply.status_code, reply.headers["location"]) == (303, "/console/")
            assert "Lisbon" in (await client.get("/console/")).text
            assert (await client.post(f"/console/welcome/{token}", data=form, headers=SAME_ORIGIN)).status_code == 410
        async with parts.database.read() as connection:
            after = await staff_admin.get_staff(connection, person.email)
        assert (after.roles, after.time_zone, after.uses_plain_editor) == (kept.roles, "Europe/Lisbon", True)
        async with open_console(parts, before.token) as old:
            assert (await old.get("/console/me")).status_code == 303
        async with open_console(parts) as client:
            assert (await _sign_in(client, person.email, PASSWORD)).status_code == 422
            assert (await _sign_in(client, person.email, NEW_PASSWORD)).status_code == 303


async def _sign_in(client: httpx2.AsyncClient, email: str, password: str) -> httpx2.Response:
    return await client.post("/console/sign-in", data={"email": email, "password": password}, headers=SAME_ORIGIN)

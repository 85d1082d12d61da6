"""Wrong passwords: the sign-in page says how long to wait, and one client does not make others wait."""

import re

from support.console_client import SAME_ORIGIN, open_console
from support.seeded_installation import Installation
from support.staff_people import PASSWORD, StaffScene


async def test_one_client_behind_a_proxy_waits_and_another_does_not(sqlite_installation: Installation) -> None:
    """After ten wrong passwords a client gets 429 with the seconds, for whomever; its neighbour signs in."""
    async with sqlite_installation.open_parts() as parts, open_console(parts) as client:
        await StaffScene(parts.database, parts.clock).create_signed_in("Ana")
        here, there = ({"X-Forwarded-For": f"6.6.6.6, 198.51.100.{last}"} | SAME_ORIGIN for last in (7, 8))
        statuses: list[int] = []
        while 429 not in statuses and len(statuses) < 30:
            form = {"email": f"p{len(statuses)}@staff.example", "password": "not the password"}
            reply = await client.post("/console/sign-in", data=form, headers=here)
            statuses.append(reply.status_code)
        assert statuses[:11] == [422] * 11  # waits of one second may pass while a password is hashed
        assert statuses[-1] == 429
        seconds = int(reply.headers["retry-after"])
        assert 1 <= seconds <= 60
        assert re.search(rf"Wait {seconds} s", reply.text)
        form = {"email": "ana@staff.example", "password": PASSWORD}
        assert (await client.post("/console/sign-in", data=form, headers=there)).status_code == 303

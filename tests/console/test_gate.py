"""Who is let in, from where, and what they are told otherwise; on both databases."""

import re
from dataclasses import replace

import httpx2
import pytest
from support import console_client
from support.console_client import SAME_ORIGIN, open_console
from support.manual_clock import ManualClock
from support.seeded_installation import Installation
from support.staff_people import PASSWORD, StaffScene

from notifier.auth.staff_roles import StaffRole
from notifier.console.app import OPEN_ROUTES, PAGE_ROUTES
from notifier.console.session_gate import LOOPBACK_COOKIE, SECURE_COOKIE
from notifier.runtime.wiring import ProcessParts

FORM = {"email": "ana@staff.example", "password": PASSWORD}
TWENTY_MINUTES = 20 * 60
FOREIGN: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "null"},
    {"Origin": "https://127.0.0.1:8000"},
    {"Origin": "http://127.0.0.1:8001"},
    {"Origin": "http://localhost:8000"},
    {"Sec-Fetch-Site": "cross-site", "Origin": console_client.URL},
    {},
)
"""What a request from elsewhere says, or one that no browser has sent."""


def _fill_path(path: str) -> str:
    return "/console" + re.sub(r"\{[^}]*\}", "00000000-0000-7000-8000-000000000000", path)


POSTS = sorted({_fill_path(route.path) for route in (*PAGE_ROUTES, *OPEN_ROUTES) if "POST" in (route.methods or ())})


async def _create_token(parts: ProcessParts, *roles: StaffRole) -> str:
    _, signed_in = await StaffScene(parts.database, parts.clock).create_signed_in("Ana", *roles)
    return signed_in.token


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_no_form_is_taken_from_elsewhere(headers: dict[str, str], sqlite_installation: Installation) -> None:
    """Each form that another site sends, or nobody knows who, is refused, and the session still lasts."""
    async with sqlite_installation.open_parts() as parts:
        token = await _create_token(parts, StaffRole.ADMIN)
        async with open_console(parts, token) as client:
            for path in POSTS:
                reply = await client.post(path, data={}, headers=headers)
                assert reply.status_code == 403, path
                assert "did not come from a page of the console" in reply.text
            assert (await client.get("/console/me")).status_code == 200


async def test_own_forms_are_taken(installation: Installation, parts: ProcessParts) -> None:
    """A form of the console itself is taken, also from a browser that sends only its origin."""
    await _create_token(parts)
    for headers in (SAME_ORIGIN, {"Origin": console_client.URL}):
        async with open_console(parts) as client:
            reply = await client.post("/console/sign-in", data=FORM, headers=headers)
            assert (reply.status_code, reply.headers["location"]) == (303, "/console/")
            assert (await client.get("/console/")).status_code == 200


@pytest.mark.parametrize(
    ("url", "host", "status", "cookie"),
    [
        (None, "http://127.0.0.1:8000", 303, LOOPBACK_COOKIE),
        (None, "http://localhost:8000", 303, LOOPBACK_COOKIE),
        (None, "http://[::1]:8000", 303, LOOPBACK_COOKIE),
        (None, "https://notifier.example.com", 303, SECURE_COOKIE),
        (None, "http://notifier.example.com", 421, None),
        (None, "http://192.0.2.1:8000", 421, None),
        (None, "http://localhost.evil.example", 421, None),
        ("https://notifier.example.com", "http://notifier.example.com", 303, SECURE_COOKIE),
        ("https://notifier.example.com", "https://other.example.com", 421, None),
        ("https://notifier.example.com", "http://127.0.0.1:8000", 303, LOOPBACK_COOKIE),
    ],
)
async def test_the_console_is_used_at_its_address(
    url: str | None, host: str, status: int, cookie: str | None, sqlite_installation: Installation
) -> None:
    """It is used over HTTPS, or on this machine. A proxy with HTTPS in front is known by the URL in the settings."""
    installation = sqlite_installation.with_settings(console={"url": url})
    async with installation.open_parts() as parts:
        await _create_token(parts)
        async with open_console(parts, url=host) as client:
            origin = host.replace("http://notifier", "https://notifier") if url else host
            reply = await client.post("/console/sign-in", data=FORM, headers={"Origin": origin})
    assert reply.status_code == status
    sent = reply.headers.get("set-cookie", "")
    assert sent.partition("=")[0] == (cookie or "")
    if cookie:
        assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(sent.split("; "))
        assert ("Secure" in sent.split("; ")) == (cookie == SECURE_COOKIE)
    elif url:
        assert f"{url}/console/" in reply.text


async def test_every_page_asks_who_is_there(installation: Installation, parts: ProcessParts) -> None:
    """Without a session each page sends one to the sign-in page, and each part of a page says so."""
    async with open_console(parts) as client:
        for route in PAGE_ROUTES:
            method = "GET" if "GET" in (route.methods or ()) else "POST"
            path = _fill_path(route.path)
            reply = await client.request(method, path, headers=SAME_ORIGIN)
            assert reply.status_code == 303, path
            assert reply.headers["location"].startswith("/console/sign-in"), path
            part = await client.request(method, path, headers=SAME_ORIGIN | {"HX-Request": "true"})
            assert (part.status_code, "<html" in part.text) == (401, False), path
        assert (await client.get("/console/nowhere")).headers[
            "location"
        ] == "/console/sign-in?next=%2Fconsole%2Fnowhere"


async def test_sessions_do_not_carry_over(installation: Installation, parts: ProcessParts) -> None:
    """Signing in gives a new token, whatever the browser had; signing out ends it for every copy of the cookie."""
    token = await _create_token(parts)
    async with open_console(parts, token) as client:
        reply = await client.post("/console/sign-in", data=FORM, headers=SAME_ORIGIN)
        fresh = reply.cookies[LOOPBACK_COOKIE]
        assert fresh != token
        assert (await client.post("/console/sign-out", headers=SAME_ORIGIN)).status_code == 303
    async with open_console(parts, fresh) as client:
        assert (await client.get("/console/")).status_code == 303


async def test_a_page_is_use_of_a_session_and_a_part_is_not(installation: Installation, parts: ProcessParts) -> None:
    """A session that is used every twenty minutes lasts. Parts of pages that ask for themselves are no use of it."""
    clock = ManualClock(wall=parts.clock.now())
    parts = replace(parts, clock=clock)
    token = await _create_token(parts)
    async with open_console(parts, token) as client:
        for _ in range(3):
            clock.advance(TWENTY_MINUTES)
            assert (await client.get("/console/me")).status_code == 200
        clock.advance(TWENTY_MINUTES)
        assert (await client.get("/console/me", headers={"HX-Request": "true"})).status_code == 200
        clock.advance(TWENTY_MINUTES)
        assert (await client.get("/console/me")).status_code == 303


async def test_forms_have_limits(sqlite_installation: Installation) -> None:
    """A body that is too large, no form, or has an unknown field is refused with a page."""
    async with sqlite_installation.open_parts() as parts, open_console(parts) as client:
        large = await client.post("/console/sign-in", data=FORM | {"next": "x" * 3_000_000}, headers=SAME_ORIGIN)
        assert large.status_code == 413
        for content_type in ("application/json", "text/plain", "multipart/form-data", ""):
            headers = SAME_ORIGIN | {"Content-Type": content_type}
            assert (await client.post("/console/sign-in", content=b"{}", headers=headers)).status_code == 400
        unknown = await client.post("/console/sign-in", data=FORM | {"role": "admin"}, headers=SAME_ORIGIN)
        assert unknown.status_code == 422
        empty = await client.post("/console/sign-in", data={"email": ""}, headers=SAME_ORIGIN)
        assert "Enter your e-mail address." in empty.text
        assert "Enter your password." in empty.text


async def test_every_answer_has_the_headers(installation: Installation, parts: ProcessParts) -> None:
    """Pages, errors, redirects and files forbid framing, foreign content and referrers; only files are kept."""
    token = await _create_token(parts)
    async with open_console(parts, token) as client, open_console(parts, url="http://other.example") as stranger:
        page = await client.get("/console/")
        style = re.search(r'href="(/console/static/[^"]+console.css)"', page.text)
        assert style is not None
        file = await client.get(style[1], headers={"Accept-Encoding": "gzip"})
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert (file.status_code, file.headers["content-encoding"]) == (200, "gzip")
        assert len(file.content) > 1_000
        missing = await client.get(style[1].replace("console.css", "%2e%2e/app.py"))
        replies = [page, missing, await client.get("/console/%00nowhere"), await stranger.get("/console/")]
        replies.append(await client.get("/console"))
        for reply in replies:
            _assert_strict(reply)
        assert [reply.status_code for reply in replies] == [200, 404, 404, 421, 308]
    nonces = {reply.headers["content-security-policy"] for reply in replies}
    assert len(nonces) == len(replies)


def _assert_strict(reply: httpx2.Response) -> None:
    headers = reply.headers
    policy = dict(item.strip().partition(" ")[::2] for item in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert re.fullmatch(r"'nonce-[\w-]{20,}'", policy["script-src"])
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"

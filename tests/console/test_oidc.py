"""People sign in to the console at an OpenID provider."""

import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from support.console_client import URL, open_console
from support.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, open_provider
from support.seeded_installation import Installation
from support.staff_people import StaffScene

from notifier.errors import ConfigurationError
from notifier.runtime import wiring
from notifier.runtime.wiring import ProcessParts

FROM_ELSEWHERE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
"""What a browser says that comes back from the provider."""


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with open_provider() as opened:
        yield opened


def _set_provider(installation: Installation, provider: OpenIdProvider, **more: Any) -> Installation:
    names = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": SecretStr(CLIENT_SECRET),
    }
    return installation.with_settings(console=names | {"oidc_name": "Example & Co"} | more)


@pytest.fixture
async def offering(installation: Installation, provider: OpenIdProvider) -> AsyncIterator[ProcessParts]:
    """The parts of a process that offers this provider."""
    async with _set_provider(installation, provider).open_parts() as parts:
        yield parts


async def _come_back(client: httpx2.AsyncClient, start: httpx2.Response) -> httpx2.Response:
    """Follow the browser to the provider, which sends it back."""
    assert start.status_code == 303, start.text
    async with httpx2.AsyncClient() as browser:
        there = await browser.get(start.headers["location"])
    return await client.get(there.headers["location"], headers=FROM_ELSEWHERE)


async def test_a_person_signs_in_and_goes_where_they_wanted(offering: ProcessParts) -> None:
    """The sign-in page offers the provider; the way there and back ends at the page, with a session."""
    await StaffScene(offering.database, offering.clock).create_person("Ana")
    async with open_console(offering) as client:
        page = await client.get("/console/sign-in?next=/console/me?from=a%26b")
        assert "Sign in with Example &amp; Co" in page.text
        start = await client.get("/console/oidc/start?next=/console/me?from=a%26b")
        cookie = start.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=600"} <= set(cookie.split("; "))
        back = await _come_back(client, start)
        assert (back.status_code, back.headers["location"]) == (303, "/console/me?from=a&b")
        assert (await client.get("/console/me")).status_code == 200
        assert "notifier-oidc-on-this-machine" not in client.cookies


async def test_another_site_is_never_the_next_page(offering: ProcessParts) -> None:
    """A link that names another site as the next page ends at the home page."""
    await StaffScene(offering.database, offering.clock).create_person("Ana")
    async with open_console(offering) as client:
        start = await client.get("/console/oidc/start?next=https://evil.example/")
        assert (await _come_back(client, start)).headers["location"] == "/console/"


async def test_an_answer_in_another_browser_signs_nobody_in(offering: ProcessParts) -> None:
    """A link with somebody's answer, sent to a victim, does not sign the victim in as somebody else."""
    await StaffScene(offering.database, offering.clock).create_person("Ana")
    async with open_console(offering) as attacker, open_console(offering) as victim:
        start = await attacker.get("/console/oidc/start")
        back = await _come_back(victim, start)
        assert (back.status_code, "begun in another browser" in back.text) == (422, True)
        assert (await victim.get("/console/me")).status_code == 303


async def test_what_went_wrong_is_said(offering: ProcessParts, provider: OpenIdProvider) -> None:
    """Who has no account, whom the provider refuses, and a provider that is away: words on the sign-in page."""
    async with open_console(offering) as client:
        unknown = await _come_back(client, await client.get("/console/oidc/start"))
        assert (unknown.status_code, "has no account here" in unknown.text) == (422, True)
        refused = await client.get("/console/oidc/callback?error=access_denied&state=x", headers=FROM_ELSEWHERE)
        assert (refused.status_code, "has not signed you in" in refused.text) == (422, True)
        provider.claims = {"nonce": "another"}
        wrong = await _come_back(client, await client.get("/console/oidc/start"))
        assert (wrong.status_code, "does not answer as it should" in wrong.text) == (503, True)
        for query in ("", "?state=x", "?code=x&state=%00", "?state=" + "x" * 5000):
            assert (await client.get(f"/console/oidc/callback{query}")).status_code == 422, query


async def test_a_provider_that_is_away_is_said(installation: Installation, provider: OpenIdProvider) -> None:
    """The sign-in page comes back, and its form still works."""
    provider.is_broken = True
    async with _set_provider(installation, provider).open_parts() as parts, open_console(parts) as client:
        reply = await client.get("/console/oidc/start")
        assert (reply.status_code, "sign in by password" in reply.text) == (503, True)


async def test_the_way_back_has_the_address_of_the_console(
    sqlite_installation: Installation, provider: OpenIdProvider
) -> None:
    """Behind a proxy it is the URL of the settings, with a cookie that only HTTPS has."""
    installation = _set_provider(sqlite_installation, provider, url="https://notifier.example.com")
    async with installation.open_parts() as parts, open_console(parts, url="http://notifier.example.com") as client:
        start = await client.get("/console/oidc/start")
    assert "redirect_uri=https%3A%2F%2Fnotifier.example.com%2Fconsole%2Foidc%2Fcallback" in start.headers["location"]
    assert start.headers["set-cookie"].startswith("__Host-notifier-oidc=")
    assert "Secure" in start.headers["set-cookie"].split("; ")


async def test_without_a_provider_there_is_no_such_page(sqlite_installation: Installation) -> None:
    """The sign-in page offers passwords only."""
    async with sqlite_installation.open_parts() as parts, open_console(parts) as client:
        assert "/console/oidc/" not in (await client.get("/console/sign-in")).text
        for path in ("start", "callback?code=x&state=y"):
            assert (await client.get(f"/console/oidc/{path}")).status_code == 404


async def test_the_extra_is_named_if_it_is_missing(
    sqlite_installation: Installation, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without authlib the process does not start, and says what to install."""
    monkeypatch.delitem(sys.modules, "notifier.auth.oidc_provider", raising=False)
    monkeypatch.setitem(sys.modules, "authlib.integrations.base_client.errors", None)
    async with _set_provider(sqlite_installation, provider).open_parts() as parts:
        with pytest.raises(ConfigurationError, match=r"notifier-outbox\[oidc\]"):
            wiring.build_site(parts)


async def test_a_console_that_is_not_enabled_is_not_there(sqlite_installation: Installation) -> None:
    """With NOTIFIER_CONSOLE__ENABLED=false the API answers as for any unknown path."""
    installation = sqlite_installation.with_settings(console={"enabled": False})
    async with installation.open_parts() as parts, open_console(parts, url=URL) as client:
        reply = await client.get("/console/sign-in")
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
        assert (await client.get("/livez")).status_code == 200

"""Signing in at an OpenID provider: who gets in, in which browser, and how often."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from support.openid_provider import CLIENT_SECRET, OpenIdProvider
from support.openid_visit import REDIRECT_URI, build_sign_in, finish_visit, visit_provider
from support.staff_people import ORIGIN, StaffScene

from notifier.auth import staff_admin
from notifier.auth.oidc_request import MAX_OPEN_REQUESTS, REQUEST_LIFETIME, OidcProviderError, OidcRefusedError
from notifier.auth.oidc_sign_in import OidcSignIn
from notifier.auth.password_hasher import TooManySignInsError
from notifier.auth.staff_roles import StaffRole
from notifier.db.tables import OidcRequest


async def test_a_person_signs_in(people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn) -> None:
    """Who exists signs in without a password, with their roles, and goes where they wanted; no row is left."""
    person = await people.create_person("Ana", StaffRole.SUPPORT)
    provider.email = "Ana@Staff.Example"
    signed_in, path = await finish_visit(sign_in)
    assert path == "/console/mail?q=bob"
    assert signed_in.session.member.id == person.id
    assert "content:read" in signed_in.session.member.scopes
    async with people.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(OidcRequest)) == 0
    await finish_visit(sign_in)
    assert provider.requests == ["/.well-known/openid-configuration", "/keys"]  # loaded once


@pytest.mark.parametrize(
    "settings", [{"oidc_client_secret": None}, {"oidc_client_secret": CLIENT_SECRET}], ids=["public", "post"]
)
async def test_other_ways_to_be_a_client(
    people: StaffScene, provider: OpenIdProvider, settings: dict[str, Any]
) -> None:
    """A public client has no secret, and some providers take the secret in the form only."""
    await people.create_person("Ana")
    provider.accepts_public_clients = settings["oidc_client_secret"] is None
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    signed_in, _ = await finish_visit(build_sign_in(people, provider, **settings))
    assert signed_in.session.member.name == "Ana"


async def test_an_address_may_come_from_the_user_info(
    people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn
) -> None:
    """An ID token without an address is completed, unless the user info is about somebody else."""
    await people.create_person("Ana")
    provider.has_email_in_token = False
    signed_in, _ = await finish_visit(sign_in)
    assert signed_in.session.member.name == "Ana"
    provider.claims["sub"] = "2"
    answer = await visit_provider(sign_in)
    original = provider._build_token

    def build_token(nonce: str) -> str:
        token = original(nonce)
        provider.claims["sub"] = "1"
        return token

    provider._build_token = build_token  # type: ignore[method-assign]
    with pytest.raises(OidcRefusedError):
        await sign_in.finish(answer, ORIGIN)


@pytest.mark.parametrize(
    "claims",
    [{"email_verified": False}, {"email_verified": None}, {"email_verified": "true"}, {"email": 1}],
    ids=str,
)
async def test_an_unverified_address_is_nobody(
    people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn, claims: dict[str, Any]
) -> None:
    """Only an address that the provider has verified counts."""
    await people.create_person("Ana")
    provider.claims = claims
    with pytest.raises(OidcRefusedError, match="no verified"):
        await finish_visit(sign_in)


async def test_unknown_and_disabled_people_do_not_get_in(
    people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn
) -> None:
    """Nobody is created by signing in."""
    with pytest.raises(OidcRefusedError, match="no account"):
        await finish_visit(sign_in)
    person = await people.create_person("Ana")
    async with people.database.write() as connection:
        await staff_admin.disable_staff(connection, person.id, actor=people.build_actor())
    with pytest.raises(OidcRefusedError, match="no account"):
        await finish_visit(sign_in)
    assert provider.email == person.email


async def test_an_answer_counts_once_and_for_one_browser(people: StaffScene, sign_in: OidcSignIn) -> None:
    """A wrong state, the cookie of another browser and a second use are refused; and so is an old answer."""
    await people.create_person("Ana")
    answer, other = await visit_provider(sign_in), await visit_provider(sign_in)
    for wrong in (
        replace(answer, state="strange"),
        replace(answer, browser_token=other.browser_token),
        replace(answer, browser_token=""),
    ):
        with pytest.raises(OidcRefusedError, match="Begin again"):
            await sign_in.finish(wrong, ORIGIN)
    await sign_in.finish(answer, ORIGIN)
    with pytest.raises(OidcRefusedError, match="Begin again"):
        await sign_in.finish(answer, ORIGIN)
    async with people.database.write() as connection:
        began = people.clock.now() - REQUEST_LIFETIME
        await connection.execute(update(OidcRequest).values(created_at=began))
    with pytest.raises(OidcRefusedError, match="Begin again"):
        await sign_in.finish(other, ORIGIN)
    await sign_in.begin(REDIRECT_URI, "")
    async with people.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(OidcRequest)) == 1  # the old one is deleted


async def test_a_stolen_code_is_worth_nothing(people: StaffScene, sign_in: OidcSignIn) -> None:
    """The code of one sign-in does not fit the verifier of another (PKCE)."""
    await people.create_person("Ana")
    victim, attacker = await visit_provider(sign_in), await visit_provider(sign_in)
    with pytest.raises(OidcProviderError):
        await sign_in.finish(replace(attacker, code=victim.code), ORIGIN)


async def test_strangers_leave_a_bounded_number_of_rows(people: StaffScene, sign_in: OidcSignIn) -> None:
    """Beyond the bound nobody begins until older ones have ended."""
    values = {"browser_hash": b"", "nonce": "", "code_verifier": "", "next_path": "", "created_at": people.clock.now()}
    rows = [values | {"state_hash": number.to_bytes(4)} for number in range(MAX_OPEN_REQUESTS - 1)]
    async with people.database.write() as connection:
        await connection.execute(insert(OidcRequest), rows)
    await sign_in.begin(REDIRECT_URI, "")
    with pytest.raises(TooManySignInsError):
        await sign_in.begin(REDIRECT_URI, "")

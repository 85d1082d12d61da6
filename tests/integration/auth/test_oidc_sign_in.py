"""Signing in at an OpenID provider: who gets in, and every answer that is refused."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import func, select, update
from support.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, open_provider
from support.staff_people import ORIGIN, StaffScene

from notifier.auth import oidc_request, staff_admin
from notifier.auth.oidc_provider import KEEP_METADATA_SECONDS, OidcProvider
from notifier.auth.oidc_request import REQUEST_LIFETIME, OidcProviderError, OidcRefusedError
from notifier.auth.oidc_sign_in import OidcAnswer, OidcSignIn
from notifier.auth.password_hasher import TooManySignInsError
from notifier.auth.staff_roles import StaffRole
from notifier.auth.staff_session import SignedIn
from notifier.clock import SystemClock
from notifier.console_settings import ConsoleSettings
from notifier.db.tables import OidcRequest, get_columns
from notifier.runtime import wiring

REDIRECT_URI = "https://notifier.example.com/console/oidc/callback"
_request = get_columns(OidcRequest)


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with open_provider() as opened:
        yield opened


class LateClock(SystemClock):
    """The clock of this host, moved forward: the provider's tokens carry real times."""

    late = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.late


@pytest.fixture
def late_clock() -> LateClock:
    return LateClock()


@pytest.fixture
def people(parts: wiring.ProcessParts, late_clock: LateClock) -> StaffScene:
    return StaffScene(parts.database, late_clock)


def _build_sign_in(people: StaffScene, provider: OpenIdProvider, **settings: Any) -> OidcSignIn:
    values = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT_ID, "oidc_client_secret": CLIENT_SECRET}
    console = ConsoleSettings(**values | settings)
    return OidcSignIn(
        provider=OidcProvider(console, people.clock), authenticator=people.authenticator, provider_name="Example"
    )


@pytest.fixture
def sign_in(people: StaffScene, provider: OpenIdProvider) -> OidcSignIn:
    return _build_sign_in(people, provider)


async def _visit_provider(sign_in: OidcSignIn, next_path: str = "/console/mail?q=bob") -> OidcAnswer:
    """Begin a sign-in, and come back from the provider as a browser does."""
    start = await sign_in.begin(REDIRECT_URI, next_path)
    async with httpx2.AsyncClient() as browser:
        reply = await browser.get(start.url)
    assert reply.status_code == 302, reply.text
    query = parse_qs(urlsplit(reply.headers["location"]).query)
    return OidcAnswer(
        state=query["state"][0], code=query["code"][0], browser_token=start.browser_token, redirect_uri=REDIRECT_URI
    )


async def _enter(sign_in: OidcSignIn) -> tuple[SignedIn, str]:
    return await sign_in.finish(await _visit_provider(sign_in), ORIGIN)


async def test_a_person_signs_in(people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn) -> None:
    """Who exists signs in without a password, with their roles, and goes where they wanted; no row is left."""
    person = await people.create_person("Ana", StaffRole.SUPPORT)
    provider.email = "Ana@Staff.Example"
    signed_in, path = await _enter(sign_in)
    assert path == "/console/mail?q=bob"
    assert signed_in.session.member.id == person.id
    assert "content:read" in signed_in.session.member.scopes
    async with people.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(OidcRequest)) == 0
    await _enter(sign_in)
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
    signed_in, _ = await _enter(_build_sign_in(people, provider, **settings))
    assert signed_in.session.member.name == "Ana"


async def test_an_address_may_come_from_the_user_info(
    people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn
) -> None:
    """An ID token without an address is completed, unless the user info is about somebody else."""
    await people.create_person("Ana")
    provider.has_email_in_token = False
    signed_in, _ = await _enter(sign_in)
    assert signed_in.session.member.name == "Ana"
    provider.claims["sub"] = "2"
    answer = await _visit_provider(sign_in)
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
        await _enter(sign_in)


async def test_unknown_and_disabled_people_do_not_get_in(
    people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn
) -> None:
    """Nobody is created by signing in."""
    with pytest.raises(OidcRefusedError, match="no account"):
        await _enter(sign_in)
    person = await people.create_person("Ana")
    async with people.database.write() as connection:
        await staff_admin.disable_staff(connection, person.id, actor=people.build_actor())
    with pytest.raises(OidcRefusedError, match="no account"):
        await _enter(sign_in)
    assert provider.email == person.email


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another", "others"]},
        {"iss": "https://another.example"},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"azp": "another"},
        {"at_hash": "wrong"},
    ],
    ids=str,
)
async def test_a_wrong_token_is_refused(
    people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn, claims: dict[str, Any]
) -> None:
    """Another nonce, audience, issuer or time."""
    await people.create_person("Ana")
    provider.claims = claims
    with pytest.raises(OidcProviderError):
        await _enter(sign_in)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSAKey.generate_key(2048, {"kid": "first"}), "RS256"),
        (OctKey.import_key(CLIENT_SECRET, {"kid": "first"}), "HS256"),
        (None, "none"),
    ],
    ids=["another key", "the secret as a key", "no signature"],
)
async def test_a_wrong_signature_is_refused(
    people: StaffScene, provider: OpenIdProvider, key: RSAKey | OctKey | None, algorithm: str
) -> None:
    """A token that the provider's key did not sign, also if the provider says that it uses such signatures."""
    await people.create_person("Ana")
    provider.metadata["id_token_signing_alg_values_supported"] = ["none", "HS256", "RS256"]
    sign_in = _build_sign_in(people, provider)
    answer = await _visit_provider(sign_in)
    if key is not None:
        provider.signing_key, provider.algorithm = key, algorithm
    else:
        original = provider._build_token
        provider._build_token = lambda nonce: _strip_signature(original(nonce))  # type: ignore[method-assign]
    with pytest.raises(OidcProviderError):
        await sign_in.finish(answer, ORIGIN)


def _strip_signature(token: str) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


async def test_an_answer_counts_once_and_for_one_browser(people: StaffScene, sign_in: OidcSignIn) -> None:
    """A wrong state, the cookie of another browser and a second use are refused; and so is an old answer."""
    await people.create_person("Ana")
    answer, other = await _visit_provider(sign_in), await _visit_provider(sign_in)
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
    victim, attacker = await _visit_provider(sign_in), await _visit_provider(sign_in)
    with pytest.raises(OidcProviderError):
        await sign_in.finish(replace(attacker, code=victim.code), ORIGIN)


async def test_a_new_key_of_the_provider_is_learned(
    people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn, late_clock: LateClock
) -> None:
    """After a rotation the keys are loaded again, at most once a minute."""
    await people.create_person("Ana")
    await _enter(sign_in)
    provider.rotate_key()
    with pytest.raises(OidcProviderError):
        await _enter(sign_in)
    assert provider.requests.count("/keys") == 1
    late_clock.late += 61
    await _enter(sign_in)
    assert provider.requests.count("/keys") == 2
    late_clock.late += KEEP_METADATA_SECONDS
    await _enter(sign_in)
    assert provider.requests.count("/keys") == 3


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": "http://elsewhere.example/authorize"},
    ],
    ids=str,
)
async def test_a_provider_that_is_wrong_about_itself(
    provider: OpenIdProvider, sign_in: OidcSignIn, metadata: dict[str, Any]
) -> None:
    """Another name, or an address without HTTPS, begins no sign-in."""
    provider.metadata = metadata
    with pytest.raises(OidcProviderError):
        await sign_in.begin(REDIRECT_URI, "")


async def test_a_provider_that_is_away(people: StaffScene, provider: OpenIdProvider) -> None:
    """A provider that is broken or out of reach is an error of its own, and is asked again the next time."""
    provider.is_broken = True
    sign_in = _build_sign_in(people, provider)
    with pytest.raises(OidcProviderError):
        await sign_in.begin(REDIRECT_URI, "")
    provider.is_broken = False
    await sign_in.begin(REDIRECT_URI, "")
    away = _build_sign_in(people, provider, oidc_issuer="http://127.0.0.1:9")
    with pytest.raises(OidcProviderError):
        await away.begin(REDIRECT_URI, "")


async def test_strangers_leave_a_bounded_number_of_rows(sign_in: OidcSignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound nobody begins until older ones have ended."""
    monkeypatch.setattr(oidc_request, "MAX_OPEN_REQUESTS", 2)
    for _ in range(2):
        await sign_in.begin(REDIRECT_URI, "")
    with pytest.raises(TooManySignInsError):
        await sign_in.begin(REDIRECT_URI, "")

"""What an OpenID provider says is checked: its tokens, its keys, and what it says about itself."""

import base64
import json
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey
from support.openid_provider import CLIENT_SECRET, OpenIdProvider
from support.openid_visit import REDIRECT_URI, LateClock, build_sign_in, finish_visit, visit_provider
from support.staff_people import ORIGIN, StaffScene

from notifier.auth.oidc_provider import KEEP_METADATA_SECONDS
from notifier.auth.oidc_request import OidcProviderError
from notifier.auth.oidc_sign_in import OidcSignIn


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
        await finish_visit(sign_in)


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
    sign_in = build_sign_in(people, provider)
    answer = await visit_provider(sign_in)
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


async def test_a_new_key_of_the_provider_is_learned(
    people: StaffScene, provider: OpenIdProvider, sign_in: OidcSignIn, late_clock: LateClock
) -> None:
    """After a rotation the keys are loaded again, at most once a minute."""
    await people.create_person("Ana")
    await finish_visit(sign_in)
    provider.rotate_key()
    with pytest.raises(OidcProviderError):
        await finish_visit(sign_in)
    assert provider.requests.count("/keys") == 1
    late_clock.late += 61
    await finish_visit(sign_in)
    assert provider.requests.count("/keys") == 2
    late_clock.late += KEEP_METADATA_SECONDS
    await finish_visit(sign_in)
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
    sign_in = build_sign_in(people, provider)
    with pytest.raises(OidcProviderError):
        await sign_in.begin(REDIRECT_URI, "")
    provider.is_broken = False
    await sign_in.begin(REDIRECT_URI, "")
    away = build_sign_in(people, provider, oidc_issuer="http://127.0.0.1:9")
    with pytest.raises(OidcProviderError):
        await away.begin(REDIRECT_URI, "")

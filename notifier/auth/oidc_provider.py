"""An OpenID provider: where it is, and who it says has signed in. The only importer of authlib, an extra.

Its ID token is checked as OpenID Connect Core §3.1.3.7 says: signature, issuer, audience, times and nonce.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from notifier.auth.oidc_request import NewOidcRequest, OidcCallback, OidcProviderError, OidcRefusedError
from notifier.clock import Clock
from notifier.console_settings import ConsoleSettings
from notifier.telemetry.logging import get_logger

TIMEOUT_SECONDS = 10.0
KEEP_METADATA_SECONDS = 3600.0
RELOAD_KEYS_SECONDS = 60.0
"""How soon keys are loaded again for a token whose key is unknown."""
CLOCK_SKEW_SECONDS = 60
SIGNATURES = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures that are accepted: never with a shared secret, and never none."""
_WRONG_SHAPES = (AttributeError, KeyError, TypeError, ValueError)
"""What reading an answer raises that is not what it should be."""
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(kw_only=True)
class _Metadata:
    """What the provider says about itself, and its keys."""

    values: Mapping[str, Any]
    keys: KeySet
    loaded_at: float  # monotonic


class OidcProvider:
    """Talks to the provider of the settings."""

    def __init__(self, settings: ConsoleSettings, clock: Clock) -> None:
        self._issuer = settings.oidc_issuer or ""
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None
        self._clock = clock
        self._metadata: _Metadata | None = None
        self._loading = asyncio.Lock()

    async def build_url(self, request: NewOidcRequest, redirect_uri: str) -> str:
        """Build the address at which the person signs in. Raises `OidcProviderError`."""
        metadata = await self._load_metadata(KEEP_METADATA_SECONDS)
        async with self._open_client(metadata.values) as client:
            url, _ = client.create_authorization_url(
                metadata.values["authorization_endpoint"],
                state=request.state,
                code_verifier=request.code_verifier,
                nonce=request.nonce,
                redirect_uri=redirect_uri,
            )
        return str(url)

    async def find_email(self, callback: OidcCallback) -> str:
        """Exchange the code for the verified e-mail address of who has signed in.

        Raises `OidcProviderError`, and `OidcRefusedError` if the address is missing or not verified.
        """
        metadata = await self._load_metadata(KEEP_METADATA_SECONDS)
        async with self._open_client(metadata.values) as client:
            token = await client.fetch_token(
                metadata.values["token_endpoint"],
                grant_type="authorization_code",
                code=callback.code,
                code_verifier=callback.code_verifier,
                redirect_uri=callback.redirect_uri,
            )
            claims = await self._check_id_token(token, callback.nonce)
            if "email" not in claims and "userinfo_endpoint" in metadata.values:
                reply = await client.get(metadata.values["userinfo_endpoint"])
                reply.raise_for_status()
                details = reply.json()
                if details["sub"] == claims["sub"]:  # OpenID Connect Core §5.3.2
                    claims |= {name: details.get(name) for name in ("email", "email_verified")}
        if not isinstance(claims.get("email"), str) or claims.get("email_verified") is not True:
            raise OidcRefusedError("The provider names no verified e-mail address for you. Ask an admin.")
        return str(claims["email"])

    async def _check_id_token(self, token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        metadata = await self._load_metadata(KEEP_METADATA_SECONDS)
        text = str(token.get("id_token", ""))
        algorithms = sorted(SIGNATURES.intersection(metadata.values.get("id_token_signing_alg_values_supported") or ()))
        try:
            decoded = jwt.decode(text, metadata.keys, algorithms=algorithms or ["RS256"])
        except InvalidKeyIdError:
            metadata = await self._load_metadata(RELOAD_KEYS_SECONDS)
            decoded = jwt.decode(text, metadata.keys, algorithms=algorithms or ["RS256"])
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "value": metadata.values["issuer"]},
                "aud": {"essential": True, "value": self._client_id},
                "nonce": {"essential": True, "value": nonce},
            },
            {"nonce": nonce, "client_id": self._client_id, "access_token": token.get("access_token")},
        )
        claims.validate(now=int(self._clock.now().timestamp()), leeway=CLOCK_SKEW_SECONDS)
        return dict(claims)

    async def _load_metadata(self, max_age: float) -> _Metadata:
        """Load what the provider says about itself, unless that was done less than `max_age` seconds ago."""
        async with self._loading:
            now = self._clock.monotonic()
            if self._metadata is not None and now - self._metadata.loaded_at < max_age:
                return self._metadata
            async with self._open_client({}) as client:
                values = await _get_json(client, f"{self._issuer}/.well-known/openid-configuration")
                if str(values.get("issuer")).rstrip("/") != self._issuer:
                    raise OidcProviderError("The OpenID provider calls itself by another name than the settings do.")
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    _require_secure(str(values[name]))
                keys = KeySet.import_key_set(await _get_json(client, values["jwks_uri"]))
            self._metadata = _Metadata(values=values, keys=keys, loaded_at=now)
            return self._metadata

    @asynccontextmanager
    async def _open_client(self, metadata: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Open a client of the provider. Whatever goes wrong with it is an `OidcProviderError`."""
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        client = AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._secret,
            token_endpoint_auth_method=method if self._secret else "none",
            scope="openid email",
            code_challenge_method="S256",
            timeout=TIMEOUT_SECONDS,
        )
        try:
            async with client, asyncio.timeout(TIMEOUT_SECONDS):
                yield client
        except (httpx2.HTTPError, OAuthError, JoseError, TimeoutError, *_WRONG_SHAPES) as error:
            get_logger().warning("oidc_failed", error=type(error).__name__)
            raise OidcProviderError from error


async def _get_json(client: Any, url: str) -> Any:
    reply = await client.request("GET", url, withhold_token=True)
    reply.raise_for_status()
    return reply.json()


def _require_secure(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK_HOSTS:
        raise OidcProviderError("The OpenID provider names an address without HTTPS.")

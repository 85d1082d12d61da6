"""A small OpenID provider on loopback: discovery, code flow with PKCE, signed ID tokens, user info, and mistakes."""

import base64
import contextlib
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID, CLIENT_SECRET = "notifier", "the secret of notifier"


@dataclass
class OpenIdProvider:
    """The provider; a test sets who signs in, and what it gets wrong."""

    issuer: str = ""
    email: str = "ana@staff.example"
    claims: dict[str, Any] = field(default_factory=dict)  # added to the ID token; None removes one
    metadata: dict[str, Any] = field(default_factory=dict)  # added to the discovery document
    has_email_in_token: bool = True
    is_broken: bool = False
    accepts_public_clients: bool = False
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "first"}))
    signing_key: RSAKey | OctKey | None = None  # None: `key`
    algorithm: str = "RS256"
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)  # the paths that were asked for

    def build_app(self) -> Starlette:
        """Build the application."""
        routes = [
            Route("/.well-known/openid-configuration", self._describe),
            Route("/authorize", self._authorize),
            Route("/token", self._exchange, methods=["POST"]),
            Route("/keys", self._list_keys),
            Route("/userinfo", self._tell_user),
        ]
        return Starlette(routes=routes)

    def rotate_key(self) -> None:
        """Sign with a new key from now on."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)})

    async def _describe(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        if self.is_broken:
            return JSONResponse(["broken"], 200)
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        document = {"issuer": self.issuer, "userinfo_endpoint": f"{self.issuer}/userinfo"}
        document |= {name: f"{self.issuer}/{path}" for name, path in names.items()}
        return JSONResponse(document | self.metadata)

    async def _authorize(self, request: Request) -> Response:
        """Sign in the person at once, as if they had typed their password."""
        query = request.query_params
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT_ID)
        assert query["scope"].split()[0] == "openid"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = dict(query)
        parameters = {"code": code, "state": query["state"], "iss": self.issuer}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(parameters)}", 302)

    async def _exchange(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if not self._knows_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        token = {"access_token": "access", "token_type": "Bearer", "id_token": self._build_token(asked["nonce"])}
        return JSONResponse(token)

    def _knows_client(self, request: Request, form: dict[str, str]) -> bool:
        if self.accepts_public_clients:
            return form.get("client_id") == CLIENT_ID
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {expected}" or (
            (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        )

    def _build_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "1", "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce}
        if self.has_email_in_token:
            claims |= {"email": self.email, "email_verified": True}
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        key = self.signing_key or self.key
        return jwt.encode({"alg": self.algorithm, "kid": key.kid}, claims, key, algorithms=[self.algorithm])

    async def _list_keys(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _tell_user(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer access"
        return JSONResponse({"sub": self.claims.get("sub", "1"), "email": self.email, "email_verified": True})


@contextlib.contextmanager
def open_provider() -> Iterator[OpenIdProvider]:
    """Serve a provider until the block ends."""
    provider = OpenIdProvider()
    listener = socket.create_server(("127.0.0.1", 0))
    provider.issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(provider.build_app(), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.should_exit = True
        thread.join(100)
        listener.close()

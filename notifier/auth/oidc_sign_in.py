"""Staff sign in at an OpenID provider: the code flow with PKCE, state and nonce. It creates nobody.

Who may sign in was created as staff before; the provider only says who somebody is, by a verified e-mail address.
"""

from dataclasses import dataclass

from sqlalchemy import select

from notifier import email_address
from notifier.auth import oidc_request
from notifier.auth.oidc_request import IdentityProvider, OidcCallback, OidcRefusedError
from notifier.auth.password_hasher import TooManySignInsError
from notifier.auth.staff_session import SignedIn, SignInOrigin
from notifier.auth.staff_sign_in import SignInRefusedError, StaffAuthenticator
from notifier.db.tables import StaffUser, get_columns

CALLBACK_PATH = "/console/oidc/callback"
_user = get_columns(StaffUser)


@dataclass(frozen=True, kw_only=True)
class OidcStart:
    """Where the browser goes to sign in, and what it keeps in a cookie until it comes back."""

    url: str
    browser_token: str


@dataclass(frozen=True, kw_only=True)
class OidcAnswer:
    """With what the browser comes back."""

    state: str
    code: str
    browser_token: str  # of the cookie
    redirect_uri: str


@dataclass(frozen=True, kw_only=True)
class OidcSignIn:
    """Signs people in by the OpenID provider of the settings."""

    provider: IdentityProvider
    provider_name: str  # as the button says it
    authenticator: StaffAuthenticator

    async def begin(self, redirect_uri: str, next_path: str) -> OidcStart:
        """Begin a sign-in. Raises `OidcProviderError`, `TooManySignInsError`."""
        clock = self.authenticator.clock
        async with self.authenticator.write_for_stranger() as connection:
            request = await oidc_request.save_oidc_request(connection, next_path, clock.now())
        if request is None:
            raise TooManySignInsError
        return OidcStart(url=await self.provider.build_url(request, redirect_uri), browser_token=request.browser_token)

    async def finish(self, answer: OidcAnswer, origin: SignInOrigin) -> tuple[SignedIn, str]:
        """Finish a sign-in; returns the session and the path that the person wanted.

        Raises `OidcRefusedError`, whose message says why, and `OidcProviderError`.
        """
        clock = self.authenticator.clock
        async with self.authenticator.write_for_stranger() as connection:
            request = await oidc_request.take_oidc_request(connection, answer.state, answer.browser_token, clock.now())
        if request is None:
            raise OidcRefusedError("This sign-in took too long, or was begun in another browser. Begin again.")
        callback = OidcCallback(
            code=answer.code,
            code_verifier=request.code_verifier,
            nonce=request.nonce,
            redirect_uri=answer.redirect_uri,
        )
        email = email_address.get_address_key(await self.provider.find_email(callback))
        async with self.authenticator.read_for_stranger() as connection:
            member_id = await connection.scalar(select(_user.id).where(_user.email == email))
        no_account = OidcRefusedError(f"{email} has no account here. Ask an admin to create it.")
        if member_id is None:
            raise no_account
        try:
            return await self.authenticator.create_session(member_id, origin), request.next_path
        except SignInRefusedError as error:  # disabled
            raise no_account from error

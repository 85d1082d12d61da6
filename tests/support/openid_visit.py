"""Goes to the OpenID provider of the tests and comes back, as a browser does."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from notifier.auth.oidc_provider import OidcProvider
from notifier.auth.oidc_sign_in import OidcAnswer, OidcSignIn
from notifier.auth.staff_session import SignedIn
from notifier.clock import SystemClock
from notifier.console_settings import ConsoleSettings
from support.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider
from support.staff_people import ORIGIN, StaffScene

REDIRECT_URI = "https://notifier.example.com/console/oidc/callback"


class LateClock(SystemClock):
    """The clock of this host, of which only the durations move forward: the provider's tokens carry real times."""

    late = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.late


def build_sign_in(people: StaffScene, provider: OpenIdProvider, **settings: Any) -> OidcSignIn:
    """Build the sign-in at a provider."""
    values = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT_ID, "oidc_client_secret": CLIENT_SECRET}
    console = ConsoleSettings(**values | settings)
    return OidcSignIn(
        provider=OidcProvider(console, people.clock), authenticator=people.authenticator, provider_name="Example"
    )


async def visit_provider(sign_in: OidcSignIn, next_path: str = "/console/mail?q=bob") -> OidcAnswer:
    """Begin a sign-in, and come back from the provider."""
    start = await sign_in.begin(REDIRECT_URI, next_path)
    async with httpx2.AsyncClient() as browser:
        reply = await browser.get(start.url)
    assert reply.status_code == 302, reply.text
    query = parse_qs(urlsplit(reply.headers["location"]).query)
    return OidcAnswer(
        state=query["state"][0], code=query["code"][0], browser_token=start.browser_token, redirect_uri=REDIRECT_URI
    )


async def finish_visit(sign_in: OidcSignIn) -> tuple[SignedIn, str]:
    """Begin a sign-in, come back, and finish it."""
    return await sign_in.finish(await visit_provider(sign_in), ORIGIN)

"""A client of the console without a browser: it sends what browsers send, or what they never would."""

import contextlib
from collections.abc import AsyncIterator

import httpx2

from notifier.runtime import wiring
from notifier.runtime.site import Site
from notifier.runtime.wiring import ProcessParts

URL = "http://127.0.0.1:8000"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
"""What a browser says of a form on a page of the console itself."""


@contextlib.asynccontextmanager
async def open_console(
    parts: ProcessParts, token: str | None = None, *, url: str = URL, site: Site | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client on these parts, signed in by the token of a session. `site`: that of the test, or a new one."""
    transport = httpx2.ASGITransport(app=site or wiring.build_site(parts), raise_app_exceptions=False)
    cookies = {"notifier-on-this-machine": token} if token is not None else {}
    async with httpx2.AsyncClient(transport=transport, base_url=url, cookies=cookies) as client:
        yield client

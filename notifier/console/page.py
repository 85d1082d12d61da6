"""Answers requests with pages, with parts of pages, and with redirects that leave a message for the next page."""

from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import jinja2
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from notifier.auth import staff_session
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.staff_session import StaffMember, StaffSession
from notifier.console import words
from notifier.console.context import get_console
from notifier.console.policy import get_nonce
from notifier.console.session_gate import SignedOutError
from notifier.console.static_files import StaticFolder
from notifier.db.timed_change import open_timed_change

_FOLDER = Path(__file__).parent
STATIC = StaticFolder(_FOLDER / "static")


async def require_member(request: Request) -> StaffSession:
    """Get the session of the person who asks. Handlers run for signed-in people only, so there is one."""
    session = find_session_of(request)
    if session is None:
        raise SignedOutError
    return session


def find_session_of(request: Request) -> StaffSession | None:
    """Find the session of the person who asks; None on pages that are open to all."""
    return getattr(request.state, "session", None)


def has_just_acted(request: Request) -> bool:
    """True if this page tells the person of a change of theirs, which it must therefore show."""
    return getattr(request.state, "flash", None) is not None


def render_page(request: Request, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render `templates/<name>.html` as a whole page."""
    return _render(request, f"{name}.html", status, values)


def render_part(request: Request, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render `templates/parts/<name>.html` alone, for a page that asks for a part of itself."""
    return _render(request, f"parts/{name}.html", status, values)


async def redirect(request: Request, url: str, *, flash: str | None = None) -> Response:
    """Answer a form that was sent: the browser loads `url`, which must be one of ours, and `flash` is shown there."""
    session = find_session_of(request)
    if flash is not None and session is not None:
        async with open_timed_change(get_console(request).database) as connection:
            await staff_session.set_flash(connection, session.id, flash)
    return RedirectResponse(url, 303)


def find_next_path(wanted: str | None) -> str:
    """Find the path to show after signing in: the wanted one if it is a page of the console."""
    if wanted and wanted.startswith("/console/") and wanted.isprintable() and "\\" not in wanted:
        return wanted
    return "/console/"


@cache
def list_time_zones() -> tuple[str, ...]:
    """List the time zones that people choose from: those of places, and UTC."""
    places = (name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return ("UTC", *sorted(places))


def _render(request: Request, file: str, status: int, values: dict[str, Any]) -> HTMLResponse:
    session = find_session_of(request)
    member = session.member if session is not None else None
    zone_name = member.time_zone if member is not None else "UTC"
    shared = {
        "member": member,
        "flash": getattr(request.state, "flash", None),
        "now": get_console(request).clock.now(),
        "zone": ZoneInfo(zone_name),
        "zone_name": zone_name,
        "nonce": get_nonce(request),
        "path": request.scope["path"],
        "search": "",
    }
    return HTMLResponse(_ENVIRONMENT.get_template(file).render(shared | values), status)


@jinja2.pass_context
def _format_time(context: Context, moment: Any, *, to_second: bool = False) -> Markup:
    return words.format_time(moment, context["zone"], context["now"], to_second=to_second)


@jinja2.pass_context
def _describe_zone(context: Context) -> str:
    return words.describe_zone(context["zone_name"], context["zone"], context["now"])


def _has_scope(member: StaffMember | None, scope: str) -> bool:
    return member is not None and member.has_scope(KeyScope(scope))


def _reveal(value: Any) -> Any:
    """Reveal hidden characters of every text that a template shows, unless it is marked as safe or `verbatim`."""
    return words.reveal_controls(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _build_environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_reveal,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "time": _format_time,
        "duration": words.describe_duration,
        "number": words.format_number,
        "address": words.format_address,
        "plural": words.choose_plural,
        "verbatim": words.keep_verbatim,
        "browser": words.describe_browser,
    }
    environment.globals |= {"static": STATIC.get_url, "describe_zone": _describe_zone, "may": _has_scope}
    return environment


_ENVIRONMENT = _build_environment()

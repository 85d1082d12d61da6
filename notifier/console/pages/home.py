"""The first page: what waits for the person who opens it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.console.page import render_page


async def show_home(request: Request) -> Response:
    """Show what waits for the person."""
    return render_page(request, "home")


routes = [Route("/", show_home)]

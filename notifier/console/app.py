"""The console as an ASGI application: its routes, its response headers, and who is let in."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from notifier.console import error_pages
from notifier.console.context import ConsoleDependencies
from notifier.console.origin import SAFE_METHODS, WrongAddressError, find_request_origin, is_from_own_page
from notifier.console.page import STATIC
from notifier.console.pages import (
    editor_preview,
    home,
    images,
    layouts,
    mail_acts,
    mail_content,
    mail_list,
    mail_page,
    me,
    oidc,
    sign_in,
    template_conflict,
    template_edit,
    template_list,
    template_page,
    template_publish,
    test_mail,
    welcome,
)
from notifier.console.policy import PageHeaders
from notifier.console.session_gate import guard_endpoint
from notifier.errors import NotFoundError
from notifier.request_path import PathCleaner
from notifier.telemetry.request_observer import RequestObserver

CONSOLE_PATH = "/console"
PAGE_ROUTES: Sequence[Route] = (
    *home.routes,
    *mail_list.routes,
    *mail_page.routes,
    *mail_content.routes,
    *mail_acts.routes,
    *me.routes,
    *sign_in.routes,
    *template_list.routes,
    *template_page.routes,
    *template_edit.routes,
    *editor_preview.routes,
    *template_conflict.routes,
    *template_publish.routes,
    *test_mail.routes,
    *layouts.routes,
    *images.routes,
)
"""Pages for signed-in people."""
OPEN_ROUTES: Sequence[Route] = (
    Route("/static/{digest}/{name:path}", STATIC.serve_file),
    *sign_in.open_routes,
    *welcome.open_routes,
    *oidc.open_routes,
)
"""What everybody may load."""


def create_console(dependencies: ConsoleDependencies, *, access_log: bool = False) -> Starlette:
    """Build the application; its caller opens and closes the dependencies."""
    guarded = [
        Route(route.path, guard_endpoint(route.endpoint), methods=list(route.methods or ()), name=route.name)
        for route in (*PAGE_ROUTES, Route("/{path:path}", _find_nothing, methods=["GET", "POST"]))
    ]
    routes = [Route(CONSOLE_PATH, _add_slash), Mount(CONSOLE_PATH, routes=[*OPEN_ROUTES, *guarded])]
    middleware = [Middleware(PageHeaders), Middleware(PathCleaner), Middleware(OriginGate)]
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=error_pages.ERROR_HANDLERS)
    app.router.redirect_slashes = False
    app.state.dependencies = dependencies
    app.middleware_stack = RequestObserver(app.build_middleware_stack(), access_log=access_log)
    return app


class OriginGate:
    """ASGI middleware that refuses what comes from another site, or to an address that is not the console's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        answer = self._app if scope["type"] != "http" else self._check(scope)
        await answer(scope, receive, send)

    def _check(self, scope: Scope) -> ASGIApp:
        headers, request = Headers(scope=scope), Request(scope)
        dependencies: ConsoleDependencies = scope["app"].state.dependencies
        try:
            request.state.origin = find_request_origin(scope["scheme"], headers, dependencies.url)
        except WrongAddressError as error:
            return error_pages.answer_wrong_address(request, error.url)
        if scope["method"] not in SAFE_METHODS and not is_from_own_page(headers, request.state.origin.origin):
            return error_pages.answer_foreign_request(request)
        return self._app


async def _find_nothing(_request: Request) -> Response:
    raise NotFoundError


async def _add_slash(_request: Request) -> Response:
    return RedirectResponse(f"{CONSOLE_PATH}/", 308)

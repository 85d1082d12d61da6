"""Gives each HTTP request an id, counts and times it, and optionally logs it.

Routes are reported by their templates, such as `/v1/notifications/{notification_id}`. Paths, queries, addresses and
user agents are never reported, because they may hold personal data and secrets.
"""

import asyncio
import time
from functools import cache

from prometheus_client import Counter, Histogram
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from notifier.telemetry import metrics, request_context
from notifier.telemetry.logging import get_logger

OTHER = "other"
"""The label of all requests that no route matches, and of unusual methods, so that callers cannot add labels."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNLOGGED_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})
_SERVER_ERROR = 500
_ENCODED_HEADER = request_context.REQUEST_ID_HEADER.lower().encode()


class RequestObserver:
    """ASGI middleware that observes each request. It stands outside of all other layers, so it sees every response."""

    def __init__(self, app: ASGIApp, *, access_log: bool = False) -> None:
        self._app = app
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller_id = next((value for name, value in scope["headers"] if name == _ENCODED_HEADER), None)
        request = request_context.begin_request(caller_id)
        scope.setdefault("state", {})["request_id"] = request.id
        exchange = _Exchange(scope, receive, send, request.id)
        metrics.HTTP_IN_FLIGHT.inc()
        try:
            await self._app(scope, exchange.receive if self._access_log else receive, exchange.send)
        except BaseException:
            exchange.count(_SERVER_ERROR)
            # Later, so that what the server logs about the exception still has the id.
            asyncio.get_running_loop().call_soon(request.end)
            raise
        else:
            request.end()
        finally:
            metrics.HTTP_IN_FLIGHT.dec()
            if self._access_log:
                exchange.log(request)


class _Exchange:
    """One request and its response, as they pass through the observer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._header = (_ENCODED_HEADER, request_id.encode())
        self._began = time.perf_counter()
        self._status: int | None = None
        self._bytes_in = self._bytes_out = 0

    async def receive(self) -> Message:
        """Receive a part of the request, and count its bytes."""
        message = await self._receive()
        self._bytes_in += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response; its head gets the id of the request."""
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), self._header]
            self.count(message["status"])
        else:
            self._bytes_out += len(message.get("body", b""))
        await self._send(message)

    def count(self, status: int) -> None:
        """Count the response when it begins, because event streams last for minutes."""
        if self._status is None:
            self._status = status
            method = self._scope["method"]
            route = _get_route_template(self._scope)
            _get_counter(method if method in _METHODS else OTHER, route, status).inc()
            _get_timer(route).observe(time.perf_counter() - self._began)

    def log(self, request: request_context.ServedRequest) -> None:
        """Write the line of the access log."""
        route = _get_route_template(self._scope)
        if route in _UNLOGGED_ROUTES:
            return
        get_logger().info(
            "request_served",
            method=self._scope["method"] if self._scope["method"] in _METHODS else OTHER,
            route=route,
            status=self._status,
            duration_ms=round((time.perf_counter() - self._began) * 1000, 1),
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            request_id=request.id,
            key_id=request.key_id,
            service_id=request.service_id,
        )


@cache
def _get_counter(method: str, route: str, status: int) -> Counter:
    """Get the counter of these labels, which `labels()` would look up under a lock."""
    return metrics.HTTP_REQUESTS.labels(method, route, status)


@cache
def _get_timer(route: str) -> Histogram:
    return metrics.HTTP_SECONDS.labels(route)


def get_request_id(request: Request) -> str:
    """Get the id that the response and the log lines of a request have in common."""
    return str(request.state.request_id)


def _get_route_template(scope: Scope) -> str:
    """Get the path of the route that the application chose."""
    route = scope.get("route")
    return OTHER if route is None else f"{scope.get('root_path', '')}{route.path_format}"

"""Converts responses and exceptions of httpx2, and describes the methods of a client."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2

from notifier.client.api_call import HttpResponse, NoResponse

M = TypeVar("M", bound=Callable[..., Any])
_NEVER_ARRIVED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_INVALID_REQUEST = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)


def convert_response(response: httpx2.Response) -> HttpResponse:
    """Convert a response of httpx2."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return HttpResponse(status=response.status_code, headers=headers, content=response.content, at=datetime.now(UTC))


def classify_failure(error: httpx2.RequestError) -> NoResponse:
    """Classify an exception: only where no connection was made is it certain that no server read the request."""
    arrived = not isinstance(error, _NEVER_ARRIVED + _INVALID_REQUEST)
    return NoResponse(error=error, may_have_arrived=arrived, is_permanent=isinstance(error, _INVALID_REQUEST))


def describe_method(method: M, build: Callable[..., Any]) -> M:
    """Give a method the docstring and the parameters of the call that it carries out."""
    method.__doc__ = build.__doc__
    signature = inspect.signature(build)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [self, *signature.parameters.values()]
    vars(method)["__signature__"] = inspect.Signature(parameters)
    return method

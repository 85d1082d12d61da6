"""Between calls and httpx2: what its responses and exceptions mean, and how a method of a client presents itself."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2

from notifier.client.api_call import HttpResponse, NoResponse

M = TypeVar("M", bound=Callable[..., Any])
_NEVER_ARRIVED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_OWN_FAULT = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)


def convert_response(response: httpx2.Response) -> HttpResponse:
    """The answer, free of the library's types."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return HttpResponse(status=response.status_code, headers=headers, content=response.content, at=datetime.now(UTC))


def classify_failure(error: httpx2.RequestError) -> NoResponse:
    """What is known when there was no answer: only where no connection was made, surely nobody read the request."""
    arrived = not isinstance(error, _NEVER_ARRIVED + _OWN_FAULT)
    return NoResponse(error=error, may_have_arrived=arrived, is_permanent=isinstance(error, _OWN_FAULT))


def presented(method: M, build: Callable[..., Any]) -> M:
    """The method under the name, words and parameters of the call that it carries out."""
    method.__name__ = build.__name__
    method.__qualname__ = build.__name__
    method.__doc__ = build.__doc__
    called = inspect.signature(build)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    own = called.replace(parameters=[self, *called.parameters.values()], return_annotation=inspect.Signature.empty)
    vars(method)["__signature__"] = own
    return method

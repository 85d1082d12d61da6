"""Between calls and httpx2: what its responses and exceptions mean, and how a method of a client presents itself."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2

from notifier.client.call import Answer, Lost

M = TypeVar("M", bound=Callable[..., Any])
_NEVER_ARRIVED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_OWN_FAULT = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)


def answer_of(response: httpx2.Response) -> Answer:
    """The answer, free of the library's types."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status_code, headers=headers, content=response.content, at=datetime.now(UTC))


def lost_by(error: httpx2.RequestError) -> Lost:
    """What is known when there was no answer: only where no connection was made, surely nobody read the request."""
    arrived = not isinstance(error, _NEVER_ARRIVED + _OWN_FAULT)
    return Lost(error=error, arrived=arrived, hopeless=isinstance(error, _OWN_FAULT))


def presented(method: M, build: Callable[..., Any]) -> M:
    """Give a method the docstring and the parameters of the call that it carries out."""
    method.__doc__ = build.__doc__
    called = inspect.signature(build)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    own = called.replace(parameters=[self, *called.parameters.values()], return_annotation=inspect.Signature.empty)
    vars(method)["__signature__"] = own
    return method

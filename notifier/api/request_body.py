"""Parses a body into a request model and collects all its faults.

Large bodies are parsed and validated in a thread, one at a time, so that other requests are answered meanwhile.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Final, TypeVar

from fastapi import Request

from notifier import strict_json
from notifier.api import schema
from notifier.api.request import json_text, json_text_if_any
from notifier.api.request_model import RequestModel

MAX_INLINE_BYTES: Final = 32 * 1024  # larger bodies are parsed in a thread, not in the event loop
MAX_PARSING_THREADS: Final = 1  # large bodies that one process parses at the same time
THREAD_NAME: Final = "large-body"
Model = TypeVar("Model", bound=RequestModel)
Result = TypeVar("Result")


async def read_model(request: Request, model: type[Model]) -> Model:
    """Read the body as a model. Raises `InvalidRequestError` with every fault, or `BadRequestError`."""
    text = await json_text(request, max_bytes=model.limits.max_bytes)
    return await parse_apart(partial(_parse, model), text)


async def read_model_if_any(request: Request, model: type[Model]) -> Model:
    """Read the body as a model; no body, and null, count as an empty object. Raises as `read_model`."""
    text = await json_text_if_any(request, max_bytes=model.limits.max_bytes)
    return await parse_apart(partial(_parse, model, null_is_empty=True), text or b"{}")


async def parse_apart(parse: Callable[[bytes], Result], text: bytes) -> Result:
    """Parse a text; a large one in a thread."""
    if len(text) <= MAX_INLINE_BYTES:
        return parse(text)
    return await asyncio.get_running_loop().run_in_executor(_threads(), parse, text)


def load(model: type[RequestModel], text: bytes) -> Any:
    """Load the JSON value of a body of this model. Raises `MalformedJsonError` or `TooManyValuesError`."""
    return strict_json.loads(text, keep_fractions=model.keep_fractions, max_values=model.limits.max_values)


def _parse(model: type[Model], text: bytes, *, null_is_empty: bool = False) -> Model:
    value = load(model, text)
    return schema.parse_strictly(model, {} if value is None and null_is_empty else value)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_PARSING_THREADS, THREAD_NAME)

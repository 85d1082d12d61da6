"""Parses a body into a request model and collects all its faults.

Large bodies are parsed and validated in a thread, one at a time, so that other requests are answered meanwhile.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import ValidationError

from notifier import strict_json
from notifier.api.body import shape_faults
from notifier.api.body.content_decoding import read_json_text, read_optional_json_text
from notifier.api.body.request_model import RequestModel, drop_unset
from notifier.errors import InvalidRequestError

MAX_INLINE_BYTES: Final = 32 * 1024  # larger bodies are parsed in a thread, not in the event loop
MAX_PARSING_THREADS: Final = 1  # large bodies that one process parses at the same time
THREAD_NAME: Final = "large-body"
Model = TypeVar("Model", bound=RequestModel)
Result = TypeVar("Result")


async def read_model(request: Request, model: type[Model]) -> Model:
    """Read the body as a model. Raises `InvalidRequestError` with every fault, or `BadRequestError`."""
    text = await read_json_text(request, max_bytes=model.limits.max_bytes)
    return await parse_in_thread(partial(_parse_model, model), text)


async def read_optional_model(request: Request, model: type[Model]) -> Model:
    """Read the body as a model; no body, and null, count as an empty object. Raises as `read_model`."""
    text = await read_optional_json_text(request, max_bytes=model.limits.max_bytes)
    return await parse_in_thread(partial(_parse_model, model, null_is_empty=True), text or b"{}")


async def parse_in_thread(parse: Callable[[bytes], Result], text: bytes) -> Result:
    """Parse a text; a large one in a thread."""
    if len(text) <= MAX_INLINE_BYTES:
        return parse(text)
    return await asyncio.get_running_loop().run_in_executor(_get_executor(), parse, text)


def load_json(model: type[RequestModel], text: bytes) -> Any:
    """Load the JSON value of a body of this model. Raises `MalformedJsonError` or `TooManyValuesError`."""
    return strict_json.parse_json(text, keep_fractions=model.keep_fractions, max_values=model.limits.max_values)


def _parse_model(model: type[Model], text: bytes, *, null_is_empty: bool = False) -> Model:
    value = load_json(model, text)
    return validate_body(model, {} if value is None and null_is_empty else value)


@cache
def _get_executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_PARSING_THREADS, THREAD_NAME)


def validate_body(model: type[Model], body: Any) -> Model:
    """Validate a body as a model. Raises `InvalidRequestError` with every fault."""
    fields = drop_unset(model, body)
    if not isinstance(fields, dict):
        raise InvalidRequestError([shape_faults.build_not_object_fault(body)])
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequestError(shape_faults.build_faults(error.errors(include_url=False), model, body)) from error


def document_body(model: type[RequestModel], *, required: bool) -> dict[str, Any]:
    """What the documentation says about a body that the route parses itself."""
    content = {"application/json": {"schema": model.model_json_schema(by_alias=True)}}
    return {"requestBody": {"description": model.limits.describe(), "required": required, "content": content}}

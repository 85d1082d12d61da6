"""Reads the forms of the console into models, and says in words what is wrong with what was typed."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

MAX_FORM_BYTES = 2 * 1024 * 1024
MAX_FIELDS = 200
MAX_FILES = 1
MAX_DIGITS = 9
TOO_LARGE, BAD_REQUEST = 413, 400
_REASONS = {
    "missing": "Enter {title}.",
    "string_too_short": "Enter {title}: at least {min_length} characters.",
    "string_too_long": "Shorten {title}: at most {max_length} characters.",
    "literal_error": "Choose {title}.",
    "enum": "Choose {title}.",
    "extra_forbidden": "This page is not up to date. Reload it, and fill it in again.",
}
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class FormErrors:
    """A form that was not filled in properly: what was typed, and what is wrong with it."""

    values: Mapping[str, Any]
    messages: Mapping[str, str] = field(default_factory=dict)  # by the name of the field


async def read_form(request: Request, model: type[Model], *, max_bytes: int = MAX_FORM_BYTES) -> Model | FormErrors:
    """Read the form of a request. An empty field counts as left out; unknown fields are refused.

    Raises `HTTPException` if the body is no form, or too large.
    """
    form = await _parse_body(request, max_bytes)
    values = _collect_values(form, model)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        messages = {str(fault["loc"][0] if fault["loc"] else ""): _word_fault(fault, model) for fault in error.errors()}
        return FormErrors(
            values={name: value for name, value in values.items() if name in model.model_fields}, messages=messages
        )


def read_number(request: Request, name: str) -> int | None:
    """Read a number of the query; None if it is not there, or no number that fits a database."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None


async def _parse_body(request: Request, max_bytes: int) -> FormData:
    headers = Headers(scope=request.scope)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    stream = _limit_stream(request, max_bytes)
    try:
        if kind == "multipart/form-data":
            parser = MultiPartParser(
                headers, stream, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=max_bytes
            )
            return await parser.parse()
        if kind == "application/x-www-form-urlencoded":
            return await FormParser(headers, stream, max_fields=MAX_FIELDS, max_part_size=max_bytes).parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise HTTPException(BAD_REQUEST, "The form could not be read.") from error
    raise HTTPException(BAD_REQUEST, "The form could not be read.")


async def _limit_stream(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > max_bytes:
            raise HTTPException(TOO_LARGE, f"This is more than the {max_bytes // 1024:,} KiB that may be sent here.")
        yield chunk


def _collect_values(form: FormData, model: type[BaseModel]) -> dict[str, Any]:
    """Collect the values by field. A field of the model that is a list takes several."""
    values: dict[str, Any] = {}
    for name in form:
        described = model.model_fields.get(name)
        parts = [_clean_value(value) for value in form.getlist(name)]
        if described is not None and get_origin(described.annotation) in {list, tuple, frozenset}:
            values[name] = parts
        elif parts[-1] != "" or (described is not None and described.annotation is str and not described.is_required()):
            values[name] = parts[-1]
    return values


def _clean_value(value: str | UploadFile) -> str | UploadFile:
    """Give a text the line ends of files, without the characters that no database stores."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode()


def _word_fault(fault: Any, model: type[BaseModel]) -> str:
    name = str(fault["loc"][0]) if fault["loc"] else ""
    described = model.model_fields.get(name)
    title = (described.title if described is not None else None) or name.replace("_", " ")
    context = {key: str(value) for key, value in fault.get("ctx", {}).items()}
    is_choice = (
        described is not None and isinstance(described.annotation, type) and issubclass(described.annotation, Enum)
    )
    reason = _REASONS.get("enum" if is_choice and fault["type"] == "missing" else fault["type"])
    if reason is not None:
        return reason.format(title=title, **context)
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")

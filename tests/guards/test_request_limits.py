"""Every part of every request has a maximum, in openapi.json and in the code; new fields are covered automatically."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from support.documented_transport import DOCUMENT

from notifier.api import request_model, request_reader
from notifier.api.app import build_bare_app
from notifier.api.request_model import RequestModel
from notifier.errors import InvalidRequestError

SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
FREE = {
    "variables": "the template says what they are; at most 256 KiB, and the values of the body are counted",
    "sample": "as variables; at most 256 KiB, and the values of the body are counted",
    "options": "checked by the action of the schedule; the values of the body are counted",
    "json_schema": "a schema of at most 32 KiB, compiled in a child process; the values of the body are counted",
    "defaults": "checked as fields of each notification; the values of the body are counted",
}
"""Objects whose content the caller chooses, each with its limit."""
RAW_BODIES = {"create_merge"}
"""Operations that take a file as the body."""
BOUNDED = {"uuid"}
"""Formats with a fixed length."""


def _bodies() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            if "requestBody" in operation:
                yield operation["operationId"], operation["requestBody"], operation["requestBody"]["content"]


def _parts(schema: dict[str, Any], place: str, seen: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and all schemas in it, each component once, with their places."""
    if "$ref" in schema:
        target = schema["$ref"].rpartition("/")[2]
        if target not in seen:
            seen.add(target)
            yield from _parts(SCHEMAS[target], target, seen)
        return
    yield place, schema
    inner = [(place, choice) for choice in schema.get("anyOf", ())]
    inner += [(f"{place}/{field}", item) for field, item in schema.get("properties", {}).items()]
    if "propertyNames" in schema:
        inner.append((f"{place}/propertyNames", {"type": "string"} | schema["propertyNames"]))
    inner += [
        (f"{place}/{keyword}", schema[keyword])
        for keyword in ("items", "additionalProperties")
        if isinstance(schema.get(keyword), dict)
    ]
    for where, item in inner:
        yield from _parts(item, where, seen)


def _is_bounded(part: dict[str, Any], name: str) -> bool:
    """True if a part has a maximum, apart from its own parts."""
    if {"anyOf", "enum", "const"} & set(part):
        return True
    others = part.get("additionalProperties", True)
    has_maximum = {
        "string": "maxLength" in part or part.get("format") in BOUNDED,
        "integer": "maximum" in part,
        "number": "maximum" in part,
        "array": "maxItems" in part,
        "object": others is False or ("maxProperties" in part and (others is not True or name in FREE)),
        "boolean": True,
        "null": True,
    }
    return has_maximum.get(part.get("type", ""), False)


def _unbounded(schema: dict[str, Any], seen: set[str]) -> list[str]:
    parts = _parts(schema, "", seen)
    return [place for place, part in parts if not _is_bounded(part, place.rpartition("/")[2])]


def test_every_part_of_every_body_has_a_maximum() -> None:
    """Each array, object, string and number has a maximum; exceptions are listed with their limit."""
    seen: set[str] = set()
    unlimited = [
        part for _, _, content in _bodies() for value in content.values() for part in _unbounded(value["schema"], seen)
    ]
    assert unlimited == []
    assert {"NotificationIn", "BatchItemIn", "AttachmentIn", "SettingsIn"} <= seen


def test_every_text_of_a_parameter_has_a_maximum() -> None:
    """Each query and header parameter has a length, a closed list, or the form of an id."""
    unlimited = [
        f"{operation['operationId']}: {parameter['name']}"
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] != "path" and _unbounded(parameter["schema"], set())
    ]
    assert unlimited == []


def _models(root: type[BaseModel]) -> Iterator[type[Any]]:
    for model in root.__subclasses__():
        yield model
        yield from _models(model)


@pytest.mark.parametrize(
    ("operation", "described", "content"), list(_bodies()), ids=lambda item: item if isinstance(item, str) else ""
)
def test_every_body_says_its_limits(operation: str, described: dict[str, Any], content: dict[str, Any]) -> None:
    """The maximum bytes and values of each body are documented, as the model has them."""
    build_bare_app()  # otherwise not all modules are imported
    if "application/json" not in content:  # a file, which the route reads itself
        assert operation in RAW_BODIES
        assert all(f"{file['schema']['maxLength']:,} bytes" in described["description"] for file in content.values())
        return
    models = {model.__name__: model for model in _models(RequestModel)}
    model = models[re.sub(r".*/", "", content["application/json"]["schema"]["$ref"])]
    assert described["description"] == model.limits.describe(), operation
    assert model.limits.max_bytes <= request_model.MAX_BODY_BYTES
    assert model.limits.max_values <= request_model.MAX_BATCH_VALUES


def test_no_model_has_as_many_fields_as_a_request_may_have_names() -> None:
    """Every field of a model fits into the maximum number of names of an object."""
    build_bare_app()
    assert max(len(model.model_fields) for model in _models(RequestModel)) * 2 < request_model.MAX_NAMES


@pytest.mark.parametrize("name", sorted(name for name in SCHEMAS if name.endswith("In")))
def test_what_is_too_long_is_one_fault(name: str) -> None:
    """An array or object over its maximum is reported as one fault, whatever its parts are."""
    build_bare_app()
    model = {model.__name__: model for model in _models(RequestModel)}[name]
    for field, described in SCHEMAS[name]["properties"].items():
        for part in [described, *described.get("anyOf", ())]:
            most = part.get("maxItems", part.get("maxProperties"))
            if most is None:
                continue
            wrong = [{}] * (most + 1) if "maxItems" in part else {str(number): [] for number in range(most + 1)}
            with pytest.raises(InvalidRequestError) as refused:
                request_reader.validate_body(model, {field: wrong})
            assert [fault.code for fault in refused.value.faults if fault.pointer.startswith(f"/{field}")] == [
                "too_many"
            ]

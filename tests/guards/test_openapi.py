"""openapi.json can be read by client generators, validators and documentation tools."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo
from support.documented_transport import DOCUMENT, build_validator

from notifier.api.app import build_bare_app
from notifier.api.batches.models import BatchIn
from notifier.api.notifications.submission_models import NotificationIn
from notifier.api.request_reader import validate_body
from notifier.errors import InvalidRequestError

ROOT = Path(__file__).parents[2]
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
VERBS = {
    "Add", "Cancel", "Change", "Check", "Compare", "Confirm", "Create", "Delete", "Disable", "Discard", "Download",
    "Enable", "Explain", "Get", "Lift", "List", "Pause", "Preview", "Publish", "Push", "Receive", "Render",
    "Replay", "Resolve", "Restore", "Resume", "Retry", "Revoke", "Rotate", "Run", "Save", "Send", "Set", "Start",
    "Stream", "Submit", "Try", "Upload",
}  # fmt: skip
ANY_TYPE = {"title", "description", "examples", "default", "enum", "const", "type", "$ref", "anyOf"}
OF_TYPE = {
    "string": {"minLength", "maxLength", "pattern", "format", "contentEncoding"},
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum"},
    "boolean": set[str](),
    "null": set[str](),
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties", "propertyNames", "minProperties", "maxProperties"},
}
LIMITS = {
    Ge: ("ge", {"minimum"}),
    Gt: ("gt", {"exclusiveMinimum"}),
    Le: ("le", {"maximum"}),
    Lt: ("lt", {"exclusiveMaximum"}),
    MinLen: ("min_length", {"minLength", "minItems", "minProperties"}),
    MaxLen: ("max_length", {"maxLength", "maxItems", "maxProperties"}),
}
"""The attribute of a limit, and the keywords that can stand for it."""


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for group in ("paths", "webhooks"):
        for path, methods in DOCUMENT[group].items():
            for operation in methods.values():
                yield path, operation


def _schemas(value: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """This schema and all schemas in it, with their places."""
    if not isinstance(value, dict):
        return
    yield place, value
    for name, inner in value.get("properties", {}).items():
        yield from _schemas(inner, f"{place}/{name}")
    for keyword in ("items", "additionalProperties", "propertyNames"):
        yield from _schemas(value.get(keyword), f"{place}/{keyword}")
    for number, inner in enumerate(value.get("anyOf", ())):
        yield from _schemas(inner, f"{place}/anyOf/{number}")


@cache
def _every_schema() -> list[tuple[str, dict[str, Any]]]:
    """Every schema of the document: components, parameters, header fields and bodies."""
    schemas = [*SCHEMAS.items()]
    schemas += [(name, header["schema"]) for name, header in DOCUMENT["components"]["headers"].items()]
    for _, operation in _operations():
        name = operation["operationId"]
        schemas += [(f"{name}?{item['name']}", item["schema"]) for item in operation.get("parameters", ())]
        for answer in [operation.get("requestBody", {}), *operation["responses"].values()]:
            schemas += [(f"{name} {kind}", content["schema"]) for kind, content in answer.get("content", {}).items()]
    return [each for name, item in schemas for each in _schemas(item, name)]


def test_summaries_are_sentences() -> None:
    """Each operation has a short, unique summary that begins with a verb and has no full stop."""
    summaries = [operation["summary"] for _, operation in _operations()]
    assert len(summaries) > 60
    assert [summary for summary in summaries if summaries.count(summary) > 1] == []
    assert [summary for summary in summaries if summary.split()[0] not in VERBS] == []
    assert [
        summary for summary in summaries if not 3 <= len(summary.split()) <= 8 and not summary.startswith("List ")
    ] == []
    assert [summary for summary in summaries if summary.endswith(".") or summary == summary.title()] == []


def test_operations_can_be_told_apart() -> None:
    """Operation ids are unique, also in languages that join words."""
    ids = [operation["operationId"].replace("_", "").lower() for _, operation in _operations()]
    assert sorted(set(ids)) == sorted(ids)


def test_events_are_not_among_the_operations() -> None:
    """No tag is used for both paths and webhooks, because OpenAPI Generator would overwrite its file."""
    tags = {
        group: {tag for value in DOCUMENT[group].values() for op in value.values() for tag in op["tags"]}
        for group in ("paths", "webhooks")
    }
    assert not tags["paths"] & tags["webhooks"]
    declared = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    assert tags["paths"] | tags["webhooks"] == set(declared)
    assert all(declared.values())


def test_schemas_can_be_told_apart() -> None:
    """Schema names differ by more than case, and do not collide with constructors or wrappers in Go clients."""
    assert len({name.lower() for name in SCHEMAS}) == len(SCHEMAS)
    made = {made for name in SCHEMAS for made in (f"New{name}", f"New{name}WithDefaults", f"Nullable{name}")}
    assert made & set(SCHEMAS) == set()


def test_servers_and_security_are_said() -> None:
    """The document names a server, and each operation says whether it needs a key."""
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]
    assert DOCUMENT["info"]["license"]["identifier"] == "MIT"
    for path, operation in _operations():
        assert operation["security"] == ([{"key": []}] if path.startswith("/v1") else []), path


def test_every_keyword_is_one_of_json_schema() -> None:
    """Each keyword is known to JSON Schema and applies to values of its schema's type."""
    strange = []
    for place, schema in _every_schema():
        known = ANY_TYPE | (OF_TYPE[schema["type"]] if "type" in schema else set())
        if place.endswith("/propertyNames"):
            known |= OF_TYPE["string"]  # names are strings and need no type
        strange += [f"{place}: {keyword}" for keyword in sorted(set(schema) - known)]
    assert strange == []
    assert len(_every_schema()) > 700


def test_no_schema_has_what_generators_lose() -> None:
    """Alternatives have no properties or type beside them, an enum has no reference, and no default is null."""
    lost = []
    for place, schema in _every_schema():
        if "anyOf" in schema and set(schema) & {"properties", "type", "$ref", "enum"}:
            lost.append(f"{place}: alternatives")
        if "$ref" in schema and set(schema) - {"$ref", "default", "description", "title"}:
            lost.append(f"{place}: a reference that something narrows")
        without_default = {key: value for key, value in schema.items() if key != "default"}
        if "default" in schema and not build_validator(without_default).is_valid(schema["default"]):
            lost.append(f"{place}: a default that is not allowed")
        if schema.get("default", ...) is None:
            lost.append(f"{place}: a default of null")
        if any(choice.get("type") == "object" and "title" not in choice for choice in schema.get("anyOf", ())):
            lost.append(f"{place}: an object in a choice, without a name")
        if schema.get("type") == "boolean" and set(schema) & {"const", "enum"}:
            lost.append(f"{place}: a boolean of one value, of which C# makes an enum that does not compile")
        if {"object", "array"} <= {choice.get("type") for choice in schema.get("anyOf", ())}:
            lost.append(f"{place}: an object or an array, of which Java makes a class that does not compile")
        if schema.get("type") == "array" and "items" not in schema:
            lost.append(f"{place}: items of nothing")
    assert lost == []


def test_parameters_are_never_null() -> None:
    """No parameter is null, because a URL or a header field cannot express it."""
    for _, operation in _operations():
        for parameter in operation.get("parameters", ()):
            assert "null" not in json.dumps(parameter["schema"]), (operation["operationId"], parameter["name"])


def test_every_body_has_a_type() -> None:
    """Each body has a schema, and JSON bodies have a named one, from which generators make a class."""
    unnamed = []
    for _, operation in _operations():
        for answer in [operation.get("requestBody", {}), *operation["responses"].values()]:
            for kind, content in answer.get("content", {}).items():
                assert "schema" in content, (operation["operationId"], kind)
                if kind.endswith("json") and "$ref" not in content["schema"]:
                    unnamed.append(operation["operationId"])
    assert unnamed == ["get_template_schema"]  # any JSON Schema


def test_the_lowest_status_has_every_answer() -> None:
    """The lowest 2xx status has every reply as an alternative, because generated clients read each 2xx with it."""
    several = []
    for _, operation in _operations():
        answers = {
            code: item.get("content", {}) for code, item in operation["responses"].items() if code.startswith("2")
        }
        first, *rest = [json.dumps(answers[code].get("application/json")) for code in sorted(answers)]
        named = [name for item in rest for name in re.findall(r"schemas/(\w+)", item)]
        alternatives = list(re.findall(r"schemas/(\w+)", first))
        if named and alternatives != named:
            several.append(operation["operationId"])
            choice = re.findall(r"schemas/(\w+)", json.dumps(SCHEMAS[alternatives[0]].get("anyOf")))
            assert set(named) < set(choice), operation["operationId"]
            assert min(choice) in named, operation["operationId"]
    assert several == ["submit_notification", "restore_template"]


def _subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _models() -> list[type[BaseModel]]:
    """Every model of the API."""
    build_bare_app()  # otherwise not all modules are imported
    return sorted(
        {subclass for subclass in _subclasses(BaseModel) if subclass.__module__.startswith("notifier.api.")},
        key=lambda subclass: (subclass.__module__, subclass.__name__),
    )


def _limits(annotation: Any, metadata: list[Any]) -> Iterator[tuple[set[str], Any]]:
    """Every limit that a field of this type has: its possible keywords and its value."""
    for constraint in metadata:
        if isinstance(constraint, FieldInfo):
            yield from _limits(None, constraint.metadata)
        if isinstance(constraint, StringConstraints):
            yield from _limits(None, [MinLen(constraint.min_length or 0)] if constraint.min_length else [])
            yield from _limits(None, [MaxLen(constraint.max_length)] if constraint.max_length is not None else [])
        if getattr(constraint, "pattern", None):
            yield {"pattern"}, constraint.pattern
        if type(constraint) in LIMITS:
            attribute, keywords = LIMITS[type(constraint)]
            yield keywords, getattr(constraint, attribute)
    if get_origin(annotation) is Annotated:
        inner, *own = get_args(annotation)
        yield from _limits(inner, own)
    else:
        for inner in get_args(annotation):
            yield from _limits(inner, [])


@pytest.mark.parametrize("model", _models(), ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_every_limit_of_a_model_is_documented(model: type[BaseModel]) -> None:
    """Each limit of a field is a keyword of its schema."""
    json_schema = model.model_json_schema(by_alias=True)
    for name, field in model.model_fields.items():
        place = json_schema["properties"][field.alias or name]
        keyword_values = {(key, str(value)) for _, schema in _schemas(place, name) for key, value in schema.items()}
        for keywords, limit in _limits(field.annotation, field.metadata):
            assert any((keyword, str(limit)) in keyword_values for keyword in keywords), (name, keywords, limit)


def _refuses_null(model: Any, body: dict[str, Any], name: str) -> bool:
    """True if the API answers 422 because this field is null."""
    try:
        validate_body(model, body)
    except InvalidRequestError as error:
        at_field = [fault for fault in error.faults if re.fullmatch(f"/{name}(/.*)?", fault.pointer)]
        return any(fault.code == "invalid_type" for fault in at_field)
    return False


@pytest.mark.parametrize("name", sorted(name for name in SCHEMAS if name.endswith("In")))
def test_null_is_documented_where_it_is_taken(name: str) -> None:
    """The schema of an optional field allows null if and only if the API accepts it."""
    models = {model.__name__: model for model in _models()}
    models |= {"BatchShownIn": BatchIn, "BatchItemIn": NotificationIn}  # how they are parsed
    json_schema = SCHEMAS[name]
    for field in set(json_schema["properties"]) - set(json_schema.get("required", ())) - {"idempotency_key"}:
        body = json_schema["examples"][0] | {field: None}
        allowed = build_validator(json_schema).is_valid(body)
        assert allowed != _refuses_null(models[name], body, field), field

"""The root of every request's shape, and what counts as not set in a request.

A field that is null is as if it were left out, because typed clients write null for what is not set; only a `PATCH`
refuses it. An empty array is taken for an empty object and the other way round, because some languages have one
empty list for both. What is the caller's own, such as variables, is never touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from annotated_types import MaxLen
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError

from notifier.api.body import body_limits
from notifier.api.body.body_limits import BodyLimits

MAX_NAMES = 100  # in one object of a request that has fields; no such object has as many

_ANNOTATION_KEYWORDS = frozenset({"title", "description", "default", "examples", "deprecated"})


@dataclass(frozen=True)
class OversizedPart:
    """Stands for an array or object that has more in it than it may have, which is then not looked at."""

    max_length: int


class RequestModel(BaseModel):
    """The body of a request, or an object in one: unknown fields are refused, and null is as if left out."""

    model_config = ConfigDict(extra="forbid", strict=True)
    null_is_unset: ClassVar[bool] = True
    limits: ClassVar[BodyLimits] = body_limits.FORM_LIMITS
    keep_fractions: ClassVar[bool] = False
    """True: a template's sample is in it, in which `2.0` says that fractions may come."""

    @model_validator(mode="before")
    @classmethod
    def _limit_parts(cls, value: Any) -> Any:
        """Refuse an object, or a list in it, that has too much in it as a whole: each part could be a fault of its own.

        The library counts only what is right, and so makes an error for everything else first.
        """
        if not isinstance(value, dict):
            return value
        if len(value) > MAX_NAMES:
            raise PydanticCustomError("too_many_names", "too many names", {"max_length": MAX_NAMES})
        for name, most in _list_part_limits(cls):
            inner = value.get(name)
            if isinstance(inner, list | dict) and len(inner) > most:
                value = {**value, name: OversizedPart(most)}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema, in which every field that may be left out may be null."""
        shown = handler(core_schema)
        described = handler.resolve_ref_schema(shown)
        if cls.null_is_unset:
            required = described.get("required", ())
            properties = described.get("properties", {})
            described["properties"] = {
                name: schema if name in required else _allow_null(schema) for name, schema in properties.items()
            }
        return shown


class PatchModel(RequestModel):
    """The body of a `PATCH`: null is refused, because it could mean "as it is" as well as "back to the default"."""

    null_is_unset: ClassVar[bool] = False


def _allow_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field whose value may also be null."""
    if {"type": "null"} in schema.get("anyOf", ()):
        return schema
    beside = {name: value for name, value in schema.items() if name in _ANNOTATION_KEYWORDS}
    described = {name: value for name, value in schema.items() if name not in _ANNOTATION_KEYWORDS}
    return {"anyOf": [described, {"type": "null"}], **beside}


@dataclass(frozen=True, kw_only=True)
class BodyShape:
    """What a request may have at one place, as far as arrays and objects are concerned."""

    is_array: bool
    fields: Mapping[str, "BodyShape | None"] = field(default_factory=dict)  # of a model, under their names in JSON
    item_shape: "BodyShape | None" = None  # of the items of an array, or of the values under the caller's own names
    null_is_unset: bool = False  # True: a name whose value is null is as if it were not there


@cache
def _list_part_limits(model: type[RequestModel]) -> list[tuple[str, int]]:
    """How many items or names each array and object of a model may have, under its name in JSON."""
    fields = [(info.alias or name, info) for name, info in model.model_fields.items()]
    limits = [(name, _get_part_limit(info.annotation, info.metadata)) for name, info in fields]
    return [(name, limit) for name, limit in limits if limit is not None]


def _get_part_limit(annotation: Any, metadata: Sequence[Any]) -> int | None:
    """The limit of an array or object of this type, which may be null; None for any other type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _get_part_limit(arguments[0], [*metadata, *arguments[1:]])
    if origin in {Union, UnionType}:
        return next(
            (limit for limit in (_get_part_limit(one, metadata) for one in arguments) if limit is not None), None
        )
    known = [inner for one in metadata for inner in (one.metadata if isinstance(one, FieldInfo) else [one])]
    return next((one.max_length for one in known if isinstance(one, MaxLen)), None) if origin in {list, dict} else None


@cache
def get_body_shape(model: type[RequestModel]) -> BodyShape:
    """What a body of this model may have."""
    fields = {info.alias or name: _get_shape(info.annotation) for name, info in model.model_fields.items()}
    return BodyShape(is_array=False, fields=fields, null_is_unset=model.null_is_unset)


def _get_shape(annotation: Any) -> BodyShape | None:
    """What a value of this type may have; None for one that is neither an array nor an object."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _get_shape(arguments[0])
    if origin in {Union, UnionType}:
        return next((place for place in map(_get_shape, arguments) if place is not None), None)
    if origin is list:
        return BodyShape(is_array=True, item_shape=_get_shape(arguments[0]))
    if origin is dict:
        return BodyShape(is_array=False, item_shape=_get_shape(arguments[1]), null_is_unset=arguments[1] is not Any)
    is_model = isinstance(annotation, type) and issubclass(annotation, RequestModel)
    return get_body_shape(annotation) if is_model else None


def find_shape(model: type[RequestModel], path: Sequence[str | int]) -> BodyShape | None:
    """What stands at a path below a body of this model."""
    place: BodyShape | None = get_body_shape(model)
    for step in path:
        if place is None:
            return None
        place = place.fields.get(str(step)) if place.fields else place.item_shape
    return place


def drop_unset(model: type[RequestModel], body: Any) -> Any:
    """The body without what counts as not set; equal to the body itself if everything in it is set."""
    return _drop_unset(get_body_shape(model), body)


def _drop_unset(place: BodyShape | None, value: Any) -> Any:
    if place is None:
        return value
    if value in ([], {}):  # not 0 or "", which are equal to neither
        return [] if place.is_array else {}
    if place.is_array and isinstance(value, list):
        return [_drop_unset(place.item_shape, item) for item in value] if place.item_shape else value
    if place.is_array or not isinstance(value, dict):
        return value
    if not place.fields and not place.null_is_unset:
        return value
    return {
        name: _drop_unset(place.fields[name] if place.fields and name in place.fields else place.item_shape, inner)
        for name, inner in value.items()
        if inner is not None or not place.null_is_unset or (place.fields and name not in place.fields)
    }

"""The base class of request models, its limits, and the rule for what counts as not set.

A null field counts as left out, because typed clients write null for it; only a `PATCH` refuses null. An empty array
counts as an empty object where an object is expected, and the reverse, because some languages have only one empty
collection. The caller's own data, such as variables, is never changed. See docs/decisions/null-is-left-out.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Final, Union, get_args, get_origin

from annotated_types import MaxLen
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError

MAX_NOTIFICATION_BYTES: Final = 512 * 1024  # of one notification's JSON, apart from its attachments
MAX_BODY_BYTES: Final = 15 * 1024 * 1024  # of any request's body: one with attachments, an image, or a batch
MAX_TEMPLATE_BYTES: Final = 2 * 1024 * 1024  # of a template's or layout's JSON, with its escapes
MAX_FORM_BYTES: Final = 64 * 1024  # of a body with short fields only
MAX_BODY_VALUES: Final = 200_000  # values and names in one body; 256 KiB of variables have at most 175,000
MAX_BATCH_VALUES: Final = 300_000  # values and names in a batch: 300 for each of a thousand notifications
MAX_FORM_VALUES: Final = 5_000  # values and names in a body with short fields only
MAX_NAMES = 100  # names in an object with fields; no model has as many fields

_ANNOTATION_KEYWORDS = frozenset({"title", "description", "default", "examples", "deprecated"})


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """The limits of a body."""

    max_bytes: int  # after decompression
    max_values: int  # as `strict_json.has_more_values` counts them

    def describe(self) -> str:
        """Describe the limits for the OpenAPI document."""
        return f"At most {self.max_bytes:,} bytes and {self.max_values:,} JSON values and names."


FORM_LIMITS: Final = BodyLimits(max_bytes=MAX_FORM_BYTES, max_values=MAX_FORM_VALUES)
VARIABLES_LIMITS: Final = BodyLimits(max_bytes=MAX_NOTIFICATION_BYTES, max_values=MAX_BODY_VALUES)
TEMPLATE_LIMITS: Final = BodyLimits(max_bytes=MAX_TEMPLATE_BYTES, max_values=MAX_BODY_VALUES)
FILES_LIMITS: Final = BodyLimits(max_bytes=MAX_BODY_BYTES, max_values=MAX_BODY_VALUES)
FOLDER_LIMITS: Final = BodyLimits(max_bytes=MAX_BODY_BYTES, max_values=MAX_BATCH_VALUES)
BATCH_LIMITS: Final = BodyLimits(max_bytes=MAX_BODY_BYTES, max_values=MAX_BATCH_VALUES)


@dataclass(frozen=True)
class OversizedPart:
    """Replaces an array or object with too many entries, so that the entries are not validated."""

    max_length: int


class RequestModel(BaseModel):
    """The body of a request, or an object in it: unknown fields are refused, and null counts as left out."""

    model_config = ConfigDict(extra="forbid", strict=True)
    null_is_unset: ClassVar[bool] = True
    limits: ClassVar[BodyLimits] = FORM_LIMITS
    keep_fractions: ClassVar[bool] = False
    """True: 2.0 is not read as 2, because in a template's sample it means that the variable can be a fraction."""

    @model_validator(mode="before")
    @classmethod
    def _limit_parts(cls, value: Any) -> Any:
        """Refuse an object, or a list in it, with too many entries as a whole.

        Pydantic counts only valid entries, so it would first build one error for each invalid entry.
        """
        if not isinstance(value, dict):
            return value
        if len(value) > MAX_NAMES:
            raise PydanticCustomError("too_many_names", "too many names", {"max_length": MAX_NAMES})
        for name, shape in get_body_shape(cls).fields.items():
            inner, max_length = value.get(name), shape.max_length if shape else None
            if max_length is not None and isinstance(inner, list | dict) and len(inner) > max_length:
                value = {**value, name: OversizedPart(max_length)}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Build the schema: every field that may be left out may be null."""
        json_schema = handler(core_schema)
        definition = handler.resolve_ref_schema(json_schema)
        if cls.null_is_unset:
            required = definition.get("required", ())
            properties = definition.get("properties", {})
            definition["properties"] = {
                name: schema if name in required else _allow_null(schema) for name, schema in properties.items()
            }
        return json_schema


class PatchModel(RequestModel):
    """The body of a `PATCH`: null is refused, because it could mean "unchanged" as well as "back to the default"."""

    null_is_unset: ClassVar[bool] = False


def _allow_null(schema: dict[str, Any]) -> dict[str, Any]:
    if {"type": "null"} in schema.get("anyOf", ()):
        return schema
    annotations = {name: value for name, value in schema.items() if name in _ANNOTATION_KEYWORDS}
    type_keywords = {name: value for name, value in schema.items() if name not in _ANNOTATION_KEYWORDS}
    return {"anyOf": [type_keywords, {"type": "null"}], **annotations}


@dataclass(frozen=True, kw_only=True)
class BodyShape:
    """The arrays and objects that a request may have at one place."""

    is_array: bool
    max_length: int | None = None  # of its entries; None: no limit
    fields: Mapping[str, "BodyShape | None"] = field(default_factory=dict)  # of a model, by their names in JSON
    item_shape: "BodyShape | None" = None  # of an array's items, or of the values under the caller's own names
    null_is_unset: bool = False  # True: a name whose value is null counts as left out


@cache
def get_body_shape(model: type[RequestModel]) -> BodyShape:
    """Get the shape of a model's body."""
    fields = {
        info.alias or name: _get_shape(info.annotation, info.metadata) for name, info in model.model_fields.items()
    }
    return BodyShape(is_array=False, fields=fields, null_is_unset=model.null_is_unset)


def _get_shape(annotation: Any, metadata: Sequence[Any] = ()) -> BodyShape | None:
    """Get the shape of a type; None for one that is neither an array nor an object."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _get_shape(arguments[0], [*metadata, *arguments[1:]])
    if origin in {Union, UnionType}:
        return next((shape for argument in arguments if (shape := _get_shape(argument, metadata))), None)
    known = [inner for entry in metadata for inner in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]
    max_length = next((entry.max_length for entry in known if isinstance(entry, MaxLen)), None)
    if origin is list:
        return BodyShape(is_array=True, max_length=max_length, item_shape=_get_shape(arguments[0]))
    if origin is dict:
        item_shape, has_types = _get_shape(arguments[1]), arguments[1] is not Any
        return BodyShape(is_array=False, max_length=max_length, item_shape=item_shape, null_is_unset=has_types)
    is_model = isinstance(annotation, type) and issubclass(annotation, RequestModel)
    return get_body_shape(annotation) if is_model else None


def find_shape(model: type[RequestModel], path: Sequence[str | int]) -> BodyShape | None:
    """Find the shape at a path in a model's body; None if there is none."""
    shape: BodyShape | None = get_body_shape(model)
    for step in path:
        if shape is None:
            return None
        shape = shape.fields.get(str(step)) if shape.fields else shape.item_shape
    return shape


def drop_unset(model: type[RequestModel], body: Any) -> Any:
    """Drop everything that counts as not set from a body."""
    return _drop_unset(get_body_shape(model), body)


def _drop_unset(shape: BodyShape | None, value: Any) -> Any:
    if shape is None:
        return value
    if value in ([], {}):  # not 0 or "", which are equal to neither
        return [] if shape.is_array else {}
    if shape.is_array and isinstance(value, list):
        return [_drop_unset(shape.item_shape, item) for item in value] if shape.item_shape else value
    if shape.is_array or not isinstance(value, dict):
        return value
    if not shape.fields and not shape.null_is_unset:
        return value
    return {
        name: _drop_unset(shape.fields[name] if shape.fields and name in shape.fields else shape.item_shape, inner)
        for name, inner in value.items()
        if inner is not None or not shape.null_is_unset or (shape.fields and name not in shape.fields)
    }

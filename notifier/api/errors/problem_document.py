"""The model of a problem document (RFC 9457), for the OpenAPI document."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from notifier.api import fields
from notifier.api.errors.problem_catalogue import PROBLEM_ENTRIES

_PROBLEM_EXAMPLE: JsonValue = {
    "type": "/problems/invalid_address",
    "title": "The request has faults",
    "status": 422,
    "code": "invalid_address",
    "detail": "/to: it has no @",
    "errors": [{"pointer": "/to", "code": "invalid_address", "detail": "it has no @"}],
    "request_id": "9f2c4e1ab07d5536",
}


class FaultOut(BaseModel):
    """A fault of the request."""

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROBLEM_EXAMPLE]})

    type: str = Field(description="The page that explains the code: `/problems/` and the code.")
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(
        description="Stable: let your program decide by it. If all faults have the same code, it is that code. One of "
        + ", ".join(f"`{code}`" for code in sorted(PROBLEM_ENTRIES))
        + "."
    )
    detail: str
    errors: list[FaultOut] = Field(description="The faults, each with a JSON pointer (RFC 6901).")
    more_errors: int = fields.describe_optional("Number of faults that are not in `errors`, which lists at most 100.")
    request_id: str = Field(description="The `X-Request-Id` of the response: the operator finds it in the logs.")
    theirs: dict[str, Any] | None = fields.describe_optional("In an edit conflict: the stored state.")
    yours: dict[str, Any] | None = fields.describe_optional("In an edit conflict: what you sent.")
    diff: list[dict[str, Any]] = fields.describe_optional(
        "The differences from theirs to yours: `file`, `change` and unified `diff`."
    )
    report: dict[str, Any] = fields.describe_optional("In `gate_closed`: which callers would break, and how.")
    results: list[dict[str, Any]] = fields.describe_optional(
        "In `newer_edits`: the templates and layouts that were refused, as a push reports them."
    )

"""The gate without a database: masks, pointers, and differences of schemas."""

import json
from typing import Any

import pytest

from notifier.template_language.variable_schema import build_schema
from notifier.templating.recent_requests import HIDDEN, build_mask
from notifier.templating.source_diff import compare_variables

MASK = build_mask(["code", "items.pin", "card"], [{"card": {"number": 1}}, {"items": [{"pin": 1, "name": ""}]}])


def masked(values: Any) -> Any:
    """The values after masking."""
    return json.loads(MASK.apply(json.dumps(values)))


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"code": "1", "name": "Ada"}, {"code": HIDDEN, "name": "Ada"}),
        ({"code": None}, {"code": HIDDEN}),
        ({"items": [{"pin": 1, "name": "a"}, {"name": "b"}]}, {"items": [{"pin": HIDDEN, "name": "a"}, {"name": "b"}]}),
        ({"card": {"number": [1, 2], "4929": "x"}}, {"card": {"number": [HIDDEN, HIDDEN]}}),
        ({"a": {"code": "1"}}, {"a": {"code": "1"}}),
    ],
    ids=["text", "null", "in a list", "unknown keys may be values", "another path"],
)
def test_secret_values_are_replaced_and_the_shape_stays(values: Any, seen: Any) -> None:
    """Secret values become one text of constant length, and the structure stays."""
    assert masked(values) == seen


@pytest.mark.parametrize(
    ("pointer", "seen"),
    [
        ("/variables/name", "/variables/name"),
        ("/variables/items/3/name", "/variables/items/*/name"),
        ("/variables/card/4929/x", "/variables/card"),
        ("/variables/items/0/pin/1", "/variables/items/*/pin"),
        ("/from", "/from"),
    ],
)
def test_a_pointer_ends_where_what_is_secret_begins(pointer: str, seen: str) -> None:
    """Pointers do not show keys of a secret object, and merge list positions."""
    assert MASK.mask_pointer(pointer) == seen


def test_two_schemas_differ_by_path() -> None:
    """Added, removed and changed paths are listed, also inside objects and lists."""
    before = build_schema({"a": "x", "order": {"id": "1", "items": [{"name": "n"}]}, "note": "n"}, ["note"])
    after = build_schema({"order": {"id": 1, "items": [{"name": "n", "price": 1.5}]}, "note": "n"})
    differences = compare_variables(before, after)
    assert [(variable.path, variable.required, variable.type) for variable in differences.added] == [
        ("order.items.price", True, "number")
    ]
    assert [variable.path for variable in differences.removed] == ["a"]
    assert [
        (variable.after.path, variable.before.type, variable.after.type, variable.after.required)
        for variable in differences.altered
    ] == [
        ("note", "string", "string", True),
        ("order.id", "string", "integer", True),
    ]

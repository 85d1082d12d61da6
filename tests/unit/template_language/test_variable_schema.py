"""The variables of a template: schema, faults and paths."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.template_language import variable_schema as variable
from notifier.template_language.value_check import find_values

SAMPLE: dict[str, Any] = {
    "name": "Ada",
    "count": 3,
    "price": 2.5,
    "vip": True,
    "anything": None,
    "free": {},
    "none_yet": [],
    "order": {"id": "A-1", "note": "gift", "lines": [{"sku": "a", "size": "M"}, {"sku": "b"}]},
    "tags": ["new"],
}
OPTIONAL = ("order.note", "vip")
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON_OBJECT = st.dictionaries(
    st.text(min_size=1),
    st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8),
    max_size=5,
)


def faults(**changes: Any) -> list[tuple[str, str]]:
    """Pointers and codes of the faults of the changed sample."""
    schema = variable.build_schema(SAMPLE, OPTIONAL)
    return [(fault.pointer, fault.code) for fault in variable.find_variable_faults(schema, {**SAMPLE, **changes})]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.text(min_size=1), SCALAR | st.dictionaries(st.text(min_size=1), SCALAR), max_size=6))
def test_a_sample_satisfies_its_own_schema(sample: dict[str, Any]) -> None:
    """The schema is valid and accepts its own sample."""
    schema = variable.build_schema(sample)
    assert jsonschema_rs.meta.is_valid(schema)
    assert variable.find_variable_faults(schema, sample) == []


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(JSON_OBJECT)
def test_any_json_object_makes_a_schema(sample: dict[str, Any]) -> None:
    """Any sample, with lists, nulls and objects at any depth, has a schema."""
    assert jsonschema_rs.meta.is_valid(variable.build_schema(sample))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"count": 3.0},
        {"price": 2},
        {"anything": [1]},
        {"free": {"any": 1}},
        {"none_yet": [1, "a"]},
        {"tags": []},
        {"order": {"id": "A-2", "lines": []}},
    ],
)
def test_values_shaped_like_the_sample_are_taken(changes: dict[str, Any]) -> None:
    """The schema fixes names and types, but not values, lengths or items of an empty list."""
    assert faults(**changes) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": 1}, [("/variables/name", "wrong_variable_type")]),
        ({"name": None}, [("/variables/name", "wrong_variable_type")]),
        ({"count": "3"}, [("/variables/count", "wrong_variable_type")]),
        ({"count": 3.5}, [("/variables/count", "wrong_variable_type")]),
        ({"count": True}, [("/variables/count", "wrong_variable_type")]),
        ({"vip": 1}, [("/variables/vip", "wrong_variable_type")]),
        ({"tags": "new"}, [("/variables/tags", "wrong_variable_type")]),
        ({"tags": ["new", 1]}, [("/variables/tags/1", "wrong_variable_type")]),
        ({"nome": "Ada"}, [("/variables/nome", "unknown_variable")]),
        ({"a/b~c": 1}, [("/variables/a~1b~0c", "unknown_variable")]),
        ({"order": {"lines": []}}, [("/variables/order/id", "missing_variable")]),
        (
            {"order": {"id": 1, "lines": [{"size": "M"}, {"sku": "b", "colour": "red"}]}},
            [
                ("/variables/order/id", "wrong_variable_type"),
                ("/variables/order/lines/0/sku", "missing_variable"),
                ("/variables/order/lines/1/colour", "unknown_variable"),
            ],
        ),
    ],
)
def test_each_fault_has_a_pointer_and_a_code(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """All faults are reported together, each with its pointer."""
    assert faults(**changes) == expected


def test_every_missing_variable_is_named() -> None:
    """Empty variables give one fault for each required variable."""
    faults = variable.find_variable_faults(variable.build_schema({"a": 1, "b": 2, "c/d": 3}, ["b"]), {})
    assert [(fault.pointer, fault.code) for fault in faults] == [
        ("/variables/a", "missing_variable"),
        ("/variables/c~1d", "missing_variable"),
    ]


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        ("x", "expected integer, but this is a string"),
        (2.5, "expected integer, but this is a number"),
        (None, "expected integer, but this is null"),
        (True, "expected integer, but this is a boolean"),
        ([1], "expected integer, but this is an array"),
        ({}, "expected integer, but this is an object"),
    ],
)
def test_a_wrong_type_says_which_is_expected_and_which_was_sent(sent: Any, detail: str) -> None:
    """The message has both types, and never the value."""
    (fault,) = variable.find_variable_faults(variable.build_schema({"a": 1}), {"a": sent})
    assert fault.detail == detail


def test_an_unknown_name_is_asked_about() -> None:
    """For an unknown name the message suggests the most similar missing name at the same place."""
    schema = variable.build_schema(
        {"name": "", "surname": "", "order": [{"total": 1}]}, ["name", "surname", "order.total"]
    )
    sent = {"nmae": 1, "surnam": 1, "surname": "", "order": [{"totl": 1}, {"zip": 1}], "n" * 65: 1}
    faults = {fault.pointer: fault.detail.partition("; ")[2] for fault in variable.find_variable_faults(schema, sent)}
    assert faults == {
        "/variables/nmae": "did you mean name?",
        "/variables/surnam": "did you mean name?",
        "/variables/order/0/totl": "did you mean total?",
        "/variables/order/1/zip": "",
        "/variables/" + "n" * 65: "",
    }


def test_only_some_unknown_names_are_asked_about() -> None:
    """The number of suggestions is limited, because a search takes time."""
    faults = variable.find_variable_faults(
        variable.build_schema({"name": ""}, ["name"]), {f"name{n}": 1 for n in range(9)}
    )
    assert sum("did you mean name?" in fault.detail for fault in faults) == variable.MAX_SUGGESTIONS


def test_values_that_are_no_object_are_one_fault() -> None:
    """A list in place of the variables is one fault."""
    (fault,) = variable.find_variable_faults(variable.build_schema({"a": 1}), [1])
    assert (fault.pointer, fault.code) == ("/variables", "wrong_variable_type")


def test_a_fault_that_is_not_about_a_type_has_words_too() -> None:
    """Faults of other schema keywords have messages, too."""
    (fault,) = variable.find_variable_faults({"properties": {"a": {"maximum": 1}}}, {"a": 2})
    assert (fault.pointer, fault.code, fault.detail) == (
        "/variables/a",
        "wrong_variable_type",
        "expected another value",
    )


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (["order", "id"], [("/order/id", "A-1")]),
        (["order", "lines", "[]", "sku"], [("/order/lines/0/sku", "a"), ("/order/lines/1/sku", "b")]),
        (["order", "lines", "[]", "size"], [("/order/lines/0/size", "M")]),
        (["order", "nothing"], []),
        (["name", "first"], []),
        (["name", "[]"], []),
        ([], [("", SAMPLE)]),
    ],
)
def test_values_are_found_by_their_path(path: list[str], values: list[tuple[str, Any]]) -> None:
    """A path finds one value, one in each item of a list, or nothing."""
    assert list(find_values(SAMPLE, path)) == values


def test_without_drops_the_optional_paths_everywhere() -> None:
    """`without` removes the optional keys, also inside items of lists."""
    sample = {"a": 1, "b": {"c": 1, "d": 2}, "list": [{"x": 1, "y": 2}, {"y": 3}, 4]}
    assert variable.remove_optional(sample, ["a", "b.c", "list.y", "nothing.at.all"]) == {
        "b": {"d": 2},
        "list": [{"x": 1}, {}, 4],
    }
    assert sample["a"] == 1


def test_the_shortest_request_satisfies_the_schema() -> None:
    """The schema accepts the result of `without`."""
    assert (
        variable.find_variable_faults(
            variable.build_schema(SAMPLE, OPTIONAL), variable.remove_optional(SAMPLE, OPTIONAL)
        )
        == []
    )

"""What counts as not set, for the model of every request there is; and that no fault speaks the library's language."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from support.documented_transport import DOCUMENT, build_validator

from notifier.api import app, request_reader
from notifier.api.batches.models import BatchItemIn, BatchShownIn
from notifier.api.notifications import submission_models
from notifier.api.notifications.submission_models import NotificationIn, NotificationPatchIn
from notifier.api.request_model import PatchModel, RequestModel, drop_unset
from notifier.errors import Fault, InvalidRequestError

app.build_bare_app()  # every model there is, whatever else this process has imported


def _models(root: type[RequestModel] = RequestModel) -> Iterator[type[RequestModel]]:
    for model in root.__subclasses__():
        yield model
        yield from _models(model)


MODELS = {model.__name__: model for model in _models() if model.model_fields}
SHOWN = {name: model for name, model in MODELS.items() if name in DOCUMENT["components"]["schemas"]}
"""Those that the document has, each with an example."""
FIELDS = [
    (name, info.alias or field, info.is_required())
    for name, model in SHOWN.items()
    for field, info in model.model_fields.items()
]
OPTIONAL = [(name, field) for name, field, required in FIELDS if not required]
REQUIRED = [(name, field) for name, field, required in FIELDS if required]
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e300, 2**63, "", "x", "é", "x" * 5000, "2026-02-30T12:00:00Z", "2026-01-01",
    [], [None], [[]], [1], ["x"], ["x"] * 2000, [{}], [{"x": 1}], [True],
    {}, {"": 1}, {"x": None}, {"x": {}}, {"x" * 100: "x" * 1000}, {"[key]": 1}, {"subject": 1}, {"name": []},
]  # fmt: skip
_ALIEN = re.compile(
    r"Input should|valid (string|dict|list|integer|boolean|datetime|enum|number)|Extra inputs|Field required|"
    r"should have|Value error|pydantic|greater than|less than|\bdict\b|\bNone\b|\bTrue\b|\bFalse\b|\bint\b|\bstr\b|"
    r"\bbool\b|\btuple\b|\[key\]|_type|instance of"
)
"""Words of Python, or of the library."""


def _example(name: str) -> Any:
    return deepcopy(DOCUMENT["components"]["schemas"][name]["examples"][0])


def _faults(model: type[RequestModel], body: Any) -> list[Fault]:
    if model is NotificationIn:
        return submission_models.parse_notification(drop_unset(model, body), body)[1]
    try:
        request_reader.validate_body(model, body)
    except InvalidRequestError as error:
        return list(error.faults)
    return []


def test_every_body_of_the_document_is_such_a_model() -> None:
    """A route with a body of another kind of model would have rules of its own."""
    bodies = {
        content["schema"]["$ref"].rpartition("/")[2]
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if content["schema"].get("format") != "binary"  # a file
    }
    assert len(bodies) > 15
    assert bodies <= set(MODELS)
    parts = {name for name in DOCUMENT["components"]["schemas"] if name.endswith("In")}
    assert parts <= set(MODELS)


@pytest.mark.parametrize(("name", "field"), OPTIONAL)
def test_null_is_as_if_left_out(name: str, field: str) -> None:
    """Of each optional field of each request, in the document as well; a `PATCH` refuses it with a sentence."""
    model, body = SHOWN[name], _example(name)
    left_out = {key: value for key, value in body.items() if key != field}
    described = build_validator({"$ref": f"#/components/schemas/{name}"})
    if issubclass(model, PatchModel):
        fault = _faults(model, body | {field: None})[0]
        assert (fault.pointer, fault.code) == (f"/{field}", "invalid_type")
        assert "leave the field out" in fault.detail
        assert not described.is_valid(body | {field: None})
        return
    assert drop_unset(model, body | {field: None}) == drop_unset(model, left_out)
    assert _faults(model, body | {field: None}) == _faults(model, left_out)
    assert described.is_valid(body | {field: None}) == described.is_valid(left_out)


@pytest.mark.parametrize(("name", "field"), REQUIRED)
def test_null_for_what_is_needed_is_missing(name: str, field: str) -> None:
    """The sentence says that null counts as left out."""
    if SHOWN[name] in {BatchItemIn, BatchShownIn}:
        return  # read as single notifications; `BatchIn` stands for the other
    fault = next(item for item in _faults(SHOWN[name], _example(name) | {field: None}) if item.pointer == f"/{field}")
    assert fault.code == "missing_field"
    assert "null counts as left out" in fault.detail


@pytest.mark.parametrize("name", MODELS)
def test_no_fault_speaks_the_language_of_the_library(name: str) -> None:
    """Odd values for the whole and for each field: each pointer leads into the body, each sentence is our own."""
    model = MODELS[name]
    fields = [info.alias or field for field, info in model.model_fields.items()]
    base = _example(name) if name in SHOWN else {}
    bodies = [*ODD, *({**base, field: value} for field in [*fields, "tempalte", "a/b~c"] for value in ODD)]
    seen = 0
    for body in bodies:
        for fault in _faults(model, body):
            seen += 1
            assert not _ALIEN.search(fault.detail), (body, fault)
            _assert_leads_into(body, fault)
    assert seen > len(ODD)


def _assert_leads_into(body: Any, fault: Fault) -> None:
    """What a pointer names is there, or its last step is missing."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in fault.pointer.split("/")[1:]]
    place = body
    for step in steps[:-1]:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if steps and fault.code != "missing_field":
        assert steps[-1] in place if isinstance(place, dict) else int(steps[-1]) < len(place), (body, fault)


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ([], "/to", "this field is needed"),
        (None, "", "expected an object {}, but this is null"),
        (["a"], "", "expected an object {}, but this is an array []"),
        ({"tempalte": "welcome"}, "/tempalte", "there is no such field; did you mean template?"),
        ({"replyTo": "a@x.org"}, "/replyTo", "there is no such field; did you mean reply_to?"),
        ({"Subject": "x"}, "/Subject", "there is no such field"),
        ({"content": {"subjet": "x"}}, "/content/subjet", "there is no such field; did you mean subject?"),
        ({"attachments": [{"file_name": "x"}]}, "/attachments/0/file_name", "there is no such field; did you mean"),
        ({"metadata": ["a"]}, "/metadata", "expected an object {}, but this is an array []"),
        ({"headers": "X: y"}, "/headers", "expected an object {}, but this is a string"),
        ({"tags": "a"}, "/tags", "expected an array [], but this is a string"),
        ({"tags": {"0": "a"}}, "/tags", "expected an array [], but this is an object {}"),
        ({"tags": [None]}, "/tags/0", "expected a string, but this is null"),
        ({"tags": [""]}, "/tags/0", "at least 1 character(s)"),
        ({"to": 7}, "/to", "expected a string, but this is a number"),
        ({"to": True}, "/to", "expected a string, but this is true"),
        ({"template_version": "1"}, "/template_version", "expected a whole number, but this is a string"),
        ({"template_version": 1.5}, "/template_version", "expected a whole number, but this is a number"),
        ({"template_version": 0}, "/template_version", "at least 1"),
        ({"priority": "urgent"}, "/priority", 'expected "high", "normal" or "bulk"'),
        ({"send_at": 1_900_000_000}, "/send_at", "a time is a string, such as 2026-01-31T12:00:00Z (RFC 3339)"),
        ({"send_at": "noon"}, "/send_at", "a time is a string, such as 2026-01-31T12:00:00Z (RFC 3339)"),
        ({"metadata": {"x" * 65: "y"}}, "/metadata/" + "x" * 65, "the name: at most 64 characters"),
        ({"metadata": {"[key]": 1}}, "/metadata/[key]", "expected a string, but this is a number"),
    ],
)
def test_faults_are_told_in_the_words_of_json(body: Any, pointer: str, detail: str) -> None:
    """What was expected and what it is, or which field was meant."""
    details = {fault.pointer: fault.detail for fault in _faults(NotificationIn, body)}
    assert details[pointer].startswith(detail)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"headers": [], "metadata": [], "content": []}, {"headers": {}, "metadata": {}, "content": {}}),
        ({"tags": {}, "cc": {}, "attachments": {}}, {"tags": [], "cc": [], "attachments": []}),
        ({"variables": []}, {"variables": {}}),
        ({"variables": {"a": None, "b": [], "c": {}}}, {"variables": {"a": None, "b": [], "c": {}}}),
        ({"headers": {"X-A": None, "X-B": "b"}}, {"headers": {"X-B": "b"}}),
        ({"metadata": {"a": None}}, {"metadata": {}}),
        ({"content": {"subject": "x", "html": None}}, {"content": {"subject": "x"}}),
        ({"attachments": [{"filename": "a", "content_id": None}]}, {"attachments": [{"filename": "a"}]}),
        ({"attachments": [None, []]}, {"attachments": [None, {}]}),
        ({"tags": [None]}, {"tags": [None]}),
        ({"tempalte": None}, {"tempalte": None}),
        ({"to": 0, "tags": [], "locale": ""}, {"to": 0, "tags": [], "locale": ""}),
    ],
)
def test_what_counts_as_not_set(body: Any, expected: Any) -> None:
    """Null fields and entries go, empty lists become what is expected, and the caller's own values stay."""
    before = json.dumps(body)
    assert drop_unset(NotificationIn, body) == expected
    assert json.dumps(body) == before


def test_a_patch_takes_an_empty_list_for_no_variables() -> None:
    """It says something, as an empty object does; null says nothing and is refused."""
    assert drop_unset(NotificationPatchIn, {"variables": [], "send_at": None}) == {"variables": {}, "send_at": None}

"""The reply classes of the client are those of openapi.json, field by field."""

import dataclasses
import inspect
import json
import types
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import notifier.client
from notifier.client import account, key_calls
from notifier.client.api_call import Reply
from notifier.client.errors import Fault

SCHEMAS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())["components"]["schemas"]
READ_FROM: dict[str, tuple[str, ...]] = {
    "AcceptedResult": ("BatchAcceptedOut",),
    "Answer": ("AnswerOut",),
    "ApiKey": ("KeyOut", "OwnKeyOut"),
    "Asset": ("AssetOut",),
    "Attempt": ("AttemptOut",),
    "AuditEntry": ("AuditEntryOut",),
    "Batch": ("BatchProgressOut", "BatchCancelledOut"),
    "BatchError": ("ErrorOut",),
    "BegunJob": ("JobDetailOut",),
    "Caller": ("WhoamiOut",),
    "ColumnStatistics": ("ColumnStatisticsOut",),
    "Content": ("ContentOut",),
    "Copy": ("CopyOut",),
    "DraftFault": ("DraftFaultOut",),
    "DryRun": ("DryRunOut",),
    "EndedSessions": ("EndedSessionsOut",),
    "Event": ("HappenedOut",),
    "Explanation": ("ExplanationOut",),
    "Fault": ("FaultOut",),
    "FaultyRow": ("FaultyRowOut",),
    "Feed": ("FeedOut",),
    "FeedRevision": ("FeedRevisionOut",),
    "File": ("FileOut",),
    "FileDifference": ("FileDifferenceOut",),
    "GateReport": ("GateOut",),
    "Job": ("JobOut", "JobDetailOut"),
    "JobLogLine": ("JobLogLineOut",),
    "Layout": ("LayoutLineOut", "LayoutOut"),
    "Limits": ("LimitsOut",),
    "Merge": ("MergeOut",),
    "MergeColumn": ("MergeColumnOut",),
    "MergeFault": ("MergeFaultOut",),
    "MergeStart": ("MergeStartOut",),
    "MergeSummary": ("MergeSummaryOut",),
    "NewApiKey": ("CreatedKeyOut", "RotatedOut"),
    "NewPerson": ("CreatedStaffOut",),
    "Notification": ("NotificationOut", "NotificationWithAttemptsOut"),
    "OneTimeLink": ("LinkOut",),
    "PeriodFigures": ("FiguresOut",),
    "Person": ("StaffOut",),
    "PersonSession": ("StaffSessionOut",),
    "PublishedVersion": ("PublishedOut",),
    "PushResult": ("PushResultOut",),
    "Pushed": ("PushedOut",),
    "RefusedResult": ("BatchRefusedOut",),
    "Remark": ("RemarkOut",),
    "RenderedSource": ("RenderOut",),
    "Replayed": ("ReplayedOut",),
    "SavedDraft": ("SavedOut",),
    "SavedSchedule": ("SavedScheduleOut",),
    "Schedule": ("ScheduleOut",),
    "Service": ("ServiceOut",),
    "Statistics": ("StatisticsOut",),
    "Submitted": ("AcceptedOut",),
    "SubmittedBatch": ("BatchOut",),
    "SubmittedRows": ("SubmittedRowsOut",),
    "Suppression": ("SuppressionOut",),
    "Team": ("TeamOut",),
    "Template": ("TemplateOut",),
    "TemplateCaller": ("CallerOut",),
    "TemplateDifference": ("DiffOut",),
    "TemplateDraft": ("DraftOut",),
    "TemplateFiles": ("StoredFilesOut",),
    "TemplatePreview": ("PreviewOut",),
    "TemplateSource": ("SourceOut",),
    "TemplateState": ("CurrentOut",),
    "TemplateVersion": ("VersionOut",),
    "UnconfirmedDocument": ("UnconfirmedOut",),
    "VariableDifference": ("VariableDifferenceOut",),
    "WaitReason": ("CauseOut",),
    "WebhookAttempt": ("WebhookAttemptOut",),
    "WebhookDelivery": ("DeliveryOut", "DeliveryDetailOut"),
    "WebhookEndpoint": ("EndpointOut", "EndpointWithSecretOut"),
    "WholeFeedRevision": ("FeedRevisionDetailOut",),
    "WholeTemplateVersion": ("WholeVersionOut",),
}
"""The schemas that each class is read from."""
NOT_A_FIELD = {
    ("DryRun", "dry_run"): "it is true in every reply of this kind",
}
FROM_A_HEADER = {("BegunJob", "replayed"), ("Submitted", "replayed")}
PLAIN = {"string": str, "integer": int, "boolean": bool, "number": float, "null": type(None)}


def _reply_classes() -> dict[str, type[Any]]:
    modules = (notifier.client, account, key_calls)
    classes = {name: kind for module in modules for name, kind in inspect.getmembers(module, inspect.isclass)}
    replies = {name: kind for name, kind in classes.items() if issubclass(kind, Reply) and kind is not Reply}
    return replies | {"Fault": Fault}


CLASSES = _reply_classes()


def _fits(hint: Any, schema: Mapping[str, Any]) -> bool:
    """True if the client accepts each value of the schema for that type."""
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return all(any(_takes(kind, option) for kind in kinds) for option in _options(schema))


def _options(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The alternatives of a schema; objects with their own fields stay references."""
    target = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if "anyOf" in target:
        for option in target["anyOf"]:
            yield from _options(option)
    else:
        yield schema if "properties" in target else target


def _takes(kind: Any, option: Mapping[str, Any]) -> bool:
    if "$ref" in option:
        name = option["$ref"].rpartition("/")[2]
        return get_origin(kind) is Mapping or name in READ_FROM.get(getattr(kind, "__name__", ""), ())
    if "type" not in option:  # any JSON, because a choice would not compile in Java: the class knows more
        return True
    if option["type"] == "array":
        return get_origin(kind) is tuple and _fits(get_args(kind)[0], option["items"])
    if option["type"] == "object":
        return get_origin(kind) is Mapping
    return kind is (datetime if option.get("format") == "date-time" else PLAIN[option["type"]])


def _faults(kind: type[Any], schema_name: str) -> Iterator[str]:
    """The differences between a class and a schema that it is read from."""
    properties, required = SCHEMAS[schema_name]["properties"], set(SCHEMAS[schema_name]["required"])
    hints = get_type_hints(kind)
    fields = {field.name.rstrip("_"): field for field in dataclasses.fields(kind) if field.name != "raw"}
    for name, schema in properties.items():
        if name not in fields:
            if (kind.__name__, name) not in NOT_A_FIELD:
                yield f"{kind.__name__} lacks {name} of {schema_name}"
        elif not _fits(hints[fields[name].name], schema):
            yield f"{kind.__name__}.{name} is not of the type in {schema_name}"
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in required:
            yield f"{kind.__name__} needs {name}, which {schema_name} may lack"


def test_every_reply_class_is_compared() -> None:
    """Every reply class is listed above with its schema."""
    assert set(CLASSES) == set(READ_FROM)


@pytest.mark.parametrize("name", READ_FROM)
def test_a_reply_class_has_the_fields_of_its_schemas(name: str) -> None:
    """Each property is a field of a matching type, and each required field is in every schema."""
    kind = CLASSES[name]
    assert [fault for schema in READ_FROM[name] for fault in _faults(kind, schema)] == []


@pytest.mark.parametrize("name", READ_FROM)
def test_each_field_comes_from_a_schema(name: str) -> None:
    """Every field of a class is sent by the API."""
    sent = {field for schema in READ_FROM[name] for field in SCHEMAS[schema]["properties"]}
    fields = {field.name.rstrip("_") for field in dataclasses.fields(CLASSES[name])} - {"raw"}
    assert {field for field in fields - sent if (name, field) not in FROM_A_HEADER} == set()


def test_a_difference_is_found() -> None:
    """The comparison reports a missing field, a wrong type, and a field that may be absent."""

    @dataclasses.dataclass
    class Wrong:
        """Read from AcceptedOut, which has `id`, `status` and `created_at`."""

        id: int
        status: str
        size: int

    assert sorted(_faults(Wrong, "AcceptedOut")) == [
        "Wrong lacks created_at of AcceptedOut",
        "Wrong needs size, which AcceptedOut may lack",
        "Wrong.id is not of the type in AcceptedOut",
    ]

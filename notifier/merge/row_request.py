"""Turn a row of a spreadsheet into the request of its notification, and its faults into the words of the file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from notifier.errors import Fault, escape_pointer
from notifier.merge.merge_view import MergeView
from notifier.spreadsheet.heading_match import match_headings
from notifier.spreadsheet.sheet_row import SheetRow, SpreadsheetError
from notifier.strict_json import MalformedJsonError, parse_json, parse_number
from notifier.submission.new_notification import NotificationRequest

RECIPIENT = "to"
COPY_FIELDS = ("cc", "bcc")
"""A cell of these has any number of addresses."""
REQUEST_FIELDS = (RECIPIENT, *COPY_FIELDS, "locale", "reply_to")
"""Fields of the request that a column can fill, beside variables."""
VARIABLE_PREFIX = "variables."
"""Comes before the name of a variable that is called as a field of the request."""
MAX_SHOWN_CELL = 200
"""Characters of a cell that its fault repeats."""
MAX_NUMBER_LENGTH = 30
"""Characters of a number."""
MAX_SENTENCES = 5
"""Sentences in one explanation."""
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3},[0-9]{3}")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_ADDRESSES = "addresses"  # the kind of a copy field
_ADDRESS_SEPARATOR = re.compile("[;,]")
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
Path = tuple[str, ...]


class _CellError(ValueError):
    """The text of a cell is not what its field takes."""


@dataclass(frozen=True, kw_only=True)
class MergeField:
    """A field that a column can fill."""

    name: str  # as headings and `map` name it
    path: Path  # in the request
    kind: str | None = None  # JSON type of a variable, or `addresses`; None: any
    is_required: bool = False


@dataclass(frozen=True, kw_only=True)
class _Column:
    heading: str
    field: MergeField


@dataclass(frozen=True, kw_only=True)
class RowMapping:
    """Which column fills which field of the requests of a merge."""

    template: str
    template_version: int
    columns: Mapping[int, _Column]  # by index of the heading
    headings: Sequence[str]
    objects: Sequence[Path]  # objects of the variables that are there even if all their cells are empty
    problems: Sequence[str] = field(default_factory=tuple)  # sentences about headings that fill nothing

    @cached_property
    def _copy_columns(self) -> list[int]:
        return [index for index, column in self.columns.items() if column.field.kind == _ADDRESSES]

    def count_fitting_rows(self, rows: Sequence[SheetRow], most: int) -> int:
        """Count the first rows that have at most so many mails together, copies too; the first one always fits."""
        mails = 0
        for number, row in enumerate(rows):
            mails += 1 + sum(len(_split_addresses(row.cells[index])) for index in self._copy_columns)
            if mails > most:
                return max(number, 1)
        return len(rows)

    def build_request(self, row: SheetRow, merge_id: UUID) -> tuple[NotificationRequest, list[Fault]]:
        """Build the request of a row, and the faults of cells that could not be read. Empty cells are left out."""
        values: dict[str, Any] = {"variables": {}}
        faults: list[Fault] = []
        for path in self.objects:
            _set_value(values, path, {})
        for index, column in self.columns.items():
            cell = row.cells[index]
            if not cell:
                continue
            try:
                _set_value(values, column.field.path, _parse_cell(cell, column.field.kind))
            except _CellError as error:
                faults.append(Fault(_build_pointer(column.field.path), "wrong_variable_type", str(error)))
        request = NotificationRequest(
            to=values.get(RECIPIENT),
            cc=values.get("cc", ()),
            bcc=values.get("bcc", ()),
            template=self.template,
            template_version=self.template_version,
            variables=values["variables"],
            locale=values.get("locale"),
            reply_to=values.get("reply_to"),
            metadata={"merge": str(merge_id), "merge_row": str(row.number)},
        )
        if request.to is None:
            faults.append(Fault("/to", "missing_field", "it is empty: write the e-mail address of the recipient"))
        return request, faults

    def describe_faults(self, row: SheetRow, faults: Sequence[Fault]) -> list[dict[str, Any]]:
        """Describe faults by column and cell; a fault is left out if its cell has one already."""
        described: dict[Any, dict[str, Any]] = {}
        for fault in faults:
            index = self._find_column(fault.pointer)
            if index is None:
                described.setdefault(fault.pointer, _build_fault(None, None, fault.code, fault.detail))
                continue
            cell = row.cells[index]
            detail = self._name_address(fault, index, cell)
            if not cell and fault.code == "missing_variable":
                detail = "it is empty, and the template needs a value"
            described.setdefault(index, _build_fault(self.headings[index], cell, fault.code, detail))
        return list(described.values())

    def _name_address(self, fault: Fault, index: int, cell: str) -> str:
        """Say which address of a cell with several has the fault."""
        position = fault.pointer.rpartition("/")[2]
        if index not in self._copy_columns or not position.isdecimal():
            return fault.detail
        return f"{_split_addresses(cell)[int(position)][:MAX_SHOWN_CELL]}: {fault.detail}"

    def _find_column(self, pointer: str) -> int | None:
        """Find the column that fills the value at the pointer, or a part of it."""
        path = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
        for index, column in self.columns.items():
            filled = column.field.path
            if filled == path[: len(filled)] or (path and path == filled[: len(path)]):
                return index
        return None


def list_fields(schema: Mapping[str, Any]) -> list[MergeField]:
    """List the fields of a template with this schema of variables, the recipient first."""
    own = [
        MergeField(
            name=name,
            path=(name,),
            kind=_ADDRESSES if name in COPY_FIELDS else None,
            is_required=name == RECIPIENT,
        )
        for name in REQUEST_FIELDS
    ]
    return [*own, *_list_variables(schema, ("variables",), is_required=True)]


def _list_variables(schema: Mapping[str, Any], path: Path, *, is_required: bool) -> Iterator[MergeField]:
    required = set(schema.get("required", ()))
    for name, inner in schema.get("properties", {}).items():
        is_needed = is_required and name in required
        if inner.get("properties"):
            yield from _list_variables(inner, (*path, name), is_required=is_needed)
        else:
            kind = inner.get("type")
            yield MergeField(
                name=_name_variable((*path, name)[1:]),
                path=(*path, name),
                kind=kind if isinstance(kind, str) else None,
                is_required=is_needed,
            )


def _name_variable(path: Path) -> str:
    name = ".".join(path)
    return f"{VARIABLE_PREFIX}{name}" if name in REQUEST_FIELDS else name


def build_mapping(headings: Sequence[str], schema: Mapping[str, Any], merge: MergeView) -> RowMapping:
    """Match the headings of a file to the fields of its template. Raises `SpreadsheetError` if one cannot be filled."""
    fields = {item.name: item for item in list_fields(schema)}
    match = match_headings(headings, list(fields), merge.overrides)
    if match.override_faults:
        raise SpreadsheetError(" ".join(match.override_faults[:MAX_SENTENCES]))
    if missing := [name for name in match.missing if fields[name].is_required]:
        raise SpreadsheetError(_explain_missing(missing, match.ambiguities))
    unused = [f"The column “{heading}” is not used." for heading in match.unmatched]
    return RowMapping(
        template=merge.template,
        template_version=merge.template_version,
        columns={index: _Column(heading=headings[index], field=fields[name]) for index, name in match.fields.items()},
        headings=headings,
        objects=list(_list_objects(schema, ("variables",))),
        problems=[*match.ambiguities, *unused],
    )


def _explain_missing(missing: Sequence[str], ambiguities: Sequence[str]) -> str:
    names = ", ".join(f"“{name}”" if name != RECIPIENT else "“to” (the e-mail address)" for name in missing[:10])
    advice = "Write it above a column, or map a column to it, as in map=Heading:field"
    return " ".join([f"No column is called {names}, which each mail needs. {advice}.", *ambiguities[:MAX_SENTENCES]])


def _list_objects(schema: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """List the objects that every request must have."""
    for name in schema.get("required", ()):
        inner = schema.get("properties", {}).get(name, {})
        if inner.get("type") == "object":
            yield (*path, name)
            yield from _list_objects(inner, (*path, name))


def _set_value(values: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _build_pointer(path: Path) -> str:
    return "".join(f"/{escape_pointer(name)}" for name in path)


def _build_fault(column: str | None, cell: str | None, code: str, detail: str) -> dict[str, Any]:
    shown = cell if cell is None or len(cell) <= MAX_SHOWN_CELL else f"{cell[:MAX_SHOWN_CELL]}…"
    return {"column": column, "cell": shown, "code": code, "detail": detail}


def _parse_cell(cell: str, kind: str | None) -> Any:
    """Parse the text of a cell as the JSON type of its variable. Raises `_CellError`."""
    match kind:
        case "integer" | "number":
            return _parse_number_cell(cell, kind)
        case "addresses":
            return _split_addresses(cell)
        case "boolean":
            word = cell.casefold()
            if word not in _TRUE | _FALSE:
                raise _CellError("it is neither true nor false: write true or false")
            return word in _TRUE
        case "array" | "object":
            return _parse_json_cell(cell, kind)
        case _:
            return cell


def _split_addresses(cell: str) -> list[str]:
    return [address for text in _ADDRESS_SEPARATOR.split(cell) if (address := text.strip())]


def _parse_number_cell(cell: str, kind: str) -> int | float:
    if _THOUSANDS.fullmatch(cell):
        dotted, plain = cell.replace(",", "."), cell.replace(",", "")
        raise _CellError(f"the comma can be read in two ways: write {plain} or {dotted}")
    if len(cell) > MAX_NUMBER_LENGTH or not _NUMBER.fullmatch(cell):
        raise _CellError("it is no number: write digits only, such as 1234.50, without currency or thousands separator")
    if kind == "integer" and not _WHOLE.fullmatch(cell):
        raise _CellError("it is no whole number: write digits only, such as 12")
    return parse_number(cell.replace(",", "."))


def _parse_json_cell(cell: str, kind: str) -> Any:
    try:
        value = parse_json(cell.encode())
    except (MalformedJsonError, RecursionError):
        value = None
    if not isinstance(value, list if kind == "array" else dict):
        example = '["red", "blue"]' if kind == "array" else '{"size": "M"}'
        raise _CellError(f"the template needs a JSON {kind} here, such as {example}")
    return value

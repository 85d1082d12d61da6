"""Passes many rows as one JSON parameter, so that a statement is prepared once and costs one round trip."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from notifier.db.column_types import format_sqlite_time

_encode = msgspec.json.Encoder(uuid_format="hex").encode


def build_rows_source(types: Mapping[str, str], *, sqlite: bool) -> str:
    """Build the WITH clause that reads the rows `r` from the parameter `:rows`. `types`: column → PostgreSQL type."""
    if sqlite:
        values = ", ".join(f"value ->> '{name}' AS {name}" for name in types)
        return f"WITH r AS (SELECT {values} FROM json_each(:rows))"  # noqa: S608 - the names are our own columns
    names = ", ".join(map(" ".join, types.items()))
    return f"WITH r AS MATERIALIZED (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r({names}))"  # noqa: S608


def build_id_condition(column: str, *, sqlite: bool) -> str:
    """Build the condition that a column equals the `id` of a row, so that PostgreSQL always uses an index."""
    return f"{column} = r.id" if sqlite else f"{column} = r.id AND {column} = ANY(ARRAY(SELECT r.id FROM r))"  # noqa: S608


def encode_rows(rows: Sequence[Mapping[str, Any]], *, sqlite: bool) -> str:
    """Encode the value of `:rows`. Bytes become base64, which only PostgreSQL can decode."""
    if sqlite:
        rows = [{name: _sqlite_value(value) for name, value in row.items()} for row in rows]
    return _encode(rows).decode()


def _sqlite_value(value: Any) -> Any:
    return format_sqlite_time(value) if isinstance(value, datetime) else value

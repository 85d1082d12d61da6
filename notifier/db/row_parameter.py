"""Many rows as one parameter: a statement that is prepared once, whatever their number, and costs one round trip."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from notifier.db.column_types import format_sqlite_time

_encode = msgspec.json.Encoder(uuid_format="hex").encode


def build_rows_source(types: Mapping[str, str], *, sqlite: bool) -> str:
    """The beginning of a statement whose rows, under the name `r`, are in the parameter `:rows`; PostgreSQL's types."""
    if sqlite:
        values = ", ".join(f"value ->> '{name}' AS {name}" for name in types)
        return f"WITH r AS (SELECT {values} FROM json_each(:rows))"
    names = ", ".join(map(" ".join, types.items()))
    return f"WITH r AS MATERIALIZED (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r({names}))"


def build_id_condition(column: str, *, sqlite: bool) -> str:
    """The condition that a column is the `id` of one of the rows, in words that PostgreSQL always uses an index for."""
    return f"{column} = r.id" if sqlite else f"{column} = r.id AND {column} = ANY(ARRAY(SELECT r.id FROM r))"


def encode_rows(rows: Sequence[Mapping[str, Any]], *, sqlite: bool) -> str:
    """The value of `:rows`. Octets become base64, which PostgreSQL decodes; SQLite has no function for that."""
    if sqlite:
        rows = [{name: _sqlite_value(value) for name, value in row.items()} for row in rows]
    return _encode(rows).decode()


def _sqlite_value(value: Any) -> Any:
    return format_sqlite_time(value) if isinstance(value, datetime) else value

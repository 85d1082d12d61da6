"""Many rows as one parameter: a statement that is prepared once, whatever their number, and costs one round trip."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from notifier.db.columns import sqlite_time

_encode = msgspec.json.Encoder(uuid_format="hex").encode


def source(types: Mapping[str, str], *, sqlite: bool) -> str:
    """What stands after FROM: the rows in the parameter `:rows`, under the name `r`; `types` are PostgreSQL's."""
    if sqlite:
        values = ", ".join(f"value ->> '{name}' AS {name}" for name in types)
        return f"(SELECT {values} FROM json_each(:rows)) AS r"  # noqa: S608 - names of our own columns
    return f"json_to_recordset(CAST(:rows AS json)) AS r({', '.join(map(' '.join, types.items()))})"


def parameter(rows: Sequence[Mapping[str, Any]], *, sqlite: bool) -> str:
    """The value of `:rows`. Octets become base64, which PostgreSQL decodes; SQLite has no function for that."""
    if sqlite:
        rows = [{name: _sqlite_value(value) for name, value in row.items()} for row in rows]
    return _encode(rows).decode()


def _sqlite_value(value: Any) -> Any:
    return sqlite_time(value) if isinstance(value, datetime) else value

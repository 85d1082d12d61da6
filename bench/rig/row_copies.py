"""Copies of one row of a table, with other values in some columns: how databases are filled with millions of rows."""

from collections.abc import Mapping

import asyncpg

_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1"
INSERT_SECONDS = 900


async def copy_row(
    connection: asyncpg.Connection, table: str, *, where: str, rows: str, values: Mapping[str, str]
) -> None:
    """Copy a row once for each row `d` of the query `rows`.

    `where` is true for the row to be copied, `p`. `values` has the SQL of the columns that differ.
    """
    names = [record["column_name"] for record in await connection.fetch(_COLUMNS, table)]
    columns = ", ".join(values.get(name, f"p.{name}") for name in names)
    copies = f"SELECT {columns} FROM ({rows}) AS d, {table} AS p WHERE {where}"
    await connection.execute(f"INSERT INTO {table} ({', '.join(names)}) {copies}", timeout=INSERT_SECONDS)

"""Strings that must never be seen in a log, and requests that put them wherever a caller can put a string."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

ADDRESS = "kanarie.vogel@canary-mail.example"
TOKEN = "ntf_live_kanarienvogel0123456789abcdef"
SQL = "'; SELECT kanarienvogel FROM notification --"
FORBIDDEN = ("kanarie", "Traceback", "SELECT", "INSERT", "UPDATE ", "DELETE FROM", "sqlalche.me", "[parameters", "[SQL")
"""What no line of a log may hold. Each canary holds the first of them."""
ID = "0190a5c4-0000-7000-8000-000000000000"
_METHODS = {"get", "post", "put", "patch", "delete"}


def list_requests(key: str) -> Iterator[dict[str, Any]]:
    """Each operation of the description, with ids that are none and ids of nothing, as httpx2 takes them."""
    paths = json.loads(Path("openapi.json").read_text())["paths"]
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": TOKEN, "User-Agent": ADDRESS, "X-Note": SQL}
    headers |= {"Content-Type": "application/json", "Connection": "close"}

    for path, operations in paths.items():
        for method in sorted(_METHODS & operations.keys()):
            parameters = operations[method].get("parameters", [])
            query = {parameter["name"]: ADDRESS for parameter in parameters if parameter["in"] == "query"}
            body = json.dumps(_body(path)) if method != "get" else None
            request = {"method": method.upper(), "headers": headers, "content": body, "timeout": 60.0}
            yield request | {"url": _filled(path, SQL), "params": query}
            yield request | {"url": _filled(path, ID), "params": {"limit": "1"} if "limit" in query else {}}


def find_leaks(output: str) -> list[str]:
    """The lines that hold what they must not."""
    return [line for line in output.splitlines() if any(word in line for word in FORBIDDEN)]


def _body(path: str) -> Any:
    """One that some routes take, with canaries in each place."""
    mail = {
        "to": ADDRESS,
        "template": "welcome",
        "variables": {"name": ADDRESS, "product": f"{SQL} {TOKEN}"},
        "cc": [ADDRESS],
        "tags": [TOKEN],
        "metadata": {"note": SQL},
    }
    if path.endswith("/batch"):
        return {"notifications": [mail, mail]}
    if path == "/v1/notifications":
        return {name: mail[name] for name in ("to", "template", "variables")}
    return mail | {
        "address": ADDRESS,
        "url": f"https://{TOKEN}.example/{ADDRESS}",
        "name": SQL,
        "note": SQL,
        "slug": SQL,
    }


def _filled(path: str, value: str) -> str:
    """The path with this in the place of each parameter."""
    return "/".join(quote(value, safe="") if piece.startswith("{") else piece for piece in path.split("/"))

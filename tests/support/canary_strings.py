"""Strings that must never be in a log, and requests that contain them in every place."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

ADDRESS = "kanarie.vogel@canary-mail.example"
TOKEN = "ntf_live_kanarienvogel0123456789abcdef"
SQL = "'; SELECT kanarienvogel FROM notification --"
FORBIDDEN = ("kanarie", "Traceback", "SELECT", "INSERT", "UPDATE ", "DELETE FROM", "sqlalche.me", "[parameters", "[SQL")
"""Texts that no line of a log may contain. Each canary contains the first of them."""
ID = "0190a5c4-0000-7000-8000-000000000000"
_METHODS = {"get", "post", "put", "patch", "delete"}


def list_requests(key: str) -> Iterator[dict[str, Any]]:
    """List a request for each operation with invalid and unknown ids, as httpx2 takes them."""
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
    """List the lines that contain a canary."""
    return [line for line in output.splitlines() if any(word in line for word in FORBIDDEN)]


def _body(path: str) -> Any:
    """Build a body that some routes accept, with canaries in each place."""
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
    """Put the value in the place of each path parameter."""
    return "/".join(quote(value, safe="") if piece.startswith("{") else piece for piece in path.split("/"))

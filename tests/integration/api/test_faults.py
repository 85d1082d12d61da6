"""Faults of a notification: all in one reply, each with a JSON pointer."""

from typing import Any

import httpx2
from integration.api.refusal import NOTHING, Written, faults
from support.seeded_installation import WELCOME

SHIPPED: dict[str, Any] = {
    "store": "Fold & Grain",
    "name": "Ada",
    "order": {"number": "FG-1", "note": "two\nlines"},
    "shipment": {
        "carrier": "N",
        "tracking_number": "1",
        "tracking_url": "https://n.example",
        "delivery_estimate": "soon",
    },
    "items": [{"name": "Bowl", "quantity": 1, "price": "€1"}],
    "totals": {"subtotal": "€1", "shipping": "€0", "total": "€1"},
    "address_lines": ["Ada", "Hamngatan 14"],
}


def _except_for(**changes: Any) -> dict[str, Any]:
    return WELCOME | changes


async def test_all_faults_come_in_one_reply(client: httpx2.AsyncClient, written: Written) -> None:
    """Unknown fields and all faults of variables and fields are reported together."""
    body = {
        "to": "nobody",
        "from": "Eve <eve@elsewhere.example>",
        "reply_to": "no address",
        "template": "order_shipped",
        "variables": {
            **{name: value for name, value in SHIPPED.items() if name != "name"},
            "order": {"number": 7},
            "coupon/50~": "x",
            "items": [{"name": "Bowl", "quantity": "one", "price": "€1", "weight": 2}],
        },
        "headers": {"Bcc": "e@x.org", "X-Order": "a\nb"},
        "locale": "not a tag",
        "send_at": "2026-01-01T00:00:00",
        "priority": "urgent",
        "cc/bcc": "e@x.org",
    }
    reply = await client.post("/v1/notifications", json=body)
    assert faults(reply) == {
        ("/to", "invalid_address"),
        ("/from", "from_not_allowed"),
        ("/reply_to", "invalid_address"),
        ("/variables/name", "missing_variable"),
        ("/variables/order/number", "wrong_variable_type"),
        ("/variables/coupon~150~0", "unknown_variable"),
        ("/variables/items/0/quantity", "wrong_variable_type"),
        ("/variables/items/0/weight", "unknown_variable"),
        ("/headers/Bcc", "header_not_allowed"),
        ("/headers/X-Order", "invalid_header_value"),
        ("/locale", "invalid_locale"),
        ("/send_at", "naive_time"),
        ("/priority", "invalid_type"),
        ("/cc~1bcc", "unknown_field"),
    }
    assert reply.json()["code"] == "invalid_request"
    assert await written() == NOTHING


async def test_each_fault_has_its_pointer_and_code(client: httpx2.AsyncClient, written: Written) -> None:
    """A single fault is reported alone, and its code is the problem's code."""
    variables = WELCOME["variables"]
    assert isinstance(variables, dict)
    cases: list[tuple[dict[str, Any], str, str]] = [
        (_except_for(subject="x"), "/subject", "unknown_field"),
        (_except_for(variables_=1), "/variables_", "unknown_field"),
        ({name: value for name, value in WELCOME.items() if name != "to"}, "/to", "missing_field"),
        ({name: value for name, value in WELCOME.items() if name != "template"}, "/template", "missing_field"),
        (_except_for(to=None), "/to", "missing_field"),
        (_except_for(to=["a@x.org"]), "/to", "invalid_type"),
        (_except_for(to="a" * 321), "/to", "too_long"),
        (_except_for(template="nonesuch"), "/template", "unknown_template"),
        (_except_for(template=""), "/template", "unknown_template"),
        (_except_for(template="Welcome"), "/template", "unknown_template"),
        (_except_for(template="../welcome"), "/template", "unknown_template"),
        (_except_for(template_version=99), "/template_version", "unknown_template_version"),
        (_except_for(template_version=0), "/template_version", "invalid_type"),
        (_except_for(template_version="1"), "/template_version", "invalid_type"),
        (_except_for(template_version=True), "/template_version", "invalid_type"),
        (_except_for(variables={"name": "Ada"}), "/variables/product", "missing_variable"),
        (_except_for(variables=variables | {"nam": "Ada"}), "/variables/nam", "unknown_variable"),
        (_except_for(variables=variables | {"name": None}), "/variables/name", "wrong_variable_type"),
        (_except_for(variables=variables | {"name": 1}), "/variables/name", "wrong_variable_type"),
        (_except_for(variables=variables | {"tips": {}}), "/variables/tips", "wrong_variable_type"),
        (_except_for(variables=["Ada"]), "/variables", "invalid_type"),
        (_except_for(headers={"X-A": 1}), "/headers/X-A", "invalid_type"),
        (_except_for(headers=["X-A"]), "/headers", "invalid_type"),
        (_except_for(headers={f"X-{n}": "1" for n in range(11)}), "/headers", "too_many"),
        (_except_for(locale="en_GB"), "/locale", "invalid_locale"),
        (_except_for(locale="en\n"), "/locale", "invalid_locale"),
        (_except_for(send_at=1_900_000_000), "/send_at", "invalid_type"),
        (_except_for(send_at="tomorrow"), "/send_at", "invalid_type"),
        (_except_for(priority="urgent"), "/priority", "invalid_type"),
        (_except_for(reply_to=""), "/reply_to", "invalid_address"),
        (_except_for(**{"from": ""}), "/from", "invalid_address"),
        (_except_for(reply_to="A <a@x.org>, B <b@x.org>"), "/reply_to", "invalid_address"),
        (_except_for(reply_to="a@x.org, b@x.org"), "/reply_to", "invalid_address"),
    ]
    replies = [(await client.post("/v1/notifications", json=body), pointer, code) for body, pointer, code in cases]
    wrong = [
        (pointer, code, reply.status_code, reply.json())
        for reply, pointer, code in replies
        if reply.status_code != 422 or faults(reply) != {(pointer, code)} or reply.json()["code"] != code
    ]
    assert wrong == []
    assert await written() == NOTHING


async def test_an_unknown_field_hides_no_other_fault(client: httpx2.AsyncClient) -> None:
    """An unknown field such as `variablesX` does not stop the check of the variables."""
    reply = await client.post("/v1/notifications", json=_except_for(variables={"name": 1}, variables_extra=1))
    assert faults(reply) == {
        ("/variables_extra", "unknown_field"),
        ("/variables/name", "wrong_variable_type"),
        ("/variables/product", "missing_variable"),
    }

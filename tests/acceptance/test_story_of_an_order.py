"""The story on the caller's side: an order commits in the shop's own database, and its mail follows."""

from pathlib import Path
from typing import Any

import httpx2
from support import answer_likeness, notifier_process
from support.answer_likeness import Ids
from support.document_blocks import list_blocks
from support.example_shop import Shop as ExampleShop
from support.polling import poll_in_thread
from support.shop_processes import ShopProcesses

SCOPES = ("notifications:send", "notifications:read", "webhooks:manage")


def test_an_order_commits_and_the_mail_follows(tmp_path: Path) -> None:
    """While the relay is away `explain` says so; later the mail arrives, and the webhook informs the shop."""
    shop = ShopProcesses(tmp_path, None, *SCOPES, WEBHOOKS__INSECURE_HOSTS="127.0.0.1")
    port = notifier_process.find_free_port()
    with shop.notifier(), shop.client() as client:
        # The shop registers its webhook endpoint.
        endpoint = {"url": f"http://127.0.0.1:{port}/webhooks/notifier"}
        secret = client.post("/v1/webhooks", json=endpoint).json()["secret"]

        where = {"api": str(client.base_url), "key": shop.key}
        database = f"sqlite+aiosqlite:///{tmp_path / 'shop.sqlite3'}"
        with ExampleShop(where, database, secret, port) as customer:
            # A customer orders: the order and its mail commit together in the shop's database.
            assert customer.post("/orders", json={"customer": "Ada", "address": "ada@example.com"}).status_code == 201
            path = f"/v1/notifications/{_until(customer, '/orders/1', 'notification_id')}"

            # The mail does not arrive, because the relay is away, and `explain` says so.
            explanation = _explained(client, path, "circuit_open")
            (documented,) = (block.text for block in list_blocks("docs/calling.md") if "circuit_open" in block.text)
            assert answer_likeness.find_differences(answer_likeness.parse_shown(documented), explanation, Ids()) == []

            # The relay comes back: the mail arrives, and the webhook informs the shop.
            with shop.relay(), shop.inbox() as inbox:
                assert inbox.wait_for(to="ada@example.com", timeout=100).subject == "Welcome to Larkspur, Ada"
                assert _until(customer, "/orders/1", "mail_status") == "sent"
                assert len(inbox.messages()) == 1
            assert client.get(f"{path}/explain").json()["because"][0]["code"] == "ended"


def _until(client: httpx2.Client, path: str, name: str) -> str:
    """Poll until the value exists, as a caller would."""
    return poll_in_thread(lambda: str(client.get(path).json()[name] or ""))


def _explained(client: httpx2.Client, path: str, code: str) -> dict[str, Any]:
    def get_explanation() -> dict[str, Any] | None:
        explanation: dict[str, Any] = client.get(f"{path}/explain").json()
        return explanation if code in {reason["code"] for reason in explanation["because"]} else None

    return poll_in_thread(get_explanation)

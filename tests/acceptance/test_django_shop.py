"""The Django example, started as examples/django_shop/README.md says, beside a running Notifier with its inbox."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx2
from support import notifier_process, running_demo
from support.document_blocks import ROOT, list_blocks

from notifier.inbox.client import MailHogClient

START, ORDERS = (block.text for block in list_blocks("examples/django_shop/README.md", "sh"))


def test_only_the_committed_order_has_a_mail(demo_data: Path, tmp_path: Path) -> None:
    """The blocks run in a copy, on a free port; the order that is rolled back leaves no mail."""
    shutil.copytree(ROOT / "examples" / "django_shop", tmp_path / "examples" / "django_shop")
    (tmp_path / ".venv").symlink_to(notifier_process.NOTIFIER.parents[1])
    port = str(notifier_process.find_free_port())
    last = START.splitlines()[-1]
    start = START.replace(last, f"exec {last}").replace("9000", port)
    with (
        running_demo.start_demo(tmp_path / "notifier", demo_data) as demo,
        MailHogClient(demo["inbox"]) as inbox,
        subprocess.Popen(["bash", "-euc", start], cwd=tmp_path, env=_build_environment(demo, tmp_path)) as shop,
    ):
        try:
            _wait_for_shop(port)
            orders = ORDERS.replace("localhost:9000", f"127.0.0.1:{port}")
            replies = subprocess.check_output(
                ["bash", "-euc", orders], cwd=tmp_path, env=_build_environment(demo, tmp_path), text=True
            )
        finally:
            shop.terminate()
        assert re.findall(r"HTTP/1.1 (\d+)", replies) == ["201", "422"]
        assert inbox.wait_for(to="ada@example.com").subject == "Your order 1"
        key = {"Authorization": f"Bearer {demo['key']}"}
        notifications = httpx2.get(f"{demo['api']}/v1/notifications", headers=key).json()["notifications"]
        assert [notification["to"] for notification in notifications] == ["ada@example.com"]


def _build_environment(demo: dict[str, str], folder: Path) -> dict[str, str]:
    env = notifier_process.build_environment(folder, URL=demo["api"], API_KEY=demo["key"])
    env["PYTHONPATH"] = os.environ.get("PYTHONPATH", str(ROOT))
    env["PATH"] = f"{notifier_process.NOTIFIER.parent}{os.pathsep}{env['PATH']}"
    return notifier_process.without_coverage(env)


def _wait_for_shop(port: str) -> None:
    """Wait until the shop replies, which refuses to show orders."""
    with httpx2.Client(transport=httpx2.HTTPTransport(retries=12), timeout=20) as client:
        assert client.get(f"http://127.0.0.1:{port}/orders").status_code == httpx2.codes.METHOD_NOT_ALLOWED

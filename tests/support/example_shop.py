"""The shop of `examples/`, started as its README says."""

import os
import re
import subprocess
import sys

import httpx2

from support import notifier_process
from support.document_blocks import ROOT, list_blocks


class Shop:
    """The example, started as its README says."""

    def __init__(self, notifier: dict[str, str], database_url: str, secret: str, port: int | None = None) -> None:
        port = port or notifier_process.find_free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {"SHOP_DATABASE_URL": database_url, "SHOP_WEBHOOK_SECRET": secret}
        env = os.environ | {"NOTIFIER_URL": notifier["api"], "NOTIFIER_API_KEY": notifier["key"]} | settings
        env["PYTHONPATH"] = os.environ.get("PYTHONPATH", str(ROOT))
        (line,) = (
            block.text
            for block in list_blocks("examples/shop/README.md")
            if block.rest == "tests/support/example_shop.py"
        )
        started = re.fullmatch(r"cd examples/shop && ../../.venv/bin/python -m (uvicorn shop:app) --port 9000\n", line)
        assert started is not None
        command = [sys.executable, "-m", *started[1].split(), "--port", str(port), "--log-level", "warning"]
        self._popen = subprocess.Popen(command, env=env, cwd=ROOT / "examples" / "shop")

    def __enter__(self) -> httpx2.Client:
        self.client = httpx2.Client(
            base_url=self.url, transport=httpx2.HTTPTransport(retries=12), timeout=httpx2.Timeout(20)
        )
        return self.client

    def __exit__(self, *_exc: object) -> None:
        self.client.close()
        self._popen.terminate()
        assert self._popen.wait(20) in (0, -15)

"""URL and API key for the commands that call the API.

A flag wins over `NOTIFIER_URL` and `NOTIFIER_API_KEY`. The demo's key is only sent to this host.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from notifier.cli import output
from notifier.cli.output import CommandError

DEFAULT_URL = "http://127.0.0.1:8000"
DEMO_KEY = "demo-key"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
UrlOption = Annotated[
    str, typer.Option(help=f"The API; default: NOTIFIER_URL, or {DEFAULT_URL}.", show_default=False, metavar="URL")
]
KeyOption = Annotated[
    str, typer.Option(help="API key; default: NOTIFIER_API_KEY, or that of a demo on this host.", show_default=False)
]


def resolve_access(url: str, key: str) -> tuple[str, str]:
    """Complete URL and key from the environment. Raises `Failed` if there is no key."""
    url = url.strip() or os.environ.get("NOTIFIER_URL", "").strip() or DEFAULT_URL
    key = key.strip() or os.environ.get("NOTIFIER_API_KEY", "").strip() or _demo_key(url)
    if not key:
        raise CommandError("no API key: give --key or set NOTIFIER_API_KEY", output.USAGE_ERROR)
    return url, key


def _demo_key(url: str) -> str:
    """Read the key of a demo if the API is on this host."""
    if _host(url) not in LOOPBACK_NAMES:
        return ""
    return next((file.read_text().strip() for file in _demo_key_files() if file.is_file()), "")


def _demo_key_files() -> Iterator[Path]:
    data_dir = os.environ.get("NOTIFIER_DATA_DIR", "").strip()
    if data_dir:
        yield Path(data_dir) / DEMO_KEY
    yield Path("var/demo") / DEMO_KEY


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""

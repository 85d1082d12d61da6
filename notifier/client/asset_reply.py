"""The replies about images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notifier.client.reply_reader import Reply


@dataclass(frozen=True, kw_only=True)
class Asset(Reply):
    """An image for templates."""

    id: str
    name: str
    status: str  # pending, ready or failed
    detail: str = ""  # why it failed, or what was removed
    progress: int = 0  # per cent
    mode: str = "fit"
    width: int | None = None
    height: int | None = None
    files: Mapping[str, Any] = field(default_factory=dict)  # "1x", "2x": sha256, content_type, width, height, size
    revision: int
    updated_by: str
    updated_at: datetime

"""The request and reply models of layouts."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from notifier.api import fields, request_model
from notifier.api.request_model import RequestModel
from notifier.templating.validation import MAX_SOURCE_BYTES


class LayoutIn(RequestModel):
    """A layout to save."""

    limits = request_model.TEMPLATE_LIMITS

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "<html>…</html>", "revision": 0}]})

    text: str = Field(max_length=MAX_SOURCE_BYTES)
    revision: fields.WholeNumber = Field(
        ge=0, le=2**31 - 2, description="The revision that you have loaded; 0 for a new layout."
    )


class LayoutLineOut(BaseModel):
    """A layout without its text."""

    name: str
    revision: int
    updated_by: str
    updated_at: datetime


class LayoutsOut(BaseModel):
    """All layouts, by name."""

    layouts: list[LayoutLineOut]


class LayoutOut(LayoutLineOut):
    """A layout."""

    text: str
    used_by: list[str] = Field(description="Templates that use it; they change when they are published next.")

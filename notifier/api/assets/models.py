"""The request and reply models of images."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints

from notifier.api import fields, request_model
from notifier.api.request_model import RequestModel
from notifier.errors import Fault
from notifier.states import AssetMode, AssetStatus
from notifier.submission.attachment_validation import decode_base64
from notifier.templating.assets import asset_store, image_operations
from notifier.templating.assets.image_conversion import ImageOptions
from notifier.templating.assets.image_operations import ImageOperation, ImageStep

NAME_PATTERN = f"^{asset_store.ASSET_NAME.pattern}$"
_Side = Annotated[int, Field(ge=1, le=asset_store.MAX_WIDTH), BeforeValidator(fields.convert_whole_number)]
_EXAMPLE: JsonValue = {"name": "logo", "content": "iVBORw0KGgo=", "width": 150, "revision": 0}


_Number = Annotated[int, Field(ge=0, le=image_operations.MAX_CROP_SIDE), BeforeValidator(fields.convert_whole_number)]


_Colour = Annotated[str, StringConstraints(max_length=7), fields.document_field(pattern="^#[0-9A-Fa-f]{6}$")]
_Radius = Annotated[float, Field(ge=0, le=image_operations.MAX_BLUR_RADIUS)]
_OPERATION_EXAMPLE: JsonValue = {"do": "fit", "width": 300}


class ImageOperationIn(RequestModel):
    """One operation on an image. `detail` of a fault says which fields it takes."""

    model_config = ConfigDict(json_schema_extra={"examples": [_OPERATION_EXAMPLE]})

    do: ImageStep = Field(strict=False, description="What is done; `fit` and `resize` set the size that is shown.")
    width: _Number | None = Field(None, description="In CSS pixels: of `resize`, `fit`, `crop`.")
    height: _Number | None = Field(None, description="In CSS pixels: of `resize`, `fit`, `crop`.")
    x: _Number | None = Field(None, description="Of `crop`: from the left. Null: in the middle.")
    y: _Number | None = Field(None, description="Of `crop`: from the top. Null: in the middle.")
    colour: _Colour | None = Field(None, description="Of `flatten`: what is behind transparent parts, such as #ffffff.")
    radius: _Radius | None = Field(None, description="In CSS pixels: of `blur`, `sharpen`.")
    percent: _Number | None = Field(None, description="How strong: of `sharpen`.")

    def build_operation(self) -> ImageOperation:
        """Build the operation."""
        return ImageOperation(**{name: getattr(self, name) for name in ImageOperation.__struct_fields__})


class ImageIn(RequestModel):
    """An image, and how it is converted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "iVBORw0KGgo=", "width": 150}]})

    content: Annotated[
        str, fields.document_field(pattern=fields.BASE64_PATTERN, minLength=4, contentEncoding="base64")
    ] = Field(
        max_length=fields.MAX_BASE64_LENGTH,
        description="PNG, JPEG, GIF or WebP in base64 (RFC 4648 §4); at most 10 MiB and 50 million pixels.",
    )
    mode: AssetMode = Field(
        AssetMode.FIT,
        strict=False,
        description="`fit`: all of it, within width and height. `crop`: exactly width by height, cut at the edges.",
    )
    width: _Side | None = Field(None, description="In CSS pixels. Null: its own width, but at most 600 with `fit`.")
    height: _Side | None = Field(None, description="In CSS pixels; `crop` needs width and height.")
    operations: list[ImageOperationIn] = Field(
        default_factory=list,
        max_length=image_operations.MAX_OPERATIONS,
        description="Done in this order, instead of mode, width and height.",
    )

    def read_image(self, name: str) -> tuple[bytes, ImageOptions, list[Fault]]:
        """Decode the image, and find the faults of its name, its bytes and its options."""
        operations = tuple(operation.build_operation() for operation in self.operations)
        options = ImageOptions(mode=self.mode, width=self.width, height=self.height, operations=operations)
        data, problem = decode_base64(self.content)
        faults = [Fault("/content", image_operations.REJECTED, problem)] if problem is not None else []
        return data or b"", options, faults + asset_store.find_upload_faults(name, data or b"", options)


class AssetIn(ImageIn):
    """An image to upload."""

    limits = request_model.FILES_LIMITS

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Annotated[str, fields.document_field(pattern=NAME_PATTERN)] = Field(
        max_length=64, description="As templates name it."
    )
    revision: fields.WholeNumber = Field(
        0, ge=0, le=2**31 - 2, description="The revision that you have loaded; 0 for a new name."
    )


class AssetFileOut(BaseModel):
    """A converted file of an image."""

    sha256: str
    content_type: str
    width: int = Field(description="In pixels of the file.")
    height: int
    size: int = Field(description="In bytes.")


class ImageOperationOut(BaseModel):
    """One operation on an image."""

    do: ImageStep
    width: int | None = None
    height: int | None = None
    x: int | None = None
    y: int | None = None
    colour: str | None = None
    radius: float | None = None
    percent: int | None = None


class AssetOut(BaseModel):
    """An image, with its progress."""

    id: UUID
    name: str
    status: AssetStatus
    detail: str = Field(description="Why it failed, or what was left out.")
    progress: int = Field(description="Per cent.")
    mode: AssetMode
    width: int | None
    height: int | None
    operations: list[ImageOperationOut] = Field(description="Done in this order, instead of mode, width and height.")
    files: dict[str, AssetFileOut] = Field(
        description="`1x`, and `2x` if the image is large enough; empty until it is ready."
    )
    revision: int
    updated_by: str
    updated_at: datetime


class AssetsOut(BaseModel):
    """All images, by name."""

    assets: list[AssetOut]

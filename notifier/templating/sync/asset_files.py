"""Images as files: `_assets/<name>.png` (or jpg, gif, webp), with the options in `_assets/<name>.toml`.

They are converted by the same code as uploads, so that a version has the same hash here and on the server.
"""

import hashlib
import json
import tomllib
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from notifier.mail.mail_parts import PinnedAsset
from notifier.states import AssetMode
from notifier.templating.assets import asset_store
from notifier.templating.assets import conversion_process as image_process
from notifier.templating.assets.image_conversion import ConvertedImage, ImageOptions, RejectedImage, detect_content_type
from notifier.templating.assets.image_operations import ImageOperation

ASSET_FOLDER: Final = "_assets"
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
_SUFFIXES = (*_EXTENSIONS.values(), "jpeg")


class ImageFile(msgspec.Struct, frozen=True, kw_only=True):
    """An image as it was uploaded, or as it is in a folder."""

    data: bytes
    options: ImageOptions


_Side = Annotated[int, msgspec.Meta(ge=1, le=asset_store.MAX_WIDTH)]


class _ImageToml(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The keys of the TOML file beside the image."""

    mode: AssetMode = AssetMode.FIT
    width: _Side | None = None
    height: _Side | None = None
    operations: tuple[ImageOperation, ...] = ()


def pin_images(root: Path, names: Collection[str]) -> dict[str, PinnedAsset]:
    """Pin those of the images that are in the folder. Raises `ValueError`."""
    return {
        name: asset_store.pin_file(asset_store.describe_files(_convert_file(name, file)))
        for name, file in read_images(root, names).items()
    }


def find_missing_images(root: Path, names: Collection[str]) -> set[str]:
    """Find the names that the folder has no image of. Raises `ValueError`."""
    return set(names) - read_images(root, names).keys()


def write_image(root: Path, name: str, image: ImageFile) -> None:
    """Write an image with its options into the folder."""
    folder, options = root / ASSET_FOLDER, image.options
    folder.mkdir(parents=True, exist_ok=True)
    keys = {key: getattr(options, key) for key in _ImageToml.__struct_fields__}
    (folder / f"{name}.{_EXTENSIONS[detect_content_type(image.data)]}").write_bytes(image.data)
    (folder / f"{name}.toml").write_text(_format_options(_ImageToml(**keys)), "utf-8")


def _format_options(options: _ImageToml) -> str:
    """Format the options as TOML: the plain keys, and then a table for each operation."""
    keys = msgspec.to_builtins(options)
    tables = keys.pop("operations", ())
    blocks = [_format_keys(keys)] + [f"[[operations]]\n{_format_keys(table)}" for table in tables]
    return "\n".join(block for block in blocks if block)


def _format_keys(keys: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def read_images(root: Path, names: Collection[str]) -> dict[str, ImageFile]:
    """Read those of the images that are in the folder. Raises `ValueError`."""
    images = {}
    for name in names:
        paths = [path for extension in _SUFFIXES if (path := root / ASSET_FOLDER / f"{name}.{extension}").is_file()]
        if len(paths) > 1:
            raise ValueError(f"{ASSET_FOLDER}: {' and '.join(path.name for path in paths)} have the same name")
        if paths:
            images[name] = ImageFile(data=paths[0].read_bytes(), options=_read_options(paths[0].with_suffix(".toml")))
    return images


def _read_options(path: Path) -> ImageOptions:
    if not path.is_file():
        return ImageOptions()
    try:
        options = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _ImageToml)
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"{ASSET_FOLDER}/{path.name}: {error}") from error
    read = ImageOptions(mode=options.mode, width=options.width, height=options.height, operations=options.operations)
    for fault in asset_store.find_option_faults(read):
        raise ValueError(f"{ASSET_FOLDER}/{path.name}: {fault.pointer}: {fault.detail}")
    return read


def _convert_file(name: str, file: ImageFile) -> ConvertedImage:
    image = _convert_once(hashlib.sha256(file.data).digest(), file.data, file.options)
    if isinstance(image, ConvertedImage):
        return image
    raise ValueError(f"{ASSET_FOLDER}/{name}: {image.reason}")


@lru_cache(maxsize=32)
def _convert_once(_digest: bytes, data: bytes, options: ImageOptions) -> ConvertedImage | RejectedImage:
    """Convert an image once in this process, even if many templates show it."""
    return image_process.convert_in_child(data, options) or image_process.CRASHED

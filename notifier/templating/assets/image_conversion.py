"""From an uploaded picture to the files that mails show: small, without metadata, the same octets for the same picture.

Decoding is hostile ground: outside of tests this runs in a child process of its own (`image_process`), never in the API
or the sender. What comes out is encoded anew from the pixels; nothing else of the upload is in it.
"""

import re
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import msgspec
import puremagic
from PIL import Image, ImageCms
from PIL.Image import Resampling, Transpose

from notifier.states import AssetMode

MAX_UPLOAD_BYTES: Final = 10 * 1024 * 1024
TOO_LONG: Final = f"the file has more than {MAX_UPLOAD_BYTES // 1024**2} MiB"
MAX_PIXELS: Final = 50_000_000
MAX_SIDE: Final = 20_000
DEFAULT_WIDTH: Final = 600
"""CSS pixels: as wide as a picture is shown if nobody says otherwise, because mails are not wider."""
MAX_FILE_BYTES: Final = 1024 * 1024
"""Octets of what comes out: every mail carries it."""
MAX_COLOURS: Final = 1024
MAX_GREYS: Final = 64
"""Up to so many it is a drawing and becomes a PNG; JPEG would blur its edges. A photograph in grey has 256."""
JPEG_QUALITY: Final = 85
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP"}
_SVG = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!doctype svg|!--|svg\b)", re.IGNORECASE)
_ORIENTATION = 0x0112  # EXIF
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
_Size = tuple[int, int]


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture shall be, in CSS pixels."""

    mode: AssetMode = AssetMode.FIT
    width: int | None = None
    height: int | None = None  # with `crop` both are needed


class ConvertedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A finished file."""

    content_type: str
    width: int  # in its own pixels
    height: int
    data: bytes


class ConvertedImage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a picture has become."""

    files: dict[str, ConvertedFile]  # "1x", and "2x" if the picture has the pixels
    note: str = ""


class RejectedImage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why there is nothing to show."""

    reason: str


class _UnusableImageError(Exception):
    """The picture cannot be used; says why."""


class _ConversionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the picture is shown, and how large."""

    box: tuple[float, float, float, float]
    size_1x: _Size
    size_2x: _Size | None


def convert_image(
    data: bytes, wish: ImageOptions, progress: Callable[[int], None] = lambda _percent: None
) -> ConvertedImage | RejectedImage:
    """The files of a picture; never raises for what is wrong with it."""
    try:
        return _convert(data, wish, progress)
    except _UnusableImageError as error:
        return RejectedImage(reason=str(error))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return RejectedImage(reason=_describe_limits())
    except MemoryError:
        return RejectedImage(reason="the picture needs too much memory")
    except Exception:  # noqa: BLE001 - decoders raise whatever comes to them
        return RejectedImage(reason="the picture cannot be read: it is damaged, or not all of it is there")


def _convert(data: bytes, wish: ImageOptions, progress: Callable[[int], None]) -> ConvertedImage:
    kind = detect_content_type(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image: Image.Image = Image.open(BytesIO(data), formats=(_FORMATS[kind],))
        _require_size(image.size)
        moves = bool(getattr(image, "is_animated", False))
        image.seek(0)
        turn = int(image.getexif().get(_ORIENTATION, 1))
        plan = _plan_conversion(image.size, wish, on_its_side=turn in _ON_ITS_SIDE)
        profile = image.info.get("icc_profile")
        image.load()
    image = _normalize_mode(image)
    is_drawing = _is_drawing(image)
    progress(30)
    files = {}
    for name, size in (("1x", plan.size_1x), ("2x", plan.size_2x)):
        if size is not None:
            small = image.resize(size, Resampling.LANCZOS, box=plan.box, reducing_gap=3.0)
            small = _convert_to_srgb(small, profile)
            files[name] = _encode_file(
                small.transpose(_TURNS[turn]) if turn in _TURNS else small, is_drawing=is_drawing
            )
            progress(60)
    note = "It moves; mails show its first picture only." if moves else ""
    return ConvertedImage(files=files, note=note)


def detect_content_type(data: bytes) -> str:
    """The type by content, as the library that knows beginnings sees it; Pillow is then asked for that one only."""
    if len(data) > MAX_UPLOAD_BYTES:
        raise _UnusableImageError(TOO_LONG)
    if _SVG.match(data):
        raise _UnusableImageError(
            "SVG is not shown by mail programs, and can contain scripts: export it as PNG, at twice the size"
        )
    try:
        found = {match.mime_type for match in puremagic.magic_string(data)}
    except (puremagic.PureError, ValueError):
        found = set()
    for kind in _FORMATS:
        if kind in found and (kind != "image/webp" or data[8:12] == b"WEBP"):
            return kind
    raise _UnusableImageError("the content is neither PNG, JPEG, GIF nor WebP")


def _describe_limits() -> str:
    return f"a picture has at most {MAX_PIXELS // 1_000_000} million pixels, and {MAX_SIDE} on a side"


def _require_size(size: _Size) -> None:
    if size[0] * size[1] > MAX_PIXELS or max(size) > MAX_SIDE:
        raise _UnusableImageError(_describe_limits())


def _plan_conversion(size: _Size, wish: ImageOptions, *, on_its_side: bool) -> _ConversionPlan:
    """Sizes as the picture is stored: one that is stored on its side is turned later."""
    seen = size[::-1] if on_its_side else size
    width, height = wish.width, wish.height
    if wish.mode is AssetMode.CROP:
        if width is None or height is None:
            raise _UnusableImageError("crop needs a width and a height")
        one = (width, height)
        if seen[0] < width or seen[1] < height:
            raise _UnusableImageError(
                f"the picture has {seen[0]} by {seen[1]} pixels; to crop it, {width} by {height} are needed"
            )
        scale = max(width / seen[0], height / seen[1])
        shown = (min(width / scale, seen[0]), min(height / scale, seen[1]))
    else:
        scale = min(1.0, (width or DEFAULT_WIDTH) / seen[0], height / seen[1] if height else 1.0)
        one = (max(1, round(seen[0] * scale)), max(1, round(seen[1] * scale)))
        shown = (float(seen[0]), float(seen[1]))
    # A pixel less than twice is twice: one that was rounded up.
    two = None
    if shown[0] >= 2 * one[0] - 1 and shown[1] >= 2 * one[1] - 1:
        two = (2 * one[0], 2 * one[1])
        if wish.mode is AssetMode.FIT:
            two = (min(two[0], seen[0]), min(two[1], seen[1]))
    if on_its_side:
        shown, one, two = shown[::-1], one[::-1], two[::-1] if two else None
    left, top = (size[0] - shown[0]) / 2, (size[1] - shown[1]) / 2
    return _ConversionPlan(box=(left, top, left + shown[0], top + shown[1]), size_1x=one, size_2x=two)


def _normalize_mode(image: Image.Image) -> Image.Image:
    """The same picture in a mode that can be resized: L, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.mode == "1":
        image = image.convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return image if _is_transparent(image) else image.convert("RGB")
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _is_transparent(image: Image.Image) -> bool:
    lowest, _ = image.getchannel("A").getextrema()
    return float(str(lowest)) < 255  # noqa: PLR2004 - opaque


def _is_drawing(image: Image.Image) -> bool:
    colours: Any = image.getcolors(MAX_COLOURS)
    if colours is None:
        return False
    is_grey = image.mode == "L" or (image.mode != "CMYK" and all(len({*colour[:3]}) == 1 for _, colour in colours))
    return not is_grey or len(colours) <= MAX_GREYS


def _convert_to_srgb(image: Image.Image, profile: Any) -> Image.Image:
    """The colours as a browser without colour management shows them right."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    solid = image.convert("RGB") if alpha else image
    if isinstance(profile, bytes) and profile:
        try:
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            turned = ImageCms.profileToProfile(solid, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):  # one that does not fit the picture: programs ignore it too
            turned = None
        solid = turned or solid
    if solid.mode == "CMYK":
        solid = solid.convert("RGB")
    if alpha is not None:
        solid.putalpha(alpha)
    return solid


def _encode_file(image: Image.Image, *, is_drawing: bool) -> ConvertedFile:
    # Of the pixels alone: what Pillow remembers of the upload, it would write.
    bare = Image.frombytes(image.mode, image.size, image.tobytes())
    octets = BytesIO()
    is_png = is_drawing or image.mode == "RGBA"
    if is_png:
        bare.save(octets, "PNG", optimize=True)
    if not is_png or (octets.tell() > MAX_FILE_BYTES and image.mode != "RGBA"):  # a photograph's grain
        is_png, octets = False, BytesIO()
        bare.save(octets, "JPEG", quality=JPEG_QUALITY, optimize=True)
    if octets.tell() > MAX_FILE_BYTES:
        raise _UnusableImageError(
            f"it would add {octets.tell() // 1024} KB to every mail; at most {MAX_FILE_BYTES // 1024} are sensible"
        )
    kind = "image/png" if is_png else "image/jpeg"
    return ConvertedFile(content_type=kind, width=image.width, height=image.height, data=octets.getvalue())

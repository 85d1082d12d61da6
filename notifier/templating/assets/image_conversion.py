"""Convert an uploaded image into the files that mails show: small, without metadata, always with the same bytes.

Decoders may be exploited, so this runs in a child process (`conversion_program`), never in the API or the sender. The
files are encoded from the pixels; nothing else of the upload is in them.
"""

import re
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import msgspec
from PIL import Image, ImageCms
from PIL.Image import Resampling, Transpose

from notifier.mail.image_type import detect_image_type
from notifier.states import AssetMode
from notifier.templating.assets import image_operations
from notifier.templating.assets.image_operations import DEFAULT_WIDTH, ImageOperation, UnusableImageError

MAX_UPLOAD_BYTES: Final = 10 * 1024 * 1024
TOO_LONG: Final = f"the file has more than {MAX_UPLOAD_BYTES // 1024**2} MiB"
MAX_PIXELS: Final = 50_000_000
MAX_SIDE: Final = 20_000
MAX_FILE_BYTES: Final = 1024 * 1024
"""Bytes of a converted file: every mail carries it."""
MAX_COLOURS: Final = 1024
MAX_GREYS: Final = 64
"""An image of up to so many is a drawing and becomes a PNG; JPEG would blur its edges. A grey photograph has 256."""
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
    """The options of a conversion, in CSS pixels."""

    mode: AssetMode = AssetMode.FIT
    width: int | None = None
    height: int | None = None  # `crop` needs both
    operations: tuple[ImageOperation, ...] = ()  # instead of mode, width and height


class ConvertedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A converted file."""

    content_type: str
    width: int  # in its own pixels
    height: int
    data: bytes


class ConvertedImage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The converted files of an image."""

    files: dict[str, ConvertedFile]  # "1x", and "2x" if the image has the pixels
    note: str = ""


class RejectedImage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why an image cannot be converted."""

    reason: str


class _ConversionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the image is shown, and how large."""

    box: tuple[float, float, float, float]
    size_1x: _Size
    size_2x: _Size | None


def convert_image(
    data: bytes, options: ImageOptions, progress: Callable[[int], None] = lambda _percent: None
) -> ConvertedImage | RejectedImage:
    """Convert an image; faults are returned, never raised."""
    try:
        return _convert(data, options, progress)
    except UnusableImageError as error:
        return RejectedImage(reason=str(error))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return RejectedImage(reason=_describe_limits())
    except MemoryError:
        return RejectedImage(reason="the image needs too much memory")
    except Exception:  # noqa: BLE001 - decoders raise any exception
        return RejectedImage(reason="the image cannot be read: it is damaged or incomplete")


def _convert(data: bytes, options: ImageOptions, progress: Callable[[int], None]) -> ConvertedImage:
    kind = detect_content_type(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image: Image.Image = Image.open(BytesIO(data), formats=(_FORMATS[kind],))
        _require_size(image.size)
        moves = bool(getattr(image, "is_animated", False))
        image.seek(0)
        turn = int(image.getexif().get(_ORIENTATION, 1))
        plan = _plan_conversion(image.size, options, on_its_side=turn in _ON_ITS_SIDE)
        profile = image.info.get("icc_profile")
        image.load()
    image = _normalize_mode(image)
    is_drawing = _is_drawing(image)
    progress(30)
    note = "It is animated; mails show its first frame only." if moves else ""
    if options.operations:
        upright = image.transpose(_TURNS[turn]) if turn in _TURNS else image
        images = image_operations.apply_operations(_convert_to_srgb(upright, profile), options.operations)
        progress(60)
        return ConvertedImage(
            files={name: _encode_file(result, is_drawing=is_drawing) for name, result in images.items()}, note=note
        )
    files = {}
    for name, size in (("1x", plan.size_1x), ("2x", plan.size_2x)):
        if size is not None:
            small = image.resize(size, Resampling.LANCZOS, box=plan.box, reducing_gap=3.0)
            small = _convert_to_srgb(small, profile)
            files[name] = _encode_file(
                small.transpose(_TURNS[turn]) if turn in _TURNS else small, is_drawing=is_drawing
            )
            progress(60)
    return ConvertedImage(files=files, note=note)


def detect_content_type(data: bytes) -> str:
    """Detect the content type by the first bytes; Pillow then tries only this decoder."""
    if len(data) > MAX_UPLOAD_BYTES:
        raise UnusableImageError(TOO_LONG)
    if _SVG.match(data):
        raise UnusableImageError(
            "SVG is not shown by mail programs, and can contain scripts: export it as PNG, at twice the size"
        )
    kind = detect_image_type(data)
    if kind is not None:
        return kind
    raise UnusableImageError("the content is neither PNG, JPEG, GIF nor WebP")


def _describe_limits() -> str:
    return f"an image has at most {MAX_PIXELS // 1_000_000} million pixels, and {MAX_SIDE} on a side"


def _require_size(size: _Size) -> None:
    if size[0] * size[1] > MAX_PIXELS or max(size) > MAX_SIDE:
        raise UnusableImageError(_describe_limits())


def _plan_conversion(size: _Size, options: ImageOptions, *, on_its_side: bool) -> _ConversionPlan:
    """Plan the conversion in the stored orientation; an image that is stored on its side is turned later."""
    upright = size[::-1] if on_its_side else size
    width, height = options.width, options.height
    if options.mode is AssetMode.CROP:
        if width is None or height is None:
            raise UnusableImageError("crop needs a width and a height")
        single = (width, height)
        if upright[0] < width or upright[1] < height:
            raise UnusableImageError(
                f"the image has {upright[0]} by {upright[1]} pixels; to crop it, {width} by {height} are needed"
            )
        scale = max(width / upright[0], height / upright[1])
        part = (min(width / scale, upright[0]), min(height / scale, upright[1]))
    else:
        scale = min(1.0, (width or DEFAULT_WIDTH) / upright[0], height / upright[1] if height else 1.0)
        single = (max(1, round(upright[0] * scale)), max(1, round(upright[1] * scale)))
        part = (float(upright[0]), float(upright[1]))
    # Rounding up may have added a pixel: a pixel less than twice the size counts as twice.
    double = None
    if part[0] >= 2 * single[0] - 1 and part[1] >= 2 * single[1] - 1:
        double = (2 * single[0], 2 * single[1])
        if options.mode is AssetMode.FIT:
            double = (min(double[0], upright[0]), min(double[1], upright[1]))
    if on_its_side:
        part, single, double = part[::-1], single[::-1], double[::-1] if double else None
    x, y = (size[0] - part[0]) / 2, (size[1] - part[1]) / 2
    return _ConversionPlan(box=(x, y, x + part[0], y + part[1]), size_1x=single, size_2x=double)


def _normalize_mode(image: Image.Image) -> Image.Image:
    """Return the image in a mode that can be resized: L, RGB, RGBA or CMYK."""
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
    """Convert the colours to sRGB, which programs without colour management show correctly."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    solid = image.convert("RGB") if alpha else image
    if isinstance(profile, bytes) and profile:
        try:
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            turned = ImageCms.profileToProfile(solid, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):  # a broken profile: mail programs ignore it too
            turned = None
        solid = turned or solid
    if solid.mode == "CMYK":
        solid = solid.convert("RGB")
    if alpha is not None:
        solid.putalpha(alpha)
    return solid


def _encode_file(image: Image.Image, *, is_drawing: bool) -> ConvertedFile:
    # Only the pixels: Pillow would write the metadata of the upload as well.
    bare = Image.frombytes(image.mode, image.size, image.tobytes())
    buffer = BytesIO()
    is_png = is_drawing or image.mode == "RGBA"
    if is_png:
        bare.save(buffer, "PNG", optimize=True)
    if not is_png or (buffer.tell() > MAX_FILE_BYTES and image.mode != "RGBA"):  # noise of a photograph
        is_png, buffer = False, BytesIO()
        bare.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    if buffer.tell() > MAX_FILE_BYTES:
        raise UnusableImageError(
            f"it would add {buffer.tell() // 1024} KB to every mail; at most {MAX_FILE_BYTES // 1024} are sensible"
        )
    kind = "image/png" if is_png else "image/jpeg"
    return ConvertedFile(content_type=kind, width=image.width, height=image.height, data=buffer.getvalue())

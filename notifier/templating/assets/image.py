"""Convert an uploaded image into the files that mails show: small, without metadata, always with the same bytes.

Decoders may be exploited, so outside of tests this runs in a child process (`conversion_process`), never in the API or
the sender. The files are encoded again from the pixels; nothing else of the upload is in them.
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

LARGEST_UPLOAD: Final = 10 * 1024 * 1024
TOO_LONG: Final = f"the file has more than {LARGEST_UPLOAD // 1024**2} MiB"
MOST_PIXELS: Final = 50_000_000
LONGEST_SIDE: Final = 20_000
MAIL_WIDTH: Final = 600
"""CSS pixels: the width of an image without options, because mails are not wider."""
LARGEST_FILE: Final = 1024 * 1024
"""Bytes of a converted file: every mail carries it."""
MOST_COLOURS: Final = 1024
MOST_GREYS: Final = 64
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


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a conversion, in CSS pixels."""

    mode: AssetMode = AssetMode.FIT
    width: int | None = None
    height: int | None = None  # `crop` needs both


class MadeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A converted file."""

    content_type: str
    width: int  # in its own pixels
    height: int
    octets: bytes


class Made(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The converted files of an image."""

    files: dict[str, MadeFile]  # "1x", and "2x" if the image has the pixels
    note: str = ""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why an image cannot be converted."""

    reason: str


class _Unfit(Exception):  # noqa: N818
    """The image cannot be used; the message says why."""


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the image is shown, and how large."""

    box: tuple[float, float, float, float]
    one: _Size
    two: _Size | None


def make(data: bytes, wish: Wish, progress: Callable[[int], None] = lambda _percent: None) -> Made | Refused:
    """Convert an image; whatever is wrong with it is returned, never raised."""
    try:
        return _made(data, wish, progress)
    except _Unfit as error:
        return Refused(reason=str(error))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Refused(reason=_too_large())
    except MemoryError:
        return Refused(reason="the image needs too much memory")
    except Exception:  # noqa: BLE001 - decoders raise any exception
        return Refused(reason="the image cannot be read: it is damaged or incomplete")


def _made(data: bytes, wish: Wish, progress: Callable[[int], None]) -> Made:
    kind = kind_of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image: Image.Image = Image.open(BytesIO(data), formats=(_FORMATS[kind],))
        _measure(image.size)
        moves = bool(getattr(image, "is_animated", False))
        image.seek(0)
        turn = int(image.getexif().get(_ORIENTATION, 1))
        plan = _plan(image.size, wish, on_its_side=turn in _ON_ITS_SIDE)
        profile = image.info.get("icc_profile")
        image.load()
    image = _plain(image)
    is_drawing = _is_drawing(image)
    progress(30)
    files = {}
    for name, size in (("1x", plan.one), ("2x", plan.two)):
        if size is not None:
            small = image.resize(size, Resampling.LANCZOS, box=plan.box, reducing_gap=3.0)
            small = _in_srgb(small, profile)
            files[name] = _written(small.transpose(_TURNS[turn]) if turn in _TURNS else small, is_drawing=is_drawing)
            progress(60)
    note = "It is animated; mails show its first frame only." if moves else ""
    return Made(files=files, note=note)


def kind_of(data: bytes) -> str:
    """Detect the content type by the first bytes; Pillow then tries only this decoder."""
    if len(data) > LARGEST_UPLOAD:
        raise _Unfit(TOO_LONG)
    if _SVG.match(data):
        raise _Unfit("SVG is not shown by mail programs, and can contain scripts: export it as PNG, at twice the size")
    try:
        types = {match.mime_type for match in puremagic.magic_string(data)}
    except (puremagic.PureError, ValueError):
        types = set()
    for kind in _FORMATS:
        if kind in types and (kind != "image/webp" or data[8:12] == b"WEBP"):
            return kind
    raise _Unfit("the content is neither PNG, JPEG, GIF nor WebP")


def _too_large() -> str:
    return f"an image has at most {MOST_PIXELS // 1_000_000} million pixels, and {LONGEST_SIDE} on a side"


def _measure(size: _Size) -> None:
    if size[0] * size[1] > MOST_PIXELS or max(size) > LONGEST_SIDE:
        raise _Unfit(_too_large())


def _plan(size: _Size, wish: Wish, *, on_its_side: bool) -> _Plan:
    """Plan in sizes as the image is stored; one that is stored on its side is turned later."""
    upright = size[::-1] if on_its_side else size
    width, height = wish.width, wish.height
    if wish.mode is AssetMode.CROP:
        if width is None or height is None:
            raise _Unfit("crop needs a width and a height")
        single = (width, height)
        if upright[0] < width or upright[1] < height:
            raise _Unfit(
                f"the image has {upright[0]} by {upright[1]} pixels; to crop it, {width} by {height} are needed"
            )
        scale = max(width / upright[0], height / upright[1])
        part = (min(width / scale, upright[0]), min(height / scale, upright[1]))
    else:
        scale = min(1.0, (width or MAIL_WIDTH) / upright[0], height / upright[1] if height else 1.0)
        single = (max(1, round(upright[0] * scale)), max(1, round(upright[1] * scale)))
        part = (float(upright[0]), float(upright[1]))
    # Rounding up may have added a pixel: a pixel less than twice the size counts as twice.
    double = None
    if part[0] >= 2 * single[0] - 1 and part[1] >= 2 * single[1] - 1:
        double = (2 * single[0], 2 * single[1])
        if wish.mode is AssetMode.FIT:
            double = (min(double[0], upright[0]), min(double[1], upright[1]))
    if on_its_side:
        part, single, double = part[::-1], single[::-1], double[::-1] if double else None
    x, y = (size[0] - part[0]) / 2, (size[1] - part[1]) / 2
    return _Plan(box=(x, y, x + part[0], y + part[1]), one=single, two=double)


def _plain(image: Image.Image) -> Image.Image:
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
    colours: Any = image.getcolors(MOST_COLOURS)
    if colours is None:
        return False
    is_grey = image.mode == "L" or (image.mode != "CMYK" and all(len({*colour[:3]}) == 1 for _, colour in colours))
    return not is_grey or len(colours) <= MOST_GREYS


def _in_srgb(image: Image.Image, profile: Any) -> Image.Image:
    """Convert the colours to sRGB, which programs without colour management show right."""
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


def _written(image: Image.Image, *, is_drawing: bool) -> MadeFile:
    # Only the pixels: Pillow would write the metadata of the upload as well.
    bare = Image.frombytes(image.mode, image.size, image.tobytes())
    octets = BytesIO()
    is_png = is_drawing or image.mode == "RGBA"
    if is_png:
        bare.save(octets, "PNG", optimize=True)
    if not is_png or (octets.tell() > LARGEST_FILE and image.mode != "RGBA"):  # a photograph's grain
        is_png, octets = False, BytesIO()
        bare.save(octets, "JPEG", quality=JPEG_QUALITY, optimize=True)
    if octets.tell() > LARGEST_FILE:
        raise _Unfit(
            f"it would add {octets.tell() // 1024} KB to every mail; at most {LARGEST_FILE // 1024} are sensible"
        )
    kind = "image/png" if is_png else "image/jpeg"
    return MadeFile(content_type=kind, width=image.width, height=image.height, octets=octets.getvalue())

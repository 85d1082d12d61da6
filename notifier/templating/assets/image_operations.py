"""Operations on an image, done in the order in which they are given.

Sizes and radii are in CSS pixels. A pixel of the upload is one, until `resize` or `fit` makes the image smaller: then
the large file (2x) has two pixels for each, as far as the upload has them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec
from PIL import Image, ImageFilter
from PIL.Image import Resampling

from notifier.errors import Fault

MAX_OPERATIONS: Final = 5
MAX_SHOWN_SIDE: Final = 1200
"""CSS pixels of a side after `resize` or `fit`."""
MAX_CROP_SIDE: Final = 20_000
MAX_BLUR_RADIUS: Final = 50
MAX_SHARPEN_RADIUS: Final = 10
MAX_SHARPEN_PERCENT: Final = 500
DEFAULT_WIDTH: Final = 600
"""CSS pixels: the width of an image without options, because mails are not wider."""
REJECTED = "asset_rejected"
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_COLOUR_FORM = "a colour such as #ffffff"
_Size = tuple[int, int]


class ImageStep(StrEnum):
    """An operation on an image."""

    RESIZE = "resize"  # to exactly this size
    FIT = "fit"  # the whole image, within width and height
    CROP = "crop"  # cuts out a rectangle
    FLATTEN = "flatten"  # puts it on a colour
    GREY = "grey"
    BLUR = "blur"
    SHARPEN = "sharpen"


class ImageOperation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One operation; each takes only some of the fields."""

    do: ImageStep
    width: int | None = None
    height: int | None = None
    x: int | None = None  # of `crop`: from the left; None: in the middle
    y: int | None = None
    colour: str | None = None  # `#rrggbb`
    radius: float | None = None
    percent: int | None = None  # of `sharpen`


class UnusableImageError(Exception):
    """The image cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class _FieldRule:
    """Which fields an operation takes, with their limits, and which of them it needs."""

    limits: Mapping[str, tuple[float, float]]
    needed: Sequence[str] = ()
    needs_one: Sequence[str] = ()  # at least one of these


_SHOWN = {"width": (1, MAX_SHOWN_SIDE), "height": (1, MAX_SHOWN_SIDE)}
_RULES: Mapping[ImageStep, _FieldRule] = {
    ImageStep.RESIZE: _FieldRule(limits=_SHOWN, needs_one=("width", "height")),
    ImageStep.FIT: _FieldRule(limits=_SHOWN, needs_one=("width", "height")),
    ImageStep.CROP: _FieldRule(
        limits={
            "width": (1, MAX_CROP_SIDE),
            "height": (1, MAX_CROP_SIDE),
            "x": (0, MAX_CROP_SIDE),
            "y": (0, MAX_CROP_SIDE),
        },
        needed=("width", "height"),
    ),
    ImageStep.FLATTEN: _FieldRule(limits={}, needed=("colour",)),
    ImageStep.GREY: _FieldRule(limits={}),
    ImageStep.BLUR: _FieldRule(limits={"radius": (0.1, MAX_BLUR_RADIUS)}, needed=("radius",)),
    ImageStep.SHARPEN: _FieldRule(
        limits={"radius": (0.1, MAX_SHARPEN_RADIUS), "percent": (1, MAX_SHARPEN_PERCENT)}, needed=("radius", "percent")
    ),
}


def find_operation_faults(operations: Sequence[ImageOperation], pointer: str = "/operations") -> list[Fault]:
    """Find the faults of a list of operations, each with the pointer of its field."""
    if len(operations) > MAX_OPERATIONS:
        return [Fault(pointer, "too_many", f"at most {MAX_OPERATIONS} operations")]
    faults = []
    for number, operation in enumerate(operations):
        for field, detail in _list_field_faults(operation):
            faults.append(Fault(f"{pointer}/{number}{field}", REJECTED, detail))
    return faults


def _list_field_faults(operation: ImageOperation) -> list[tuple[str, str]]:
    rule, values = _RULES[operation.do], msgspec.to_builtins(operation)
    values.pop("do")
    faults = [(f"/{name}", f"{operation.do} needs it") for name in rule.needed if name not in values]
    if rule.needs_one and not set(rule.needs_one) & set(values):
        faults.append(("", f"{operation.do} needs {' or '.join(rule.needs_one)}"))
    for name, value in values.items():
        if name == "colour" and "colour" in rule.needed:
            faults += [] if _COLOUR.fullmatch(value) else [("/colour", _COLOUR_FORM)]
        elif name not in rule.limits:
            faults.append((f"/{name}", f"{operation.do} does not take it"))
        elif not rule.limits[name][0] <= value <= rule.limits[name][1]:
            least, most = rule.limits[name]
            faults.append((f"/{name}", f"{least:g} to {most:g}"))
    return faults


def apply_operations(image: Image.Image, operations: Sequence[ImageOperation]) -> dict[str, Image.Image]:
    """Apply the operations to an upright image in sRGB; returns the images "1x" and, with enough pixels, "2x".

    An image that no operation has made smaller is fitted to `DEFAULT_WIDTH` at the end. Raises `UnusableImageError`.
    """
    steps = [*operations]
    if not any(step.do in {ImageStep.RESIZE, ImageStep.FIT} for step in steps):
        steps.append(ImageOperation(do=ImageStep.FIT, width=DEFAULT_WIDTH, height=MAX_CROP_SIDE))
    single, double = (_run_steps(image, steps, density) for density in (1, 2))
    files = {"1x": single}
    # Rounding up may have added a pixel: a pixel less than twice the size counts as twice.
    if double.width >= 2 * single.width - 1 and double.height >= 2 * single.height - 1:
        files["2x"] = double
    return files


@dataclass(frozen=True, kw_only=True)
class _Canvas:
    image: Image.Image
    density: float  # pixels for each CSS pixel
    wanted: float  # the density that `resize` and `fit` leave, if there are enough pixels

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in CSS pixels."""
        return self.image.width / self.density, self.image.height / self.density

    def scale_to(self, width: float, height: float) -> "_Canvas":
        """Scale to this size in CSS pixels, which is not larger than its own."""
        density = min(self.wanted, self.image.width / width, self.image.height / height)
        size = (max(1, round(width * density)), max(1, round(height * density)))
        scaled = self.image if size == self.image.size else self.image.resize(size, Resampling.LANCZOS, reducing_gap=3)
        return _Canvas(image=scaled, density=density, wanted=self.wanted)

    def replace_image(self, image: Image.Image) -> "_Canvas":
        """Return the canvas with another image of the same density."""
        return _Canvas(image=image, density=self.density, wanted=self.wanted)


def _run_steps(image: Image.Image, steps: Sequence[ImageOperation], wanted: float) -> Image.Image:
    canvas = _Canvas(image=image, density=1, wanted=wanted)
    for step in steps:
        canvas = _STEPS[step.do](canvas, step)
    return canvas.image


def _resize(canvas: _Canvas, step: ImageOperation) -> _Canvas:
    own_width, own_height = canvas.size
    width = step.width or (step.height or 0) * own_width / own_height
    height = step.height or (step.width or 0) * own_height / own_width
    shown, own = f"{width:.0f} by {height:.0f}", f"{own_width:.0f} by {own_height:.0f}"
    if max(width, height) > MAX_SHOWN_SIDE:
        raise UnusableImageError(f"resize would make it {shown} pixels; at most {MAX_SHOWN_SIDE} a side are shown")
    if round(own_width) < round(width) or round(own_height) < round(height):
        raise UnusableImageError(f"the image has {own} pixels there; to resize it, {shown} are needed")
    return canvas.scale_to(min(width, own_width), min(height, own_height))


def _fit(canvas: _Canvas, step: ImageOperation) -> _Canvas:
    own_width, own_height = canvas.size
    scale = min(1.0, (step.width or DEFAULT_WIDTH) / own_width, step.height / own_height if step.height else 1.0)
    return canvas.scale_to(max(1, round(own_width * scale)), max(1, round(own_height * scale)))


def _crop(canvas: _Canvas, step: ImageOperation) -> _Canvas:
    own_width, own_height = (round(side) for side in canvas.size)
    width, height = step.width or 1, step.height or 1
    x = (own_width - width) / 2 if step.x is None else step.x
    y = (own_height - height) / 2 if step.y is None else step.y
    if x < 0 or y < 0 or x + width > own_width or y + height > own_height:
        part = f"{width} by {height}" + (f" from {x:g}, {y:g}" if step.x is not None or step.y is not None else "")
        raise UnusableImageError(
            f"the image has {own_width} by {own_height} pixels there; to crop it, {part} is needed"
        )
    left, top = int(x * canvas.density), int(y * canvas.density)
    right = min(left + round(width * canvas.density), canvas.image.width)
    bottom = min(top + round(height * canvas.density), canvas.image.height)
    return canvas.replace_image(canvas.image.crop((left, top, right, bottom)))


def _flatten(canvas: _Canvas, step: ImageOperation) -> _Canvas:
    image = canvas.image
    if image.mode != "RGBA":
        return canvas
    ground = Image.new("RGBA", image.size, step.colour or "#ffffff")
    return canvas.replace_image(Image.alpha_composite(ground, image).convert("RGB"))


def _make_grey(canvas: _Canvas, _step: ImageOperation) -> _Canvas:
    grey = canvas.image.convert("L")
    if canvas.image.mode == "RGBA":
        grey = Image.merge("RGBA", (grey, grey, grey, canvas.image.getchannel("A")))
    return canvas.replace_image(grey)


def _blur(canvas: _Canvas, step: ImageOperation) -> _Canvas:
    image, blur = canvas.image, ImageFilter.GaussianBlur((step.radius or 0) * canvas.density)
    if image.mode == "RGBA":  # with premultiplied colours, those of transparent pixels do not shine through
        return canvas.replace_image(image.convert("RGBa").filter(blur).convert("RGBA"))
    return canvas.replace_image(image.filter(blur))


def _sharpen(canvas: _Canvas, step: ImageOperation) -> _Canvas:
    image = canvas.image
    mask = ImageFilter.UnsharpMask((step.radius or 0) * canvas.density, step.percent or 0, 0)
    if image.mode == "RGBA":  # its outline stays as it is
        sharp = image.convert("RGB").filter(mask)
        sharp.putalpha(image.getchannel("A"))
        return canvas.replace_image(sharp)
    return canvas.replace_image(image.filter(mask))


_STEPS: Mapping[ImageStep, Callable[[_Canvas, ImageOperation], _Canvas]] = {
    ImageStep.RESIZE: _resize,
    ImageStep.FIT: _fit,
    ImageStep.CROP: _crop,
    ImageStep.FLATTEN: _flatten,
    ImageStep.GREY: _make_grey,
    ImageStep.BLUR: _blur,
    ImageStep.SHARPEN: _sharpen,
}


def read_operations(stored: Any) -> tuple[ImageOperation, ...]:
    """Read operations as they are stored or sent. Raises `msgspec.ValidationError`."""
    return msgspec.convert(stored or (), tuple[ImageOperation, ...])

"""Operations on images, compared by pixels with what Pillow does for each of them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from PIL import Image, ImageFilter
from PIL.Image import Resampling
from support.sample_images import decode_image, draw_photograph, draw_red_bar, encode_camera_jpeg, encode_image

from notifier.templating.assets import image_operations
from notifier.templating.assets.image_conversion import ConvertedImage, ImageOptions, RejectedImage, convert_image
from notifier.templating.assets.image_operations import (
    ImageOperation,
    ImageStep,
    find_operation_faults,
    read_operations,
)


def operations(*steps: dict[str, Any]) -> tuple[ImageOperation, ...]:
    """Operations as a request has them."""
    return read_operations(list(steps))


def convert(image: Image.Image, *steps: dict[str, Any]) -> dict[str, Image.Image]:
    """The files that an image becomes by these operations."""
    converted = convert_image(encode_image(image), ImageOptions(operations=operations(*steps)))
    assert isinstance(converted, ConvertedImage), converted
    assert find_operation_faults(operations(*steps)) == []
    return {name: decode_image(file.data) for name, file in converted.files.items()}


def draw_mark(width: int = 300, height: int = 100) -> Image.Image:
    """Draw an opaque left half and a transparent right half, whose hidden colour is green."""
    image = Image.new("RGBA", (width, height), (0, 255, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, width // 2, height))
    return image


def scale(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scale as Pillow does."""
    return image.resize((width, height), Resampling.LANCZOS, reducing_gap=3)


RED_BAR = draw_red_bar()
EXPECTED: dict[str, tuple[Image.Image, list[dict[str, Any]], dict[str, Callable[[], Image.Image]]]] = {
    "resize": (
        RED_BAR,
        [{"do": "resize", "width": 150}],
        {"1x": lambda: scale(RED_BAR, 150, 50), "2x": lambda: RED_BAR},
    ),
    "resize to another shape": (
        RED_BAR,
        [{"do": "resize", "width": 100, "height": 100}],
        {"1x": lambda: scale(RED_BAR, 100, 100)},
    ),
    "fit": (
        RED_BAR,
        [{"do": "fit", "width": 1200, "height": 20}],
        {"1x": lambda: scale(RED_BAR, 60, 20), "2x": lambda: scale(RED_BAR, 120, 40)},
    ),
    "crop in the middle": (
        RED_BAR,
        [{"do": "crop", "width": 100, "height": 40}],
        {"1x": lambda: RED_BAR.crop((100, 30, 200, 70))},
    ),
    "crop at a place": (
        RED_BAR,
        [{"do": "crop", "width": 20, "height": 10, "x": 140, "y": 90}],
        {"1x": lambda: RED_BAR.crop((140, 90, 160, 100))},
    ),
    "flatten": (
        draw_mark(),
        [{"do": "flatten", "colour": "#0000FF"}],
        {"1x": lambda: _halves((200, 0, 0), (0, 0, 255))},
    ),
    "flatten what is opaque": (RED_BAR, [{"do": "flatten", "colour": "#0000ff"}], {"1x": lambda: RED_BAR}),
    "grey": (RED_BAR, [{"do": "grey"}], {"1x": lambda: RED_BAR.convert("L")}),
    "grey keeps what is transparent": (
        draw_mark(),
        [{"do": "grey"}],
        {"1x": lambda: _halves((60, 60, 60, 255), (150, 150, 150, 0))},
    ),
    "blur": (RED_BAR, [{"do": "blur", "radius": 3}], {"1x": lambda: RED_BAR.filter(ImageFilter.GaussianBlur(3))}),
    "sharpen": (
        RED_BAR.filter(ImageFilter.GaussianBlur(2)),
        [{"do": "sharpen", "radius": 2, "percent": 150}],
        {
            "1x": lambda: RED_BAR.filter(ImageFilter.GaussianBlur(2)).filter(ImageFilter.UnsharpMask(2, 150, 0)),
        },
    ),
    "in order: first smaller, then a part": (
        RED_BAR,
        [{"do": "resize", "width": 150}, {"do": "crop", "width": 50, "height": 50, "x": 50, "y": 0}],
        {
            "1x": lambda: scale(RED_BAR, 150, 50).crop((50, 0, 100, 50)),
            "2x": lambda: RED_BAR.crop((100, 0, 200, 100)),
        },
    ),
    "in order: first a part, then smaller": (
        RED_BAR,
        [{"do": "crop", "width": 100, "height": 100, "x": 100, "y": 0}, {"do": "fit", "width": 50}],
        {
            "1x": lambda: scale(RED_BAR.crop((100, 0, 200, 100)), 50, 50),
            "2x": lambda: RED_BAR.crop((100, 0, 200, 100)),
        },
    ),
    "radii are in the pixels that are shown": (
        RED_BAR,
        [{"do": "fit", "width": 150}, {"do": "blur", "radius": 2}],
        {
            "1x": lambda: scale(RED_BAR, 150, 50).filter(ImageFilter.GaussianBlur(2)),
            "2x": lambda: RED_BAR.filter(ImageFilter.GaussianBlur(4)),
        },
    ),
}


def _halves(left: tuple[int, ...], right: tuple[int, ...]) -> Image.Image:
    image = Image.new("RGBA" if len(left) == 4 else "RGB", (300, 100), right)
    image.paste(left, (0, 0, 150, 100))
    return image


@pytest.mark.parametrize("case", EXPECTED)
def test_pixels(case: str) -> None:
    """Each operation gives exactly the pixels that are expected, in both files."""
    image, steps, expected = EXPECTED[case]
    files = convert(image, *steps)
    assert list(files) == list(expected)
    for name, build in expected.items():
        wanted = build()
        assert (files[name].mode, files[name].size) == (wanted.mode, wanted.size)
        assert files[name].tobytes() == wanted.tobytes()


def test_blur_shows_no_hidden_colour() -> None:
    """The colour of transparent pixels does not shine through at the edge of a blurred shape."""
    blurred = convert(draw_mark(), {"do": "blur", "radius": 5})["1x"]
    for x in range(140, 165):
        red, green, _, alpha = blurred.getpixel((x, 50))  # type: ignore[misc]
        assert alpha < 20 or (green <= 5 and red > 150), x


def test_sharpening_keeps_the_outline() -> None:
    """The transparency of a sharpened image is that of the upload."""
    mark = draw_mark().filter(ImageFilter.GaussianBlur(2))
    sharp = convert(mark, {"do": "sharpen", "radius": 3, "percent": 200})["1x"]
    assert sharp.getchannel("A").tobytes() == mark.getchannel("A").tobytes()


def test_what_no_operation_makes_smaller_is_fitted() -> None:
    """A large upload that is only made grey or cut is 600 pixels wide, with twice the pixels beside it."""
    files = convert(draw_photograph(1600, 900), {"do": "grey"})
    assert {name: file.size for name, file in files.items()} == {"1x": (600, 338), "2x": (1200, 676)}
    cut = convert(draw_photograph(1600, 900), {"do": "crop", "width": 900, "height": 900})
    assert {name: file.size for name, file in cut.items()} == {"1x": (600, 600)}


def test_it_is_upright_first() -> None:
    """Operations see the image as the camera was held."""
    data = encode_camera_jpeg(draw_red_bar(), 6)
    options = ImageOptions(operations=operations({"do": "crop", "width": 100, "height": 20, "x": 0, "y": 0}))
    converted = convert_image(data, options)
    assert isinstance(converted, ConvertedImage)
    seen = decode_image(converted.files["1x"].data).convert("RGB")
    assert seen.size == (100, 20)
    colour: Any = seen.getpixel((50, 10))
    assert colour[1] < 100  # red is at the top
    assert b"Secret Camera" not in converted.files["1x"].data


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (
            [{"do": "resize", "width": 301}],
            "the image has 300 by 100 pixels there; to resize it, 301 by 100 are needed",
        ),
        ([{"do": "crop", "width": 301, "height": 1}], "300 by 100 pixels there; to crop it, 301 by 1 is needed"),
        ([{"do": "crop", "width": 10, "height": 10, "x": 295}], "10 by 10 from 295, 45 is needed"),
        ([{"do": "fit", "width": 30}, {"do": "crop", "width": 31, "height": 1}], "the image has 30 by 10 pixels there"),
        ([{"do": "fit", "width": 30}, {"do": "resize", "width": 60}], "the image has 30 by 10 pixels there"),
    ],
)
def test_an_operation_needs_the_pixels(steps: list[dict[str, Any]], reason: str) -> None:
    """Nothing is enlarged, and no place outside of the image is shown."""
    converted = convert_image(encode_image(draw_red_bar()), ImageOptions(operations=operations(*steps)))
    assert isinstance(converted, RejectedImage)
    assert reason in converted.reason


def test_a_long_image_is_not_resized_to_a_wide_one() -> None:
    """A resize by the height alone does not exceed the maximum width."""
    wide = ImageOptions(operations=operations({"do": "resize", "height": 100}))
    converted = convert_image(encode_image(draw_red_bar(5000, 200)), wide)
    assert isinstance(converted, RejectedImage)
    assert "at most 1200 a side" in converted.reason


@pytest.mark.parametrize(
    ("step", "pointers"),
    [
        ({"do": "resize"}, [""]),
        ({"do": "resize", "width": 0}, ["/width"]),
        ({"do": "resize", "width": 1201}, ["/width"]),
        ({"do": "resize", "width": 100, "radius": 1}, ["/radius"]),
        ({"do": "fit", "x": 1}, ["", "/x"]),
        ({"do": "crop", "width": 10}, ["/height"]),
        ({"do": "crop", "width": 10, "height": 20_001, "x": -1}, ["/height", "/x"]),
        ({"do": "flatten"}, ["/colour"]),
        ({"do": "flatten", "colour": "red"}, ["/colour"]),
        ({"do": "grey", "colour": "#ffffff"}, ["/colour"]),
        ({"do": "blur", "radius": 51}, ["/radius"]),
        ({"do": "blur", "radius": 0}, ["/radius"]),
        ({"do": "sharpen", "radius": 11, "percent": 501}, ["/percent", "/radius"]),
        ({"do": "sharpen"}, ["/percent", "/radius"]),
    ],
)
def test_faults_have_pointers(step: dict[str, Any], pointers: list[str]) -> None:
    """Each operation takes and needs its own fields, within limits."""
    faults = find_operation_faults(operations({"do": "grey"}, step))
    assert sorted(fault.pointer for fault in faults) == [f"/operations/1{pointer}" for pointer in pointers]


def test_five_at_most() -> None:
    """Six operations are one fault."""
    faults = find_operation_faults(operations(*[{"do": "grey"}] * (image_operations.MAX_OPERATIONS + 1)))
    assert [(fault.pointer, fault.code) for fault in faults] == [("/operations", "too_many")]


def test_only_known_operations_are_read() -> None:
    """An unknown operation or field in a file is refused."""
    for wrong in ({"do": "emboss"}, {"do": "grey", "strength": 3}, {"width": 3}):
        with pytest.raises(msgspec.ValidationError):
            operations(wrong)
    assert {step.value for step in ImageStep} == {
        "resize", "fit", "crop", "flatten", "grey", "blur", "sharpen",
    }  # fmt: skip

"""Converting images: size, format, and removed metadata."""

import warnings
from typing import Any

import pytest
from PIL import Image, ImageCms
from support.sample_images import HTML, decode_image, draw_photograph, draw_red_bar, encode_camera_jpeg, encode_image

from notifier.states import AssetMode
from notifier.templating.assets import image_conversion
from notifier.templating.assets.image_conversion import ConvertedImage, ImageOptions, RejectedImage, convert_image

CROP = AssetMode.CROP


def made(data: bytes, wish: ImageOptions | None = None) -> ConvertedImage:
    """Convert a valid picture into its files."""
    image = convert_image(data, wish or ImageOptions())
    assert isinstance(image, ConvertedImage), image
    return image


@pytest.mark.parametrize(
    ("size", "wish", "sizes"),
    [
        ((300, 100), ImageOptions(), [(300, 100)]),
        ((1200, 801), ImageOptions(), [(600, 400), (1200, 800)]),
        ((900, 600), ImageOptions(), [(600, 400)]),
        ((300, 100), ImageOptions(width=150), [(150, 50), (300, 100)]),
        ((300, 100), ImageOptions(width=1200, height=50), [(150, 50), (300, 100)]),
        ((300, 100), ImageOptions(width=1000), [(300, 100)]),
        ((1199, 799), ImageOptions(), [(600, 400), (1199, 799)]),
        ((300, 100), ImageOptions(mode=CROP, width=50, height=50), [(50, 50), (100, 100)]),
        ((300, 100), ImageOptions(mode=CROP, width=80, height=60), [(80, 60)]),
        ((5000, 3), ImageOptions(width=10), [(10, 1), (20, 2)]),
    ],
)
def test_its_sizes(size: tuple[int, int], wish: ImageOptions, sizes: list[tuple[int, int]]) -> None:
    """The size fits the options or equals them; 2x only with enough pixels; never enlarged."""
    files = made(encode_image(draw_red_bar(*size)), wish).files
    assert [(file.width, file.height) for file in files.values()] == sizes
    assert list(files) == ["1x", "2x"][: len(sizes)]
    assert [decode_image(file.data).size for file in files.values()] == sizes


def test_crop_cuts_both_sides_alike() -> None:
    """A crop keeps the middle."""
    middle = decode_image(
        made(encode_image(draw_red_bar()), ImageOptions(mode=CROP, width=40, height=40)).files["1x"].data
    )
    assert [middle.getpixel((x, 20)) for x in (1, 38)] == [(200, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize(("orientation", "red"), [(1, "left"), (3, "right"), (6, "top"), (8, "bottom")])
def test_it_stands_as_the_camera_was_held(orientation: int, red: str) -> None:
    """EXIF rotation is applied to the pixels before the size is computed."""
    file = made(encode_camera_jpeg(draw_red_bar(), orientation), ImageOptions(width=60)).files["1x"]
    assert (file.width, file.height) == ((60, 20) if red in {"left", "right"} else (60, 180))
    seen = decode_image(file.data).convert("RGB")
    places = {"left": (2, 10), "right": (57, 10), "top": (30, 2), "bottom": (30, 177)}
    colour: Any = seen.getpixel(places[red])
    assert colour[1] < 100


def test_nothing_is_left_of_where_it_was_taken() -> None:
    """Place, camera, comments and trailing data are removed in every format."""
    for data in (
        encode_camera_jpeg(draw_photograph()),
        encode_camera_jpeg(draw_red_bar()),
        encode_image(draw_red_bar()) + HTML,
    ):
        for file in made(data).files.values():
            seen = decode_image(file.data)
            assert not seen.getexif()
            assert not {"exif", "comment", "xmp", "icc_profile", "dpi"} & set(seen.info)
            for secret in (b"Secret Camera", b"taken at home", b"script", b"Exif"):
                assert secret not in file.data


@pytest.mark.parametrize(
    ("picture", "kind", "expected"),
    [
        (draw_photograph(), "PNG", "image/jpeg"),
        (draw_photograph(), "WEBP", "image/jpeg"),
        (draw_photograph().convert("L"), "PNG", "image/jpeg"),
        (draw_red_bar(), "JPEG", "image/png"),
        (draw_red_bar(), "GIF", "image/png"),
        (Image.new("RGBA", (40, 40), (9, 9, 9, 90)), "WEBP", "image/png"),
        (Image.new("LA", (40, 40), (9, 90)), "PNG", "image/png"),
        (Image.new("1", (40, 40), 1), "PNG", "image/png"),
    ],
)
def test_its_form(picture: Image.Image, kind: str, expected: str) -> None:
    """Photographs become JPEG; few colours or transparency become PNG."""
    assert made(encode_image(picture, kind)).files["1x"].content_type == expected


def test_what_can_be_seen_through_stays_so() -> None:
    """A transparent palette colour becomes an alpha channel."""
    palette = draw_red_bar().quantize(2)
    file = made(encode_image(palette, transparency=palette.getpixel((299, 0)))).files["1x"]
    assert [pixel[3] for pixel in _pixels(file.data, (1, 1), (298, 1))] == [255, 0]


def _pixels(data: bytes, *places: tuple[int, int]) -> list[Any]:
    seen = decode_image(data)
    return [seen.getpixel(place) for place in places]


def test_other_colours_become_those_of_screens() -> None:
    """CMYK, 16-bit grey and images with a colour profile become screen colours."""
    cmyk = encode_image(Image.new("CMYK", (50, 50), (0, 255, 255, 0)), "JPEG")
    grey = encode_image(Image.new("I;16", (50, 50), 40_000))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    odd = encode_image(Image.new("RGB", (50, 50), (200, 0, 0)), icc_profile=swapped)
    wrong = encode_image(Image.new("RGB", (50, 50), (90, 90, 90)), icc_profile=b"no profile at all")
    colours = [_pixels(made(data).files["1x"].data, (5, 5))[0] for data in (cmyk, grey, odd, wrong)]
    assert colours[0][0] > 240
    assert colours[0][1] < 20
    assert colours[1] == 156
    assert (colours[2][0] < 10, colours[2][2] > 190) == (True, True)
    assert colours[3] == (90, 90, 90)


def test_an_animation_becomes_its_first_frame() -> None:
    """Only the first frame is kept, and a note says so."""
    moving = encode_image(draw_red_bar(), "GIF", save_all=True, append_images=[draw_red_bar().rotate(180)])
    converted = made(moving)
    assert "first frame" in converted.note
    assert converted.files == made(encode_image(draw_red_bar(), "GIF")).files


def test_the_same_picture_becomes_the_same_octets() -> None:
    """The output bytes are the same each time, whatever the metadata."""
    data = encode_camera_jpeg(draw_photograph())
    assert made(data).files == made(data).files == made(encode_camera_jpeg(draw_photograph())).files


BOMB = encode_image(Image.new("1", (15_000, 15_000)))
HOSTILE: dict[str, tuple[bytes, str]] = {
    "bomb": (BOMB, "million pixels"),
    "too many pixels": (encode_image(Image.new("1", (8_000, 8_000))), "million pixels"),
    "too long a side": (encode_image(Image.new("1", (20_001, 1))), "million pixels"),
    "truncated": (encode_image(draw_photograph(300, 200))[:2_000], "damaged"),
    "truncated JPEG": (encode_camera_jpeg(draw_photograph(300, 200))[:2_000], "damaged"),
    "HTML": (HTML, "neither PNG"),
    "HTML behind a signature": (b"\x89PNG\r\n\x1a\n" + HTML, "damaged"),
    "HTML behind GIF89a": (b"GIF89a" + HTML, ""),
    "SVG": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "SVG with a comment": (b"<!-- a --><svg onload='alert(1)'/>", "SVG"),
    "PDF": (b"%PDF-1.7\n%%EOF", "neither PNG"),
    "BMP": (encode_image(draw_red_bar(), "BMP"), "neither PNG"),
    "nothing": (b"", "neither PNG"),
    "too many octets": (b"\x89PNG\r\n\x1a\n" + bytes(image_conversion.MAX_UPLOAD_BYTES), "MiB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_for_a_mail_is_refused_with_a_reason(name: str) -> None:
    """Bad pictures are refused with a reason, without exception, warning or decoding of huge ones."""
    data, reason = HOSTILE[name]
    with warnings.catch_warnings(record=True) as heard:
        converted = convert_image(data, ImageOptions())
    assert isinstance(converted, RejectedImage)
    assert reason in converted.reason
    assert not heard


def test_crop_needs_the_pixels() -> None:
    """A crop larger than the picture or without a size is refused."""
    for wish in (ImageOptions(mode=CROP, width=301, height=50), ImageOptions(mode=CROP, width=300)):
        assert isinstance(convert_image(encode_image(draw_red_bar()), wish), RejectedImage)


def test_no_mail_carries_a_megabyte() -> None:
    """A transparent picture that stays too large is refused with its size."""
    noise = Image.effect_noise((900, 900), 90)
    converted = convert_image(
        encode_image(Image.merge("RGBA", (noise, noise.rotate(90), noise, noise))), ImageOptions(width=900)
    )
    assert isinstance(converted, RejectedImage)
    assert "KB" in converted.reason

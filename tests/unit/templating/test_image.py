"""What becomes of a picture: its size, its form, and what is left of what it said about its owner."""

import warnings
from typing import Any

import pytest
from parts.picture import HTML, decoded, drawing, encoded, from_a_camera, photograph
from PIL import Image, ImageCms

from notifier.states import AssetMode
from notifier.templating.assets import image
from notifier.templating.assets.image import Made, Refused, Wish, make

CROP = AssetMode.CROP


def made(data: bytes, wish: Wish | None = None) -> Made:
    """The files of a picture that can be used."""
    found = make(data, wish or Wish())
    assert isinstance(found, Made), found
    return found


@pytest.mark.parametrize(
    ("size", "wish", "sizes"),
    [
        ((300, 100), Wish(), [(300, 100)]),
        ((1200, 801), Wish(), [(600, 400), (1200, 800)]),
        ((900, 600), Wish(), [(600, 400)]),
        ((300, 100), Wish(width=150), [(150, 50), (300, 100)]),
        ((300, 100), Wish(width=1200, height=50), [(150, 50), (300, 100)]),
        ((300, 100), Wish(width=1000), [(300, 100)]),
        ((1199, 799), Wish(), [(600, 400), (1199, 799)]),
        ((300, 100), Wish(mode=CROP, width=50, height=50), [(50, 50), (100, 100)]),
        ((300, 100), Wish(mode=CROP, width=80, height=60), [(80, 60)]),
        ((5000, 3), Wish(width=10), [(10, 1), (20, 2)]),
    ],
)
def test_its_sizes(size: tuple[int, int], wish: Wish, sizes: list[tuple[int, int]]) -> None:
    """Within what is asked for, or exactly that; twice the size only if the pixels are there; never enlarged."""
    files = made(encoded(drawing(*size)), wish).files
    assert [(file.width, file.height) for file in files.values()] == sizes
    assert list(files) == ["1x", "2x"][: len(sizes)]
    assert [decoded(file.octets).size for file in files.values()] == sizes


def test_crop_cuts_both_sides_alike() -> None:
    """The middle stays: as much red to the left of it as white to the right."""
    middle = decoded(made(encoded(drawing()), Wish(mode=CROP, width=40, height=40)).files["1x"].octets)
    assert [middle.getpixel((x, 20)) for x in (1, 38)] == [(200, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize(("orientation", "red"), [(1, "left"), (3, "right"), (6, "top"), (8, "bottom")])
def test_it_stands_as_the_camera_was_held(orientation: int, red: str) -> None:
    """EXIF's turn is made in the pixels, and counts for what is asked for."""
    file = made(from_a_camera(drawing(), orientation), Wish(width=60)).files["1x"]
    assert (file.width, file.height) == ((60, 20) if red in {"left", "right"} else (60, 180))
    seen = decoded(file.octets).convert("RGB")
    places = {"left": (2, 10), "right": (57, 10), "top": (30, 2), "bottom": (30, 177)}
    colour: Any = seen.getpixel(places[red])
    assert colour[1] < 100


def test_nothing_is_left_of_where_it_was_taken() -> None:
    """Neither the place, nor the camera, nor a comment, nor what stands behind the end; whatever the form."""
    for data in (from_a_camera(photograph()), from_a_camera(drawing()), encoded(drawing()) + HTML):
        for file in made(data).files.values():
            seen = decoded(file.octets)
            assert not seen.getexif()
            assert not {"exif", "comment", "xmp", "icc_profile", "dpi"} & set(seen.info)
            for secret in (b"Secret Camera", b"taken at home", b"script", b"Exif"):
                assert secret not in file.octets


@pytest.mark.parametrize(
    ("picture", "kind", "expected"),
    [
        (photograph(), "PNG", "image/jpeg"),
        (photograph(), "WEBP", "image/jpeg"),
        (photograph().convert("L"), "PNG", "image/jpeg"),
        (drawing(), "JPEG", "image/png"),
        (drawing(), "GIF", "image/png"),
        (Image.new("RGBA", (40, 40), (9, 9, 9, 90)), "WEBP", "image/png"),
        (Image.new("LA", (40, 40), (9, 90)), "PNG", "image/png"),
        (Image.new("1", (40, 40), 1), "PNG", "image/png"),
    ],
)
def test_its_form(picture: Image.Image, kind: str, expected: str) -> None:
    """Photographs are JPEG; what has few colours, or can be seen through, is PNG."""
    assert made(encoded(picture, kind)).files["1x"].content_type == expected


def test_what_can_be_seen_through_stays_so() -> None:
    """The palette's transparent colour becomes a real one."""
    palette = drawing().quantize(2)
    file = made(encoded(palette, transparency=palette.getpixel((299, 0)))).files["1x"]
    assert [pixel[3] for pixel in _pixels(file.octets, (1, 1), (298, 1))] == [255, 0]


def _pixels(data: bytes, *places: tuple[int, int]) -> list[Any]:
    seen = decoded(data)
    return [seen.getpixel(place) for place in places]


def test_other_colours_become_those_of_screens() -> None:
    """CMYK, 16 bits of grey, and a profile of its own all end as what a browser shows."""
    cmyk = encoded(Image.new("CMYK", (50, 50), (0, 255, 255, 0)), "JPEG")
    grey = encoded(Image.new("I;16", (50, 50), 40_000))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    odd = encoded(Image.new("RGB", (50, 50), (200, 0, 0)), icc_profile=swapped)
    wrong = encoded(Image.new("RGB", (50, 50), (90, 90, 90)), icc_profile=b"no profile at all")
    colours = [_pixels(made(data).files["1x"].octets, (5, 5))[0] for data in (cmyk, grey, odd, wrong)]
    assert colours[0][0] > 240
    assert colours[0][1] < 20
    assert colours[1] == 156
    assert (colours[2][0] < 10, colours[2][2] > 190) == (True, True)
    assert colours[3] == (90, 90, 90)


def test_an_animation_becomes_its_first_frame() -> None:
    """The first frame is kept, and the note says so."""
    moving = encoded(drawing(), "GIF", save_all=True, append_images=[drawing().rotate(180)])
    found = made(moving)
    assert "first frame" in found.note
    assert found.files == made(encoded(drawing(), "GIF")).files


def test_the_same_picture_becomes_the_same_octets() -> None:
    """However often, and whatever its metadata said."""
    data = from_a_camera(photograph())
    assert made(data).files == made(data).files == made(from_a_camera(photograph())).files


BOMB = encoded(Image.new("1", (15_000, 15_000)))
HOSTILE: dict[str, tuple[bytes, str]] = {
    "bomb": (BOMB, "million pixels"),
    "too many pixels": (encoded(Image.new("1", (8_000, 8_000))), "million pixels"),
    "too long a side": (encoded(Image.new("1", (20_001, 1))), "million pixels"),
    "truncated": (encoded(photograph(300, 200))[:2_000], "damaged"),
    "truncated JPEG": (from_a_camera(photograph(300, 200))[:2_000], "damaged"),
    "HTML": (HTML, "neither PNG"),
    "HTML behind a signature": (b"\x89PNG\r\n\x1a\n" + HTML, "damaged"),
    "HTML behind GIF89a": (b"GIF89a" + HTML, ""),
    "SVG": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "SVG with a comment": (b"<!-- a --><svg onload='alert(1)'/>", "SVG"),
    "PDF": (b"%PDF-1.7\n%%EOF", "neither PNG"),
    "BMP": (encoded(drawing(), "BMP"), "neither PNG"),
    "nothing": (b"", "neither PNG"),
    "too many octets": (b"\x89PNG\r\n\x1a\n" + bytes(image.LARGEST_UPLOAD), "MiB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_for_a_mail_is_refused_with_a_reason(name: str) -> None:
    """It never raises, warns, or decodes what is too large."""
    data, reason = HOSTILE[name]
    with warnings.catch_warnings(record=True) as heard:
        found = make(data, Wish())
    assert isinstance(found, Refused)
    assert reason in found.reason
    assert not heard


def test_crop_needs_the_pixels() -> None:
    """Too small a picture is refused, and not blown up; so is a crop without a size."""
    for wish in (Wish(mode=CROP, width=301, height=50), Wish(mode=CROP, width=300)):
        assert isinstance(make(encoded(drawing()), wish), Refused)


def test_no_mail_carries_a_megabyte() -> None:
    """A picture that stays too large, because it can be seen through, is refused with its size."""
    noise = Image.effect_noise((900, 900), 90)
    found = make(encoded(Image.merge("RGBA", (noise, noise.rotate(90), noise, noise))), Wish(width=900))
    assert isinstance(found, Refused)
    assert "KB" in found.reason

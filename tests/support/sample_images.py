"""Pictures like those of staff, cameras and attackers."""

from base64 import b64encode
from io import BytesIO
from typing import Any

import httpx2
from PIL import Image

HTML = b"<html><script>alert(1)</script></html>"


def draw_photograph(width: int = 1600, height: int = 900) -> Image.Image:
    """Draw many colours, with no two equal rows or columns."""
    ramps = [Image.linear_gradient("L").resize((width, height)), Image.radial_gradient("L").resize((width, height))]
    return Image.merge("RGB", (ramps[0], ramps[1], ramps[0].transpose(Image.Transpose.ROTATE_180)))


def draw_red_bar(width: int = 300, height: int = 100) -> Image.Image:
    """Draw a white picture whose left half is red."""
    image = Image.new("RGB", (width, height), "white")
    image.paste((200, 0, 0), (0, 0, width // 2, height))
    return image


def encode_image(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Encode the picture as a file."""
    target = BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def encode_camera_jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    """Encode a JPEG with GPS position and orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Secret Camera"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)  # GPSLatitude
    return encode_image(image, "JPEG", exif=exif, comment=b"taken at home", xmp=b"<x:xmpmeta>taken at home</x:xmpmeta>")


def decode_image(data: bytes) -> Image.Image:
    """Decode the file as a picture."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


async def upload_image(client: httpx2.AsyncClient, name: str, data: bytes, **fields: Any) -> httpx2.Response:
    """POST a picture."""
    return await client.post("/v1/assets", json={"name": name, "content": b64encode(data).decode()} | fields)

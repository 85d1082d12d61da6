"""The image formats that mails may contain, detected by their signatures."""

import re

_SIGNATURES = {
    "image/gif": re.compile(rb"GIF8[79]a"),  # GIF89a specification, §17
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),  # ISO/IEC 10918-1, B.1.1.3: start of image, then another marker
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),  # RFC 2083 §3.1
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),  # RFC 9649 §2.4
}


def detect_image_type(data: bytes) -> str | None:
    """Return the media type of an image by its first bytes, or None if they are of no format above."""
    return next((kind for kind, signature in _SIGNATURES.items() if signature.match(data)), None)

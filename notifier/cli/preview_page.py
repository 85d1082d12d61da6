"""A page that shows a mail in every locale, at the width of a phone and of a desktop.

It is one file, and the mails are in sandboxed frames: they run no scripts and cannot reach the page.
"""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notifier.rendering.protocol import PreviewedMail

WIDTHS = (375, 640)  # CSS pixels
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; font-src https: data:"
_STYLE = """
:root { color-scheme: light; }
body { margin: 24px; font: 15px/1.5 system-ui, sans-serif; color: #1f2328; background: #f4f4f2; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin: 32px 0 4px; }
.subject { margin: 0 0 12px; }
.mail { display: flex; flex-wrap: wrap; gap: 20px; align-items: flex-start; }
figure { margin: 0; } figcaption { font-size: 12px; color: #656d76; }
iframe { height: 900px; border: 1px solid #d0d7de; background: #fff; resize: vertical; }
pre { margin: 0; width: 375px; padding: 12px; border: 1px solid #d0d7de; background: #fff; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: 12px; }
"""


def build_preview_page(name: str, mails: Mapping[str, "PreviewedMail"]) -> str:
    """Build the page for the mails by locale."""
    sections = "".join(_build_mail(locale, mail) for locale, mail in mails.items())
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(name)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escape(name)}</h1>\n{sections}</body>\n</html>\n"
    )


def _build_mail(locale: str, mail: "PreviewedMail") -> str:
    frames = "".join(_build_frame(mail.html, width) for width in WIDTHS) if mail.html is not None else ""
    tag = escape(locale)
    return (
        f'<section>\n<h2>{tag}</h2>\n<p class="subject" lang="{tag}">{escape(mail.subject)}</p>\n<div class="mail">\n'
        f'{frames}<figure><figcaption>text</figcaption><pre lang="{tag}">{escape(mail.text)}</pre></figure>\n'
        "</div>\n</section>\n"
    )


def _build_frame(html: str, width: int) -> str:
    return (
        f'<figure><figcaption>{width} px</figcaption><iframe sandbox="" width="{width}" title="{width} px"'
        f' srcdoc="{escape(html)}"></iframe></figure>\n'
    )

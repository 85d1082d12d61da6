"""Images in templates: the functions `image` and `asset`, which images a version names, and which a mail shows.

A template names an image in quotes, so that the version can keep it; the octets never come here, only what pins them.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

from jinja2 import nodes
from markupsafe import Markup, escape

from notifier.rendering.protocol import MailAttachment, RenderFault
from notifier.template_language.template_source import PinnedAsset
from notifier.template_language.value_methods import MisusedError

IMAGE_FUNCTION_EXAMPLES: Final = {"asset": '{{ asset("logo") }}', "image": '{{ image("logo", alt="Larkspur") }}'}
IMAGE_FUNCTIONS: Final = frozenset(IMAGE_FUNCTION_EXAMPLES)
MAX_IMAGES_PER_VERSION: Final = 20  # in one version
DEFAULT_IMAGE_STYLE: Final = "border:0;display:block;max-width:100%;height:auto"
IMAGE_EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg"}
_IMAGE_CALL = re.compile(r"""\b(?:asset|image)\s*\(\s*(?:name\s*=\s*)?["']([a-z][a-z0-9_-]{0,63})["']""")


class ImageStore(Protocol):
    """Where the octets of pinned images are, and where the world can see them."""

    public_url: str | None  # without a slash at the end; None: nowhere

    async def load_base64(self, hashes: Collection[str]) -> Mapping[str, bytes]:
        """The base64 lines of the images with these SHA-256 (hexadecimal); what is gone is left out."""


def find_image_names(texts: Collection[str]) -> set[str]:
    """The images that texts of templates name; perhaps some that they do not, never too few that can be shown."""
    return {name for text in texts if "(" in text for name in _IMAGE_CALL.findall(text)}


def build_content_id(name: str, pinned: PinnedAsset) -> str:
    """What the HTML calls an image of its own mail."""
    return f"{name}.{pinned.sha256[:8]}@assets"


def build_image_url(public_url: str, pinned: PinnedAsset) -> str:
    """Where the world can see the image: other octets are at another place."""
    return f"{public_url}/assets/{pinned.sha256}.{IMAGE_EXTENSIONS[pinned.content_type]}"


def list_shown_images(assets: Mapping[str, PinnedAsset], html: str | None) -> list[str]:
    """The names of the images that this HTML takes from its own mail."""
    return [name for name, pinned in assets.items() if html and f"cid:{build_content_id(name, pinned)}" in html]


def build_image_attachments(assets: Mapping[str, PinnedAsset], names: Collection[str]) -> list[MailAttachment]:
    """The images as they stand in a mail, without their octets."""
    return [
        MailAttachment(
            filename=f"{name}.{IMAGE_EXTENSIONS[assets[name].content_type]}",
            content_type=assets[name].content_type,
            content_id=build_content_id(name, assets[name]),
            data=b"",
        )
        for name in names
    ]


def build_image_functions(
    assets: Mapping[str, PinnedAsset], public_url: str | None, *, html: bool
) -> dict[str, Callable[..., Any]]:
    """What templates call; in text an image is what it says."""

    def find(name: str) -> PinnedAsset:
        if name not in assets:
            raise MisusedError("image", describe_unknown_image(name), "")
        return assets[name]

    def asset(name: str, *, linked: bool = False) -> str:
        pinned = find(name)
        if linked and public_url is None:
            message = "a linked image needs the setting NOTIFIER_PUBLIC_URL; inline works without."
            raise MisusedError("asset", message, "")
        if not linked and not html:
            message = "text shows no images; asset(…, linked=true) gives a link to one."
            raise MisusedError("asset", message, "")
        return build_image_url(public_url, pinned) if linked and public_url else f"cid:{build_content_id(name, pinned)}"

    def image(name: str, alt: str, *, linked: bool = False, style: str = DEFAULT_IMAGE_STYLE) -> str:
        if not html:
            return alt
        source, pinned = asset(name, linked=linked), find(name)
        return Markup('<img src="{}" width="{}" height="{}" alt="{}" style="{}">').format(
            escape(source), pinned.width, pinned.height, alt, style
        )

    return {"asset": asset, "image": image}


def describe_unknown_image(name: object) -> str:
    """What to say about an image that a version does not have."""
    return f"there is no finished image named “{str(name)[:80]}”: upload it, or wait until it is ready."


def find_image_faults(file: str, template: nodes.Template, assets: Mapping[str, PinnedAsset]) -> list[RenderFault]:
    """The calls in a file, rendered by the sample or not, that name no image which the version has."""
    own = {macro.name for macro in template.find_all(nodes.Macro)}
    own |= {name.name for name in template.find_all(nodes.Name) if name.ctx != "load"}
    for imported in template.find_all(nodes.FromImport):
        own |= {name if isinstance(name, str) else name[1] for name in imported.names}
    found = []
    for call in template.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in IMAGE_FUNCTIONS - own:
            message = _find_call_problem(call, assets)
            found += [RenderFault(part=file, line=call.lineno, message=message)] if message else []
    return found


def _find_call_problem(call: nodes.Call, assets: Mapping[str, PinnedAsset]) -> str | None:
    given = [*call.args, *(keyword.value for keyword in call.kwargs if keyword.key == "name")]
    name = given[0].value if given and isinstance(given[0], nodes.Const) else None
    if not isinstance(name, str):
        return 'an image is named in quotes, such as image("logo", alt="Larkspur"): the version keeps it.'
    return None if name in assets else describe_unknown_image(name)

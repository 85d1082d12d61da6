"""The functions `image` and `asset` of templates, and the calls that name no image of their version.

A template names an image in quotes, so that the version can keep it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import nodes
from markupsafe import Markup, escape

from notifier.mail.pinned_images import PinnedAsset, build_content_id, build_image_url
from notifier.template_language.render_fault import RenderFault
from notifier.template_language.value_methods import MisusedError

IMAGE_FUNCTION_EXAMPLES: Final = {"asset": '{{ asset("logo") }}', "image": '{{ image("logo", alt="Larkspur") }}'}
IMAGE_FUNCTIONS: Final = frozenset(IMAGE_FUNCTION_EXAMPLES)
DEFAULT_IMAGE_STYLE: Final = "border:0;display:block;max-width:100%;height:auto"


def build_image_functions(
    assets: Mapping[str, PinnedAsset], public_url: str | None, *, html: bool
) -> dict[str, Callable[..., Any]]:
    """Build what templates call; in text an image is what it says."""

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
    """Say what is wrong about an image that a version does not have."""
    return f"there is no finished image named “{str(name)[:80]}”: upload it, or wait until it is ready."


def find_image_faults(file: str, template: nodes.Template, assets: Mapping[str, PinnedAsset]) -> list[RenderFault]:
    """Find the calls in a file, rendered by the sample or not, that name no image of the version."""
    own_names = {macro.name for macro in template.find_all(nodes.Macro)}
    own_names |= {name.name for name in template.find_all(nodes.Name) if name.ctx != "load"}
    for imported in template.find_all(nodes.FromImport):
        own_names |= {name if isinstance(name, str) else name[1] for name in imported.names}
    return [
        RenderFault(part=file, line=call.lineno, message=message)
        for call in template.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name in IMAGE_FUNCTIONS - own_names
        if (message := _find_call_problem(call, assets)) is not None
    ]


def _find_call_problem(call: nodes.Call, assets: Mapping[str, PinnedAsset]) -> str | None:
    arguments = [*call.args, *(keyword.value for keyword in call.kwargs if keyword.key == "name")]
    name = arguments[0].value if arguments and isinstance(arguments[0], nodes.Const) else None
    if not isinstance(name, str):
        return 'an image is named in quotes, such as image("logo", alt="Larkspur"): the version keeps it.'
    return None if name in assets else describe_unknown_image(name)

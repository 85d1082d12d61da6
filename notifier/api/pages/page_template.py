"""Renders pages in one frame and style: light and dark, without scripts, and without another file to load."""

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import notifier
from notifier.api.pages.constant_reply import ConstantReply, build_html_page

_QUOTED_CODE = re.compile(r"`([^`]+)`")


def render_page(name: str, root: str, **values: Any) -> ConstantReply:
    """Render the template `name`. `root`: the path from the page to `/`, so that links work behind a path prefix."""
    environment, policy = _load_environment()
    text = environment.get_template(f"{name}.html").render(root=root, version=notifier.__version__, **values)
    return build_html_page(text, policy=policy, vary="Accept")


@cache
def _load_environment() -> tuple[Environment, str]:
    """Load the templates, and build the policy that allows their style sheet and their icon."""
    loader = PackageLoader("notifier.api.pages")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = resources.files("notifier.api.pages").joinpath("page.css").read_text()
    environment.globals["style"] = Markup(style)  # noqa: S704 - a file of the package
    environment.filters["with_code"] = _mark_code
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment, f"style-src 'sha256-{digest}'; img-src data:"


def _mark_code(text: str) -> Markup:
    """Show text in back-ticks as code."""
    return Markup(_QUOTED_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped

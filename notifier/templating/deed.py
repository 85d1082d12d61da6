"""What the audit is told about templates and layouts: which one, and which number; never a word of their text."""

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from notifier.audit import Action, Deed, ObjectKind


def of_template(action: Action, id_: UUID, slug: str, **told: Any) -> Deed:
    """A deed to a template, which is the instance's."""
    return Deed(
        action=action, object_kind=ObjectKind.TEMPLATE, object_id=id_, service_id=None, after={"slug": slug} | told
    )


def of_layout(action: Action, name: str, **told: Any) -> Deed:
    """A deed to a layout, whose id is made of its name."""
    return Deed(
        action=action,
        object_kind=ObjectKind.LAYOUT,
        object_id=uuid5(NAMESPACE_URL, name),
        service_id=None,
        after={"name": name} | told,
    )

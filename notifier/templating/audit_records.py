"""What the audit is told about templates and layouts: which one, and which number; never a word of their text."""

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from notifier.audit import AuditAction, AuditRecord, ObjectKind


def build_template_record(action: AuditAction, id_: UUID, slug: str, **told: Any) -> AuditRecord:
    """A deed to a template, which is the instance's."""
    return AuditRecord(
        action=action, object_kind=ObjectKind.TEMPLATE, object_id=id_, service_id=None, after={"slug": slug} | told
    )


def build_layout_record(action: AuditAction, name: str, **told: Any) -> AuditRecord:
    """A deed to a layout, whose id is made of its name."""
    return AuditRecord(
        action=action,
        object_kind=ObjectKind.LAYOUT,
        object_id=uuid5(NAMESPACE_URL, name),
        service_id=None,
        after={"name": name} | told,
    )

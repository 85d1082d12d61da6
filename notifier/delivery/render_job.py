"""Build the rendering job of a notification: the same for sending and for preview."""

from collections.abc import Sequence

from notifier.delivery.delivery_loader import Delivery
from notifier.recipient_policy import ORIGINAL_TO_HEADER, RecipientPolicy
from notifier.rendering.protocol import MailAttachment, RenderFault, RenderJob

VERSION_GONE = RenderFault(part="template", line=None, message="the pinned version is not in the database any more")
ATTACHMENT_GONE = RenderFault(part="attachments", line=None, message="an attachment is not in the database any more")


def build_render_job(
    delivery: Delivery, policy: RecipientPolicy, attachments: Sequence[MailAttachment] = (), *, payer: str = ""
) -> RenderJob:
    """The job for the rendering child; `payer` is who pays for its processor time."""
    redirected = policy.envelope_to(delivery.recipient) != delivery.recipient
    return RenderJob(
        version=str(delivery.template_version_id) if delivery.template_version_id else None,
        locale=delivery.locale,
        variables=delivery.variables,
        header=delivery.build_header({ORIGINAL_TO_HEADER: delivery.recipient} if redirected else {}),
        content=delivery.content,
        attachments=list(attachments),
        payer=payer,
    )

"""From a stored notification to the job that makes its mail: the same for whoever sends it and whoever looks at it."""

from collections.abc import Sequence

from notifier.delivery.delivery_loader import Delivery
from notifier.mail.mail_parts import MailAttachment
from notifier.recipient_policy import ORIGINAL_TO_HEADER, RecipientPolicy
from notifier.rendering.protocol import RenderJob
from notifier.template_language.render_fault import RenderFault

VERSION_GONE = RenderFault(part="template", line=None, message="the pinned version is not in the database any more")
ATTACHMENT_GONE = RenderFault(part="attachments", line=None, message="an attachment is not in the database any more")


def build_render_job(
    delivery: Delivery, policy: RecipientPolicy, attachments: Sequence[MailAttachment] = (), *, payer: str = ""
) -> RenderJob:
    """What the rendering child is to make of it; `payer` is whose processor time it takes."""
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

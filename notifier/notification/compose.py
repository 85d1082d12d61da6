"""Build the rendering job of a notification: the same for sending and for preview."""

from collections.abc import Sequence

from notifier.notification.load import Delivery
from notifier.notification.recipients import ORIGINAL_TO, RecipientPolicy
from notifier.rendering.job import Attachment, Job, RenderFault

VERSION_GONE = RenderFault(part="template", line=None, message="the pinned version is not in the database any more")
ATTACHMENT_GONE = RenderFault(part="attachments", line=None, message="an attachment is not in the database any more")


def job(delivery: Delivery, policy: RecipientPolicy, attachments: Sequence[Attachment] = (), *, payer: str = "") -> Job:
    """The job for the rendering child; `payer` is who pays for its processor time."""
    redirected = policy.envelope_to(delivery.recipient) != delivery.recipient
    return Job(
        version=str(delivery.template_version_id) if delivery.template_version_id else None,
        locale=delivery.locale,
        variables=delivery.variables,
        header=delivery.header({ORIGINAL_TO: delivery.recipient} if redirected else {}),
        content=delivery.content,
        attachments=list(attachments),
        payer=payer,
    )

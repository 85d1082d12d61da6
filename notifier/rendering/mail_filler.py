"""Attachments and images put into the mails that children return: a child need not be trusted with their bytes."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from notifier.mail.attachment_parts import MAX_MESSAGE_BYTES, fill_attachments, get_filled_size
from notifier.mail.mail_parts import MailWithGaps, PinnedAsset, RenderedMail
from notifier.rendering.child_connection import ChildLostError, LossReason
from notifier.rendering.protocol import RenderJob
from notifier.template_language.template_source import FaultCode, RenderFault, TemplateSource

MAX_BYTES_ON_LOOP = 64 * 1024
"""Bytes of attachments that are put in at once; more of them would stop the event loop, and take a thread."""
TOO_LARGE_FAULT = RenderFault(
    part="mail",
    line=None,
    message=f"the finished mail would have more than {MAX_MESSAGE_BYTES // 1024**2} MiB.",
    advice="Send fewer or smaller files, or link to them.",
    code=FaultCode.TOO_LARGE,
)
IMAGE_MISSING_FAULT = RenderFault(
    part="mail", line=None, message="an image that it shows is not in the database any more"
)

ImageLoader = Callable[[Collection[str]], Awaitable[Mapping[str, bytes]]]
"""Loads the base64 lines of the images with these SHA-256 (hexadecimal); what is gone is left out."""


class MailFiller:
    """Fills the gaps of mails, up to `limit` bytes of a finished mail; without a loader there are no images."""

    def __init__(self, load_images: ImageLoader | None, limit: int) -> None:
        self._load_images = load_images
        self._limit = limit
        self._lock = asyncio.Lock()  # one large mail after the other: no faster with more threads, and it takes memory

    async def fill(
        self, mail: RenderedMail | MailWithGaps, job: RenderJob, sources: Mapping[str, TemplateSource]
    ) -> RenderedMail | RenderFault:
        """Put in the attachments of the job and the images; raises `ChildLostError` for gaps that no child leaves."""
        if isinstance(mail, RenderedMail):
            return mail if len(mail.wire) <= self._limit else TOO_LARGE_FAULT
        gaps = len(job.attachments) + len(mail.images)
        if sorted(piece for piece in mail.pieces if isinstance(piece, int)) != [*range(gaps)]:
            raise ChildLostError(LossReason.DIED)
        has_images = job.version is not None and bool(mail.images)
        images = await self._read_images(mail.images, sources[job.version or ""].assets) if has_images else []
        if images is None:
            return IMAGE_MISSING_FAULT
        if get_filled_size(mail, job.attachments, images) > self._limit:
            return TOO_LARGE_FAULT
        if sum(len(attachment.data) for attachment in job.attachments) + sum(map(len, images)) <= MAX_BYTES_ON_LOOP:
            return fill_attachments(mail, job.attachments, images)
        async with self._lock:
            return await asyncio.to_thread(fill_attachments, mail, job.attachments, images)

    async def _read_images(self, names: Sequence[str], assets: Mapping[str, PinnedAsset]) -> list[bytes] | None:
        """The images that the child says are shown, as the version has pinned them; None if one is gone."""
        if not assets.keys() >= set(names):
            raise ChildLostError(LossReason.DIED)
        hashes = [assets[name].sha256 for name in names]
        lines = await self._load_images(set(hashes)) if self._load_images is not None else {}
        return [lines[digest] for digest in hashes] if lines.keys() >= set(hashes) else None

"""The benchmark's mail as it is sent, to check that it is as large as a real one."""

import email
import email.policy
import statistics
from dataclasses import dataclass
from typing import Any

from bench.rig.installation import Installations
from bench.rig.queue_filler import fill_queue
from bench.rig.sender_run import SenderSetup, run_drain
from bench.rig.smtp_sink import Sink

WEIGHED = 5
MIN_HTML_BYTES = 8192
MIN_TEXT_BYTES = 700


@dataclass(frozen=True, kw_only=True)
class SampleMail:
    """One mail of a template, as it was sent."""

    sender: str
    subject: str
    html: str
    text: str
    wire: int  # bytes, the median of several

    @property
    def weights(self) -> tuple[int, int, int]:
        """Describe the bytes of HTML, of text, and on the wire."""
        return len(self.html.encode()), len(self.text.encode()), self.wire


async def send_sample(made: Installations, template: str) -> SampleMail:
    """Send a few to a sink that measures them. Raises `AssertionError` if they are smaller than a real mail."""
    installation = await made.postgresql()
    await fill_queue(installation, template, WEIGHED)
    async with Sink() as sink:
        await run_drain(installation, sink.port, WEIGHED, SenderSetup(sessions=1))
        message: Any = email.message_from_bytes(sink.bodies[-1], policy=email.policy.default)
        wire = int(statistics.median(sink.sizes))
    await made.remove(installation)
    html, text = (message.get_body((kind,)).get_content() for kind in ("html", "plain"))
    sample = SampleMail(sender=message["From"], subject=message["Subject"], html=html, text=text, wire=wire)
    assert sample.weights[0] >= MIN_HTML_BYTES, f"{template}: {sample.weights[0]} octets of HTML are too few"
    assert sample.weights[1] >= MIN_TEXT_BYTES, f"{template}: {sample.weights[1]} octets of text are too few"
    return sample

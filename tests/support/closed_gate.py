"""A publish gate that lets nothing pass, whatever the draft."""

from typing import Any

from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import TemplateSource
from notifier.templating.gate.gate_report import GateReport
from notifier.templating.gate.publish_gate import PublishGate

REASON = "shop: 3 of 200 requests would be refused"


class ClosedGate(PublishGate):
    """Reports for every draft that callers would break."""

    def __init__(self) -> None:
        """It needs neither a database nor a pool."""

    async def try_source(self, slug: str, source: TemplateSource, report: SourceCheck, **_options: Any) -> GateReport:
        """The same report for everything."""
        return GateReport(
            slug=slug,
            content_hash=source.content_hash(),
            number=None,
            blocks=True,
            reasons=(REASON,),
            looked=200,
            changed=0,
            services=(),
            examples=(),
            added=(),
            removed=(),
            altered=(),
            keys=(),
            masked=True,
        )

"""A publish gate that blocks every draft."""

from typing import Any

from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import TemplateSource
from notifier.templating.gate_report import GateReport
from notifier.templating.publish_gate import PublishGate

REASON = "shop: 3 of 200 requests would be refused"


class ClosedGate(PublishGate):
    """Reports for every draft that it would break callers."""

    def __init__(self) -> None:
        """Create it without a database or pool."""

    async def try_source(self, slug: str, source: TemplateSource, report: SourceCheck, **_options: Any) -> GateReport:
        """Return the same report for every draft."""
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

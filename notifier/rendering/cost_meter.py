"""What a rendering pool tells of its work, and asks before it: whoever sends with it knows whose mails are costly."""

from typing import Protocol

from notifier.rendering.protocol import RenderJob


class CostMeter(Protocol):
    """Who wants to know what each mail costs, and may have others like it left out."""

    def add_cost(self, job: RenderJob, seconds: float) -> None:
        """So many processor seconds were spent on it."""

    def is_skipped(self, job: RenderJob) -> bool:
        """Whether it is not to be rendered here now."""

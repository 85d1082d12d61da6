"""What a rendering pool tells of its work, and asks before it: whoever sends with it knows whose mails are costly."""

from typing import Protocol

from notifier.rendering.job import Job


class Meter(Protocol):
    """Who wants to know what each mail costs, and may have others like it left out."""

    def add(self, job: Job, seconds: float) -> None:
        """So many processor seconds were spent on it."""

    def leaves_out(self, job: Job) -> bool:
        """Whether it is not to be rendered here now."""

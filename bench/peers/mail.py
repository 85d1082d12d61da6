"""The mail that the peers send: the finished mail as Notifier sends it, and its template and variables."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

NEARLY = 0.05
_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


class Mail(NamedTuple):
    """One mail: the finished parts, and the template with its variables."""

    sender: str
    subject: str
    html: str
    text: str
    template: str
    variables: dict[str, Any]

    def source(self, part: str) -> str:
        """The template text of a part, such as `body.html`; Jinja and Django read it alike."""
        return (_TEMPLATES / self.template / part).read_text().strip()

    def must_equal(self, html: str, text: str) -> None:
        """Refuse to measure with a mail of another size."""
        for mine, other in ((self.html, html), (self.text, text)):
            if abs(len(mine) - len(other)) > NEARLY * len(mine):
                raise SystemExit(f"the mails differ: {len(mine)} and {len(other)} characters")


def given() -> Mail:
    """Read the mail that the benchmark wrote."""
    return Mail(**json.loads(Path(os.environ["PEER_MAIL"]).read_text()))


def recipient(number: int) -> str:
    """Build a different address for each mail."""
    return f"user{number:08}@example.com"


def tell(sent: int, seconds: float) -> None:
    """Print a line that the benchmark reads."""
    print(json.dumps({"sent": sent, "seconds": seconds}), flush=True)

"""`python -m bench.chart`: draws docs/bench.svg from bench/results.json, for light and dark pages."""

import json
import sys
from html import escape
from pathlib import Path
from typing import Any

from bench.measure.peer_comparison import CELERY, OURS, POST_OFFICE
from bench.rig.child_process import ROOT

RESULTS = ROOT / "bench" / "results.json"
CHART = ROOT / "docs" / "bench.svg"
LABELS = {
    OURS: "Notifier, rendering included, 1 process",
    **{peer.name: peer.name.replace("post_office", "django-post_office") for peer in POST_OFFICE},
    CELERY.name: "Celery + Redis, Jinja2, smtplib, 2 processes",
}
WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 820, 380, 70, 64, 34, 20
_STYLE = """
  text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .note { font-size: 12px; fill: #59636e; }
  .value { font-variant-numeric: tabular-nums; }
  .bar { fill: #8c959f; }
  .ours { fill: #0e7a55; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note { fill: #9198a1; }
    .bar { fill: #6e7681; }
    .ours { fill: #3fb984; }
  }
"""


def draw(record: dict[str, Any]) -> str:
    """Draw the results that `--json` wrote: one bar for each system, as long as the median of its rounds."""
    results = record["results"]
    rates = {name: results[f"peers.{name}.median"] for name in LABELS if f"peers.{name}.median" in results}
    longest = max(rates.values())
    bars = [_bar(place, name, rate, rate / longest) for place, (name, rate) in enumerate(rates.items())]
    height = TOP + ROW * len(rates) + 34
    note = (
        f"Medians; PostgreSQL, relay and sender share {record['machine']}, {record['date']}. Commands: bench/README.md"
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>Mails per second of Notifier and of what people use instead</title>",
            f"<style>{_STYLE}</style>",
            '<text class="title" x="0" y="20">Mails per second</text>',
            '<text class="note" x="0" y="42">the same mail of ten items, 10 KB of HTML, from a full queue</text>',
            *bars,
            f'<text class="note" x="0" y="{height - 8}">{escape(note)}</text>',
            "</svg>",
            "",
        )
    )


def _bar(place: int, name: str, rate: float, part: float) -> str:
    y = TOP + ROW * place
    width = round((WIDTH - LEFT - RIGHT) * part, 1)
    kind = "bar ours" if name == OURS else "bar"
    return (
        f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(LABELS[name])}</text>'
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width}" height="{BAR}" rx="3"/>'
        f'<text class="value" x="{LEFT + width + 8}" y="{y + 15}">{rate:,.0f}</text>'
    )


def main() -> None:
    """Draw; optional arguments are other paths of results and chart."""
    results, chart = (Path(path) for path in (*sys.argv[1:], *(str(RESULTS), str(CHART))[len(sys.argv) - 1 :]))
    chart.write_text(draw(json.loads(results.read_text())))


if __name__ == "__main__":
    main()

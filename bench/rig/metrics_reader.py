"""Reading a histogram from a sender's /metrics, and percentiles of what happened between two readings."""

import asyncio
import re
import urllib.request
from dataclasses import dataclass

CLAIMS = "notifier_claim_seconds"
PATIENCE = 10.0


@dataclass(frozen=True)
class Histogram:
    """How many values were at most so much, in ascending order of the bounds."""

    buckets: tuple[tuple[float, float], ...]

    def __add__(self, other: "Histogram") -> "Histogram":
        more = dict(other.buckets)
        return Histogram(tuple((bound, count + more[bound]) for bound, count in self.buckets))

    def __sub__(self, before: "Histogram") -> "Histogram":
        earlier = dict(before.buckets)
        return Histogram(tuple((bound, count - earlier[bound]) for bound, count in self.buckets))

    @property
    def count(self) -> float:
        """How many values there are."""
        return self.buckets[-1][1]

    def percentile(self, q: float) -> float:
        """The value below which so many per cent are, as if they were spread evenly within a bucket; NaN if none."""
        target = self.count * q / 100
        lower = below = 0.0
        for bound, count in self.buckets:
            if count >= target and count > below:
                return lower if bound == float("inf") else lower + (bound - lower) * (target - below) / (count - below)
            lower, below = bound, count
        return float("nan")


async def read_histogram(port: int, name: str) -> Histogram:
    """What the process on this port has observed since its start."""
    body = await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics")
    buckets = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$', body, re.MULTILINE)
    return Histogram(tuple((float(bound), float(count)) for bound, count in buckets))


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        body: bytes = answer.read()
    return body.decode()

"""Reads a histogram from a sender's /metrics, and computes percentiles between two readings."""

import asyncio
import re
import urllib.request
from dataclasses import dataclass

CLAIMS = "notifier_claim_seconds"
PATIENCE = 10.0


@dataclass(frozen=True)
class Histogram:
    """The number of values up to each bound, in ascending order."""

    buckets: tuple[tuple[float, float], ...]

    def __add__(self, other: "Histogram") -> "Histogram":
        more = dict(other.buckets)
        return Histogram(tuple((bound, count + more[bound]) for bound, count in self.buckets))

    def __sub__(self, before: "Histogram") -> "Histogram":
        earlier = dict(before.buckets)
        return Histogram(tuple((bound, count - earlier[bound]) for bound, count in self.buckets))

    @property
    def count(self) -> float:
        """The number of values."""
        return self.buckets[-1][1]

    def percentile(self, q: float) -> float:
        """Return a percentile, as if values were spread evenly within a bucket; NaN if there are none."""
        target = self.count * q / 100
        lower = below = 0.0
        for bound, count in self.buckets:
            if count >= target and count > below:
                return lower if bound == float("inf") else lower + (bound - lower) * (target - below) / (count - below)
            lower, below = bound, count
        return float("nan")


async def read_histogram(port: int, name: str) -> Histogram:
    """Read the values that the process on this port has observed since its start."""
    body = await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics")
    buckets = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$', body, re.MULTILINE)
    return Histogram(tuple((float(bound), float(count)) for bound, count in buckets))


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        body: bytes = answer.read()
    return body.decode()

"""(j) What hostile editing and hostile values do to others: a POST's latency while both go on, beside a quiet time.

Templates that never end, grow or want out are saved, previewed and sent in a loop; the API is asked as before.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import httpx2

from bench import http
from bench.http import Target
from bench.installation import Installation, Installations, sample
from bench.process import NOTIFIER, running
from bench.sink import Sink
from bench.table import Figure, Table, median_and_range, percentile
from notifier.auth import keys
from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.rendering.job import Checked
from notifier.rendering.source import TemplateSettings, TemplateSource
from notifier.rendering.variables import schema_of
from notifier.templating import store
from notifier.templating.store import Publication

HOSTILE = (
    "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3,
    "{{ 'a' * 10 ** 10 }}",
    "{{ 10 ** 10 ** 8 }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set s = name %}" + "{% set s = s ~ s %}" * 60 + "{{ s | length }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ name | attr('__class__') }}",
)
ENDLESS = "{% for a in range(n) %}" * 3 + "{% endfor %}" * 3 + "<p>{{ n }}</p>"
SLUG = "bench_endless"
CONNECTIONS = 8
PAUSE_SECONDS = 0.1
PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    seconds: float  # of each run
    most: int  # requests in each


@dataclass(kw_only=True)
class _Enemy:
    """Saves, previews and sends, each in a loop of its own."""

    client: httpx2.AsyncClient
    deeds: int = 0

    async def save(self) -> None:
        """A draft that is refused."""
        for text in cycle(HOSTILE):
            draft = {"files": _files(text), "sample": {"name": "x"}, "settings": {"name": "Evil"}, "seen": ""}
            await self._do(self.client.put("/v1/templates/evil/draft", json=draft), 422)

    async def preview(self) -> None:
        """Text that nobody saves."""
        for text in cycle(HOSTILE):
            unsaved = {"subject": "x", "html": text, "variables": {"name": "x"}}
            await self._do(self.client.post("/v1/render", json=unsaved), 422)

    async def send(self) -> None:
        """A mail whose values make its template endless."""
        while True:
            mail = {"to": "evil@example.com", "template": SLUG, "variables": {"n": 99_999}}
            await self._do(self.client.post("/v1/notifications", json=mail), 202)
            await asyncio.sleep(1.0)  # as long as it keeps a child busy

    async def _do(self, asked: Any, expected: int) -> None:
        reply = await asked
        if reply.status_code != expected:
            raise AssertionError(f"{reply.status_code} instead of {expected}: {reply.text}")
        self.deeds += 1


async def measure(made: Installations, plan: Plan) -> Table:
    """Quiet and hostile runs in turns; the ratio is of the same round."""
    installation = await made.postgresql()
    admin = await _prepared(installation)
    quiet: list[float] = []
    hostile: list[float] = []
    deeds = 0
    async with Sink() as sink:
        settings = installation.settings(smtp_port=sink.port)
        async with running([NOTIFIER, "api", "--port", "0"], settings) as api, running([NOTIFIER, "sender"], settings):
            port = int((await api.line()).rpartition(":")[2])
            target = Target(
                port=port,
                path="/v1/notifications",
                key=installation.key,
                template="welcome",
                variables=sample("welcome"),
            )
            await http.load(target, seconds=plan.seconds, most=min(plan.most, 200), connections=CONNECTIONS)
            for _ in range(plan.rounds):
                quiet.append(await _p99(target, plan))
                async with _enemies(port, admin, installation.key) as enemy:
                    hostile.append(await _p99(target, plan))
                deeds += enemy.deeds
    ratios = [theirs / ours for ours, theirs in zip(quiet, hostile, strict=True)]
    return Table(
        title=f"(j) hostile templates: POSTs one after the other, {plan.rounds} rounds",
        figures=[
            Figure("p99, quiet", f"{median_and_range([1000 * one for one in quiet], '{:.1f}')} ms"),
            Figure("p99, hostile", f"{median_and_range([1000 * one for one in hostile], '{:.1f}')} ms"),
            Figure("hostile ÷ quiet (goal 1.2)", median_and_range(ratios, "{:.2f}"), is_headline=True),
            Figure("drafts, previews and mails that were hostile", f"{deeds:,}"),
        ],
        results={"hostile.p99": sorted(ratios)[len(ratios) // 2]},
    )


async def _p99(target: Target, plan: Plan) -> float:
    done = await http.load(target, seconds=plan.seconds, most=plan.most, connections=CONNECTIONS, pause=PAUSE_SECONDS)
    return percentile(done.latencies, 99)


@asynccontextmanager
async def _enemies(port: int, admin: str, service: str) -> AsyncIterator[_Enemy]:
    """Each of the loops, until the block ends; one that failed makes the measurement fail."""
    async with contextlib.AsyncExitStack() as stack:
        enemies = [
            _Enemy(
                client=await stack.enter_async_context(
                    httpx2.AsyncClient(
                        base_url=f"http://127.0.0.1:{port}",
                        headers={"Authorization": f"Bearer {key}"},
                        timeout=PATIENCE,
                    )
                )
            )
            for key in (admin, service)
        ]
        editor, caller = enemies
        loops = [asyncio.create_task(loop) for loop in (editor.save(), editor.preview(), caller.send())]
        try:
            yield editor
        finally:
            for loop in loops:
                loop.cancel()
            for ended in await asyncio.gather(*loops, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
            editor.deeds += caller.deeds


async def _prepared(installation: Installation) -> str:
    """A template that some values make endless, published; returns an admin key."""
    source = TemplateSource(files=_files(ENDLESS), sample={"n": 1}, settings=TemplateSettings(name="Endless"))
    checked = Checked(faults=[], remarks=[], variables_schema=schema_of(source.sample), subject_paths=[], previews={})
    database, now = Database(installation.url), SystemClock().now()
    try:
        async with database.write() as connection:
            await store.publish(connection, SLUG, source, checked, Publication(by="bench", at=now))
            wish = keys.Wish(scopes=keys.ADMIN_SCOPES)
            return (await keys.issue(connection, None, wish, now=now))[1]
    finally:
        await database.close()


def _files(html: str) -> dict[str, str]:
    return {"subject.txt": "Hi", "body.html": html, "body.txt": "Hi"}

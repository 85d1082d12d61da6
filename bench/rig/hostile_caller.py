"""A hostile editor and a hostile caller: `python -m bench.rig.hostile_caller PORT ADMIN_KEY SERVICE_KEY`.

It prints a line when each loop has had its first reply, and at SIGTERM the numbers of replies.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import httpx2

HOSTILE = (
    "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3,
    "{{ 'a' * 10 ** 10 }}",
    "{{ 10 ** 10 ** 8 }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set s = name %}" + "{% set s = s ~ s %}" * 60 + "{{ s | length }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ name | attr('__class__') }}",
    "{% set a, b = [1], [1] %}" + "{% set a, b = [a, a], [b, b] %}" * 40 + "{{ a == b }}",
)
SLUG = "bench_endless"
"""Slug of a template that some values make endless."""
REFUSED = {422, 429}
SEND_SECONDS = 0.25
"""Seconds between two hostile mails: as long as each would keep a child busy."""
PATIENCE = 60.0


@dataclass(kw_only=True)
class HostileCaller:
    """Saves, previews and sends, each in a separate loop."""

    client: httpx2.AsyncClient
    done: Callable[[], None]  # called after each reply

    async def save(self) -> None:
        """Save a draft that is refused."""
        for text in cycle(HOSTILE):
            draft = {"files": build_files(text), "sample": {"name": "x"}, "settings": {"name": "Evil"}, "revision": ""}
            await self._do(self.client.put("/v1/templates/evil/draft", json=draft), REFUSED)

    async def preview(self) -> None:
        """Preview a source without saving it."""
        for text in cycle(HOSTILE):
            unsaved = {"subject": "x", "html": text, "variables": {"name": "x"}}
            await self._do(self.client.post("/v1/render", json=unsaved), REFUSED)

    async def send(self) -> None:
        """Send a mail whose variables make its template endless."""
        while True:
            mail = {"to": "evil@example.com", "template": SLUG, "variables": {"n": 99_999}}
            await self._do(self.client.post("/v1/notifications", json=mail), {202})
            await asyncio.sleep(SEND_SECONDS)

    async def _do(self, request: Any, expected: AbstractSet[int]) -> None:
        reply = await request
        if reply.status_code not in expected:
            raise AssertionError(f"{reply.status_code} instead of {expected}: {reply.text}")
        self.done()


async def main(port: str, *keys: str) -> int:
    """Run until stopped."""
    deeds = 0
    begun = asyncio.Event()

    def done() -> None:
        nonlocal deeds
        deeds += 1
        if deeds == len(loops):
            begun.set()

    clients = [
        httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE
        )
        for key in keys
    ]
    editor, caller = (HostileCaller(client=client, done=done) for client in clients)
    loops = [asyncio.create_task(loop) for loop in (editor.save(), editor.preview(), caller.send())]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, loops[0].cancel)
    announcing = asyncio.create_task(begun.wait())
    announcing.add_done_callback(lambda _: print("ready", flush=True))
    try:
        await asyncio.gather(*loops)  # the loops are endless: the first to end is an error, or the signal
    except asyncio.CancelledError:
        print(deeds, flush=True)
    return 0


def build_files(html: str) -> dict[str, str]:
    """Build a complete template around an HTML part."""
    return {"subject.txt": "Hi", "body.html": html, "body.txt": "Hi"}


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))

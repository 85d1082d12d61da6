"""Callers that send an idempotency key with each POST and repeat it until it is answered with 202.

`fill` queues many mails at once with the same parts, without HTTP.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import httpx2
from support.seeded_installation import WELCOME

from notifier.api.notifications import submission_models
from notifier.runtime import wiring
from notifier.settings import RecipientsMode, RecipientsSettings, Settings

FILLERS = 64
PAUSE = (0.05, 0.3)  # seconds before a POST is repeated
FULL_PAUSE = 0.05  # seconds until a caller checks again whether there is room
CANCEL_AFTER = (0.0, 0.8)  # seconds from the 202, so that some are in time and some are not


class Load:
    """The shared state of all callers of one run."""

    def __init__(self, port: int, key: str, *, seed: int = 0, cancels: float = 0.0) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._random = random.Random(seed)
        self.acknowledged: dict[str, str] = {}  # id of every 202, and its recipient
        self._cancels = cancels  # the share of mails whose cancel is requested
        self.cancelled: set[str] = set()  # ids whose cancel was answered with success
        self.repeated: Counter[str] = Counter()  # why POSTs were repeated

    async def run(self, recipients: Iterator[str], *, callers: int = 4, room: Callable[[], bool] | None = None) -> None:
        """Submit one mail to each recipient, several at once; `room` says whether more may be sent."""

        async def call() -> None:
            async with httpx2.AsyncClient(base_url=self._url, headers=self._headers, timeout=10) as client:
                for recipient in recipients:
                    while room is not None and not room():  # noqa: ASYNC110 - the relay's log announces nothing
                        await asyncio.sleep(FULL_PAUSE)
                    await self._submit(client, recipient)

        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(call())

    async def _submit(self, client: httpx2.AsyncClient, recipient: str) -> None:
        body, key = WELCOME | {"to": recipient}, {"Idempotency-Key": recipient}
        reply = await self._until_answered(lambda: client.post("/v1/notifications", json=body, headers=key))
        assert reply.status_code == 202, f"{reply.status_code} for {recipient}: {reply.text}"
        id_ = reply.json()["id"]
        self.acknowledged[id_] = recipient
        if self._random.random() < self._cancels:
            await asyncio.sleep(self._random.uniform(*CANCEL_AFTER))
            reply = await self._until_answered(lambda: client.post(f"/v1/notifications/{id_}/cancel"))
            assert reply.status_code in {200, 409}, f"{reply.status_code} for {recipient}: {reply.text}"
            if reply.status_code == 200:
                self.cancelled.add(id_)

    async def _until_answered(self, ask: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
        """Repeat the request until the answer is final, and return it."""
        while True:
            try:
                reply = await ask()
            except httpx2.TransportError as error:
                self.repeated[type(error).__name__] += 1
            else:
                if reply.status_code != 503 and "idempotency_in_progress" not in reply.text:
                    return reply
                self.repeated[str(reply.status_code)] += 1
            await asyncio.sleep(self._random.uniform(*PAUSE))


async def fill(url: str, key: str, recipients: Iterator[str]) -> dict[str, str]:
    """Queue one mail to each recipient; return the ids with their recipients."""
    settings = Settings(database_url=url, recipients=RecipientsSettings(mode=RecipientsMode.LIVE))
    acknowledged: dict[str, str] = {}
    async with wiring.open_process_parts(settings) as parts:
        dependencies = wiring.build_api(parts).state.dependencies
        caller = await dependencies.authenticator.authenticate_service(f"Bearer {key}")

        async def submit_the_rest() -> None:
            for recipient in recipients:
                request, faults = submission_models.parse_notification(WELCOME | {"to": recipient})
                accepted = await dependencies.submitter.submit(caller, request, None, parse_faults=faults)
                acknowledged[str(accepted.id)] = recipient

        await asyncio.gather(*(submit_the_rest() for _ in range(FILLERS)))
    return acknowledged

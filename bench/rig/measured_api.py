"""The measured API process: the product's application and server, plus a route that only parses.

`/noop` parses the same bytes with the same model as `/v1/notifications` and does nothing else: the limit.
"""

import asyncio
import gc
import signal
from contextlib import AsyncExitStack

from starlette.responses import JSONResponse

from notifier.api.notifications.submission_models import NotificationIn
from notifier.cli import command
from notifier.db import data_directory
from notifier.runtime import wiring
from notifier.settings import Settings
from notifier.telemetry import logging

NOOP = "/noop"
_ANSWER = {"id": "0" * 36, "status": "queued", "created_at": "2026-01-01T00:00:00.000000Z"}


async def noop(body: NotificationIn) -> JSONResponse:
    """Parse the request, and send the reply of the real route."""
    return JSONResponse(_ANSWER, 202, {"Location": f"/v1/notifications/{body.template}"})


async def main() -> None:
    """Serve until SIGTERM or SIGINT, on a port that is printed."""
    settings = Settings()
    logging.configure_logging(json=True, level=settings.log_level)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        listener = wiring.open_listener("127.0.0.1", 0)
        stack.callback(listener.close)
        if settings.uses_sqlite:
            stack.enter_context(data_directory.lock_directory(settings.data_dir))
        app = wiring.build_api(await stack.enter_async_context(wiring.open_process_parts(settings)))
        app.post(NOOP)(noop)
        await stack.enter_async_context(wiring.serve_http(app, listener))
        gc.collect()  # as the command does once it is ready
        gc.freeze()
        print(listener.getsockname()[1], flush=True)
        await stop.wait()


if __name__ == "__main__":
    command.run_command(main())  # in the event loop of the commands

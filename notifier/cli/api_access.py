"""The API as commands call it: over HTTP if `NOTIFIER_URL` is set, else inside this process, on the database.

docs/decisions/one-cli.md explains this, and which key a command uses. A demo's keys are sent to this host only.
"""

import contextlib
import functools
import gc
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import typer

from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    get_operator_name,
    open_for_reading,
    open_for_writing,
    strip_control_characters,
)

if TYPE_CHECKING:
    from notifier.client import ApiError, AsyncNotifier
    from notifier.runtime.process_parts import ProcessParts

P = ParamSpec("P")
T = TypeVar("T")
CommandWork = Coroutine[Any, Any, None]
AnyCommand = Callable[..., CommandWork]
DEFAULT_URL = "http://127.0.0.1:8000"
LOCAL_URL = "http://operator"
"""The URL of the API inside this process, which no name server is asked for."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
REQUEST_SECONDS = 60.0
DEMO_KEYS = {"NOTIFIER_ADMIN_KEY": "demo-admin-key", "NOTIFIER_API_KEY": "demo-key"}
"""The file of a demo that stands for each variable."""
UrlOption = Annotated[
    str, typer.Option(help=f"The API; default: NOTIFIER_URL, or {DEFAULT_URL}.", show_default=False, metavar="URL")
]
KeyOption = Annotated[
    str, typer.Option(help="API key; default: NOTIFIER_API_KEY, or that of a demo on this host.", show_default=False)
]
WHERE = "Calls the API of NOTIFIER_URL; if that is not set, or with --local, it opens the database."
Local = Annotated[bool, typer.Option("--local", help="Open the database, also if NOTIFIER_URL is set.")]
REACH_ADVICE = "check --url or NOTIFIER_URL, and that the API runs there"
_SERVER_RUNS = (
    "a server uses {place}: set NOTIFIER_URL to its address and NOTIFIER_ADMIN_KEY to an admin key, or stop the server"
)


@dataclass(frozen=True, kw_only=True)
class ApiAccess:
    """Where the API is, and the key for it."""

    url: str
    key: str = field(repr=False)
    key_name: str  # what the user would change: a variable, an option or a file


def find_access(url: str, key: str, *variables: str) -> ApiAccess:
    """Complete URL and key from variables, in this order, then from a demo on this host. Raises `CommandError`."""
    from notifier.environment import get_variable

    url = url.strip() or get_variable("NOTIFIER_URL") or DEFAULT_URL
    named = {"--key": key.strip()} | {name: get_variable(name) or "" for name in variables}
    for name, value in named.items():
        if value:
            return ApiAccess(url=url, key=value, key_name=name)
    for file in _list_demo_key_files(url, variables):
        if file.is_file():
            return ApiAccess(url=url, key=file.read_text().strip(), key_name=str(file))
    raise CommandError(f"no API key for {url}: set {' or '.join(variables)}", USAGE_ERROR)


def _list_demo_key_files(url: str, variables: tuple[str, ...]) -> list[Path]:
    """List where a demo on this host has its keys; nothing for an API on another host."""
    from notifier.environment import get_variable

    try:
        host = urlsplit(url).hostname
    except ValueError:
        return []
    folders = [Path(text) for text in (get_variable("NOTIFIER_DATA_DIR"), "var/demo") if text]
    return [folder / DEMO_KEYS[name] for name in variables for folder in folders if host in LOOPBACK_NAMES]


@contextlib.asynccontextmanager
async def open_api(
    *, local: bool = False, writes: bool = True, seconds: float = REQUEST_SECONDS
) -> "AsyncIterator[AsyncNotifier]":
    """Open the API, which `local` runs in this process even if `NOTIFIER_URL` is set.

    `writes`: the command changes something, so that on SQLite no server may run beside it. `seconds`: of one request.
    Raises `CommandError` for every error of the client that the block does not handle.
    """
    from notifier.environment import get_variable

    if not local and get_variable("NOTIFIER_URL"):
        access = find_access("", "", "NOTIFIER_ADMIN_KEY", "NOTIFIER_API_KEY")
        advice = "start it, or give --local to open the database"
        async with open_remote_api(access, advice=advice, seconds=seconds) as notifier:
            yield notifier
        return
    async with _open_local_api(writes=writes, seconds=seconds) as notifier:
        yield notifier


@contextlib.asynccontextmanager
async def open_remote_api(
    access: ApiAccess, *, advice: str, seconds: float = REQUEST_SECONDS
) -> "AsyncIterator[AsyncNotifier]":
    """Open an API over HTTP; `advice` says what to do if it is out of reach."""
    from notifier import client

    with translate_errors(access, advice):
        async with client.AsyncNotifier(
            url=access.url, key=access.key, timeout=seconds, retries=client.RetryPolicy(tries=1, seconds=seconds)
        ) as notifier:
            yield notifier


@contextlib.asynccontextmanager
async def _name_running_server(
    opening: "contextlib.AbstractAsyncContextManager[ProcessParts]",
) -> "AsyncIterator[ProcessParts]":
    """Open the parts of this process, or say how to reach the server that owns the data directory."""
    from notifier.errors import DataDirectoryLockedError

    try:
        async with opening as parts:
            yield parts
    except DataDirectoryLockedError as error:
        raise CommandError(_SERVER_RUNS.format(place=error.directory), USAGE_ERROR) from error


@contextlib.asynccontextmanager
async def _open_local_api(*, writes: bool, seconds: float) -> "AsyncIterator[AsyncNotifier]":
    """Run the API in this process, with the operator as its caller."""
    with without_collections():
        import httpx2

        from notifier import client
        from notifier.runtime import operator_api

    async with _name_running_server(open_for_writing() if writes else open_for_reading()) as parts:
        app, token = operator_api.build_operator_api(parts, get_operator_name())
        access = ApiAccess(url=LOCAL_URL, key=token, key_name="this process")
        with translate_errors(access, "report it"):
            async with client.AsyncNotifier(
                url=LOCAL_URL,
                key=token,
                timeout=seconds,
                retries=client.RetryPolicy(tries=1, seconds=seconds),
                transport=httpx2.ASGITransport(app),
            ) as notifier:
                yield notifier


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Collect no garbage during imports, which make many objects that stay; later collections leave these out."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def translate_errors(access: ApiAccess, advice: str) -> Iterator[None]:
    """Raise `CommandError` instead of an error of the client."""
    from notifier import client

    try:
        yield
    except (client.ConfigurationError, client.UnsendableError) as error:
        raise CommandError(str(error), USAGE_ERROR) from error
    except client.ConnectionFailedError as error:
        if error.maybe_done:
            text = f"{access.url} did not answer, and may have done it: look before you repeat the command"
        else:
            text = f"{access.url} is out of reach: {advice}"
        raise CommandError(text, USAGE_ERROR) from error
    except client.ApiError as error:
        raise describe_api_error(error, access) from error
    except client.NotifierClientError as error:
        raise CommandError(f"{access.url}: {error}", USAGE_ERROR) from error


def describe_api_error(error: "ApiError", access: ApiAccess) -> CommandError:
    """Describe an error of the API in one line; exit code 2 if the user can correct the command or a setting."""
    from notifier import client

    detail = "; ".join(f"{_name_place(fault.pointer)}: {fault.detail}" for fault in error.errors) or error.detail
    detail = strip_control_characters(detail or error.problem.title)
    is_wrong_use = isinstance(error, client.InvalidRequestError) or error.code == "database_unavailable"
    if error.code.startswith("http_") and not isinstance(error, client.ServerError):  # not a reply of the API
        detail, is_wrong_use = f"{access.url}: {detail}", True
    if error.code == "unauthenticated":
        detail, is_wrong_use = f"{access.url} does not accept the key in {access.key_name}: set another", True
    elif error.code == "insufficient_scope":
        detail, is_wrong_use = f"{detail}: set another than the one in {access.key_name}", True
    return CommandError(detail, USAGE_ERROR if is_wrong_use else 1)


def _name_place(pointer: str) -> str:
    """Name the place of a fault: a parameter of the query as the option that it comes from."""
    is_option = pointer.startswith("/query/")
    return f"--{pointer.removeprefix('/query/').replace('_', '-')}" if is_option else pointer


def pass_api(*, writes: bool) -> "Callable[[Callable[Concatenate[AsyncNotifier, P], CommandWork]], AnyCommand]":
    """Decorate a command whose first parameter is the API: `--local` is added to its options, and `WHERE` to its help.

    `writes`: as of `open_api`.
    """

    def decorate(
        function: "Callable[Concatenate[AsyncNotifier, P], CommandWork]",
    ) -> AnyCommand:
        @functools.wraps(function)
        async def command(*args: Any, local: bool = False, **kwargs: Any) -> None:
            async with open_api(local=local, writes=writes) as notifier:
                await function(notifier, *args, **kwargs)

        first, *others = inspect.signature(function).parameters.values()
        option = inspect.Parameter("local", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Local)
        hints = {name: hint for name, hint in function.__annotations__.items() if name != first.name}
        command.__annotations__ = hints | {"local": Local}
        vars(command)["__signature__"] = inspect.Signature([*others, option])
        command.__doc__ = f"{function.__doc__}\n\n    {WHERE}"
        return command

    return decorate


async def take_first(items: AsyncIterator[T], limit: int) -> list[T]:
    """Return the first items of an iterator that reads page after page."""
    taken: list[T] = []
    async for item in items:
        taken.append(item)
        if len(taken) == limit:
            break
    return taken

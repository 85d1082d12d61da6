"""Opens connections to PostgreSQL, for SQLAlchemy's pool and for direct connections alike.

Through a pooler, no prepared statements and session settings are used, because they do not survive a transaction.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote
from weakref import WeakSet

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from notifier.db.database_errors import is_read_only
from notifier.db.database_url import PostgresAddress
from notifier.db.url_parameters import SYSTEM_CERTIFICATES

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_TIMEOUT = 3.0
"""Seconds to connect, for all hosts together. The URL may set a time for each host instead."""
STATEMENT_TIMEOUT = 60.0
SILENCE_TIMEOUT = 5.0
"""Seconds without any sign of the server's host until a connection counts as lost. The URL may set another time."""
PROBE_SECONDS = 1
"""Between two probes of a silent host."""
APPLICATION_NAME = "notifier"
_MAX_NAME = 63
"""Characters of a name that PostgreSQL keeps."""
_NOT_THIS_HOST = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
)
"""Errors after which the next host is tried, as in libpq."""


class PostgresConnector:
    """Opens connections to one address."""

    def __init__(self, address: PostgresAddress, *, session: dict[str, str] | None = None) -> None:
        self.address = address
        self._session = session or {}  # settings of each session, unless there is a pooler
        self._is_pooled = address.parameters.is_pooled
        self._asking: asyncio.Task[bool] | None = None
        self._idle: WeakSet[Any] = WeakSet()  # connections of the driver that SQLAlchemy's pools hold
        self.on_full: Callable[[], None] = lambda: None  # called when the server has no connection left
        self._context: ssl.SSLContext | None = None
        # So that sessions can be told apart by process. Not behind a pooler, which would set the name each time.
        self._process_name = f"{APPLICATION_NAME} {os.getpid()}@{socket.gethostname()}"[:_MAX_NAME]
        self._last: tuple[str, int] | None = None  # the host that took the last connection

    def create_engine(self, **pool: Any) -> AsyncEngine:
        """Create an engine whose connections are opened here."""
        engine = create_async_engine(
            "postgresql+asyncpg://", connect_args={"async_creator_fn": self.connect}, hide_parameters=True, **pool
        )

        @event.listens_for(engine.sync_engine, "do_connect")
        def prepare_or_not(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
            try:
                if await_only(self.is_pooled()):
                    parameters["prepared_statement_cache_size"] = 0
            except Exception as error:  # noqa: BLE001 - raised where SQLAlchemy turns it into an error of its own
                parameters["async_creator_fn"] = partial(_fail, error)

        @event.listens_for(engine.sync_engine, "checkout")
        def require_open(connection: Any, _record: Any, _proxy: Any) -> None:
            self._idle.discard(connection.driver_connection)
            # The event loop notices a server that goes away. A ping before each use would cost a round trip.
            if connection.driver_connection.is_closed():
                raise DisconnectionError

        @event.listens_for(engine.sync_engine, "checkin")
        def note_idle(connection: Any, _record: Any) -> None:
            if connection is not None:  # else it was given up
                self._idle.add(connection.driver_connection)

        @event.listens_for(engine.sync_engine, "handle_error")
        def give_up_read_only(context: Any) -> None:
            # After a failover, the connections lead to a standby. New connections are routed to the new primary.
            if is_read_only(context.original_exception):
                context.is_disconnect = True

        return engine

    async def is_pooled(self) -> bool:
        """True behind a pooler: then the server process that answers is not the one that was connected to."""
        if self._is_pooled is None:
            if self._asking is None or self._asking.done():
                # One for all, before any other connection is opened, so that it counts to no limit.
                self._asking = asyncio.create_task(self._ask_for_pooler())
                self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._is_pooled = await asyncio.shield(self._asking)
        return self._is_pooled

    async def _ask_for_pooler(self) -> bool:
        connection = await self._open(statement_cache_size=0)
        try:
            process = await connection.fetchval("SELECT pg_backend_pid()")
            return bool(process != connection.get_server_pid())
        finally:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=CONNECT_TIMEOUT)

    async def connect(self) -> Any:
        """Open a connection of the driver."""
        try:
            if await self.is_pooled():
                return await self._open(statement_cache_size=0)
            return await self._open(server_settings={"application_name": self._process_name, **self._session})
        except asyncpg.TooManyConnectionsError:
            self._drop_idle()
            raise

    def _drop_idle(self) -> None:
        """Close idle connections, because the server has none left, and another pool of this process may need one."""
        for connection in [*self._idle]:
            connection.terminate()
        self.on_full()

    @property
    def name_prefix(self) -> str:
        """What the names of the sessions of all processes with this URL begin with."""
        return self.address.parameters.server_settings.get("application_name") or f"{APPLICATION_NAME} "

    async def _open(self, *, server_settings: dict[str, str] | None = None, **options: Any) -> Any:
        """Open a connection to the first suitable host. The host that was suitable last time is tried first."""
        address, parameters = self.address, self.address.parameters
        settings = {"application_name": APPLICATION_NAME, **(server_settings or {}), **parameters.server_settings}
        hosts = [self._last, *(host for host in address.hosts if host != self._last)] if self._last else address.hosts
        seconds = parameters.connect_timeout or CONNECT_TIMEOUT / max(len(hosts), 1)
        refusals = []
        for host, port in hosts or ((None, None),):
            try:
                connection = await asyncpg.connect(
                    self._driver_url(),
                    host=host,
                    port=port,
                    user=address.user,
                    password=address.password,
                    database=address.database,
                    ssl=self._tls(),
                    timeout=seconds,
                    command_timeout=STATEMENT_TIMEOUT,
                    server_settings=settings,
                    target_session_attrs=parameters.session,
                    **options,
                )
            except _NOT_THIS_HOST as error:
                refusals.append(error)
            else:
                silence = SILENCE_TIMEOUT if parameters.silence_timeout is None else parameters.silence_timeout
                _limit_silence(connection, silence)
                self._last = (host, port) if host is not None and port is not None else None
                return connection
        raise refusals[-1]

    def _driver_url(self) -> str:
        """Build a URL with the parameters that the driver takes only there, such as certificate files."""
        pairs = self.address.parameters.driver_parameters.items()
        return "postgresql://?" + "&".join(
            f"{name}={quote(value, safe='')}" for name, value in pairs if value != SYSTEM_CERTIFICATES
        )

    def _tls(self) -> ssl.SSLContext | str | None:
        parameters = self.address.parameters
        files = parameters.driver_parameters
        if files.get("sslrootcert") != SYSTEM_CERTIFICATES:
            return parameters.tls_mode
        if self._context is None:
            self._context = ssl.create_default_context()
            if "sslcert" in files:
                self._context.load_cert_chain(files["sslcert"], files.get("sslkey"), files.get("sslpassword", ""))
        return self._context


def _limit_silence(connection: Any, seconds: float) -> None:
    """Let the kernel close the connection when the server's host is silent for so long; 0: as the system does it.

    A host without power or network sends no end of a connection. Without a limit, a statement that is under way waits
    for its own timeout, and a connection that listens waits for hours.
    """
    connected = connection._transport.get_extra_info("socket")  # noqa: SLF001 - the driver has no other access
    if connected.family == socket.AF_UNIX or not seconds:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", round(seconds * 1000)),  # for what is sent and not acknowledged, and for probes
        ("TCP_KEEPIDLE", PROBE_SECONDS),
        ("TCP_KEEPINTVL", PROBE_SECONDS),
        ("TCP_KEEPCNT", max(1, round(seconds / PROBE_SECONDS) - 1)),  # where there is no TCP_USER_TIMEOUT
    ):
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _fail(error: Exception) -> NoReturn:
    raise error

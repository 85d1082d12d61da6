"""Publishes hints to Celery's broker, which wake the senders of Celery workers. The only importer of kombu, an extra.

A hint is never a mail: a lost hint delays mails until the next poll. A thread of its own publishes, so that a broker
that hangs delays neither a request nor the end of the process.
"""

import threading
from uuid import uuid4

from kombu import Connection, Exchange, Producer

from notifier.clock import SystemClock
from notifier.errors import ConfigurationError
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.throttle.circuit_breaker import Circuit

HINT_NAME = "notifier.wake"
"""The name of the task, and of the exchange."""
HINT_EXCHANGE = Exchange(HINT_NAME, type="fanout", delivery_mode="transient")
"""Every worker gets each hint. While no worker runs, the broker drops hints, so they cannot pile up."""
BROKER_TIMEOUT_SECONDS = 2.0
MIN_INTERVAL_SECONDS = 0.1
"""Between two hints of one process. Senders that are busy need none."""
_MAX_WAIT_SECONDS = 15.0
"""Before the next try, while the broker takes no hints."""
CLOSE_TIMEOUT_SECONDS = 0.2


def open_connection(broker_url: str) -> Connection:
    """Prepare a connection to the broker, without connecting. Raises `ConfigurationError` if it can never be used."""
    options = {"socket_connect_timeout": BROKER_TIMEOUT_SECONDS, "socket_timeout": BROKER_TIMEOUT_SECONDS}  # Redis
    options |= {"read_timeout": BROKER_TIMEOUT_SECONDS, "write_timeout": BROKER_TIMEOUT_SECONDS}  # AMQP
    try:
        connection = Connection(broker_url, connect_timeout=BROKER_TIMEOUT_SECONDS, transport_options=options)
        connection.transport  # noqa: B018 - finds the library of the broker
    except (ImportError, NameError) as error:  # NameError: of the transport for Kafka
        reason = "NOTIFIER_CELERY__BROKER_URL needs a library that is missing"
        raise ConfigurationError(f"{reason}: {error}; for Redis run pip install 'celery[redis]'") from error
    except (KeyError, ValueError) as error:
        reason = "NOTIFIER_CELERY__BROKER_URL is no URL that Celery knows: it may be redis://host:6379/0"
        raise ConfigurationError(f"{reason} or amqp://user:password@host//") from error
    return connection


class HintPublisher:
    """Publishes a hint soon after each request for one; requests of the same moment share a hint."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._connection = open_connection(broker_url)
        self._producer: Producer | None = None  # while the broker takes hints
        self._circuit = Circuit(SystemClock())
        self._is_requested = False
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hint-publisher", daemon=True)
        self._thread.start()

    def request_hint(self) -> None:
        """Have a hint published. This never blocks."""
        self._is_requested = True
        self._woken.set()

    def close(self) -> None:
        """Stop. A last hint gets a moment, unless the broker takes none."""
        self._stopping.set()
        self._woken.set()
        if not self._circuit.is_open:
            self._thread.join(CLOSE_TIMEOUT_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set() or (self._is_requested and not self._circuit.is_open):
            self._woken.wait()
            self._woken.clear()
            if self._is_requested:
                self._is_requested = False
                self._try_to_publish()
                self._stopping.wait(max(MIN_INTERVAL_SECONDS, self._circuit.seconds_to_probe()))
        _close(self._connection)

    def _try_to_publish(self) -> None:
        """Publish a hint; a failure opens the circuit, and the next success closes it."""
        try:
            self._publish()
        except Exception as error:  # noqa: BLE001 - each transport has errors of its own, and no hint is worth a fault
            metrics.HINTS.labels("failed").inc()
            self._is_requested = True  # the next try is with a hint: there may still be mails that wait for it
            self._woken.set()
            self._forget_connection()
            if not self._circuit.is_open:
                metrics.HINT_CIRCUIT_OPEN.set(1)
                get_logger().warning("hint_circuit_opened", error=type(error).__name__, reason=str(error))
            self._circuit.open(type(error).__name__, needs_person=False, max_wait=_MAX_WAIT_SECONDS)
            return
        metrics.HINTS.labels("published").inc()
        if self._circuit.is_open:
            self._circuit.close()
            metrics.HINT_CIRCUIT_OPEN.set(0)
            get_logger().info("hint_circuit_closed")

    def _publish(self) -> None:
        if self._producer is None:
            self._producer = Producer(self._connection.channel(), exchange=HINT_EXCHANGE, routing_key=HINT_NAME)
        headers = {"lang": "py", "task": HINT_NAME, "id": str(uuid4())}  # a task of Celery's protocol 2
        self._producer.publish([[], {}, {}], headers=headers)

    def _forget_connection(self) -> None:
        """Open a new connection for the next hint: the state of the old one is unknown."""
        _close(self._connection)
        self._connection, self._producer = open_connection(self._broker_url), None


def _close(connection: Connection) -> None:
    """Close the connection, however broken it is."""
    try:
        connection.collect()
    except Exception as error:  # noqa: BLE001 - each transport has errors of its own, and nobody needs it any more
        get_logger().debug("hint_connection_lost", error=type(error).__name__)

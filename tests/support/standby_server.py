"""A real streaming standby of the tests' own PostgreSQL, whose replay can be paused, and which can be promoted."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import make_url

from support.polling import poll_in_thread
from support.postgres_cluster import OwnServer, execute_statement

START_SECONDS = 100


class StandbyServer:
    """A standby that streams from `primary`, from the beginning of the block to its end. It blocks: use a thread.

    `synchronous`: the primary confirms a commit only after this standby has written it to its disk.
    """

    def __init__(self, primary: OwnServer, *, synchronous: bool = False) -> None:
        self._primary = primary
        self._synchronous = synchronous
        self._name = f"standby_{uuid4().hex[:8]}"
        self._root = Path(tempfile.mkdtemp(prefix="notifier-pg-standby-", dir=primary.data.parents[1]))
        self._root.chmod(0o755)  # if we are root, the server runs as another user
        self.data = self._root / "data"

    def __enter__(self) -> Self:
        try:
            self._copy_primary()
            self.start()
            if self._synchronous:
                self._set_synchronous(self._name)
            poll_in_thread(self._is_streaming)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, name: str) -> str:
        """The URL of one of its databases."""
        return make_url(self._primary.url(name)).set(query={"host": self.host}).render_as_string(hide_password=False)

    @property
    def host(self) -> str:
        """The directory of its socket, as a host of a URL."""
        return str(self._root)  # not its data, which has a copy of the lock of the primary's socket

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    @property
    def user(self) -> str | None:
        """The system user of the server, if it is not that of the tests."""
        return self._primary.user

    @property
    def is_running(self) -> bool:
        """False after `halt` or `stop`."""
        return (self.data / "postmaster.pid").exists()

    def set_parameter(self, name: str, value: str) -> None:
        """Change a parameter that needs no restart."""
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def pause_replay(self) -> None:
        """Show what is committed from now on to no reader of the standby. It is still received."""
        self.execute("SELECT pg_wal_replay_pause()")
        poll_in_thread(lambda: self.execute("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def resume_replay(self) -> None:
        """Replay again."""
        self.execute("SELECT pg_wal_replay_resume()")

    def wait_until_replayed(self) -> None:
        """Wait until everything that is committed on the primary now can be read on the standby."""
        position = self._primary.execute("SELECT pg_current_wal_flush_lsn()::text")
        poll_in_thread(lambda: self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'"))

    def promote(self) -> None:
        """Make it a primary that takes writes. Nothing happens to the old primary."""
        self._primary.run_program("pg_ctl", "-w", "-t", str(START_SECONDS), "-D", str(self.data), "promote")

    def start(self) -> None:
        """Start it, also again after `halt`, on the same socket."""
        options = f'-h "" -k {self.host}'
        log = str(self._root / "log")
        arguments = ("-w", "-t", str(START_SECONDS), "-D", str(self.data), "-l", log, "-o", options, "start")
        self._primary.run_program("pg_ctl", *arguments)

    def halt(self, mode: str = "immediate") -> None:
        """Stop the server, by default like a crash."""
        self._primary.run_program("pg_ctl", "-w", "-D", str(self.data), "-m", mode, "stop")

    def stop(self) -> None:
        """Stop it, let the primary forget it, and remove its files."""
        if self.is_running:
            self.halt()
        if self._primary.is_running:
            if self._synchronous:
                self._set_synchronous("")
            self._primary.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                f" WHERE slot_name = '{self._name}' AND NOT active"
            )
        shutil.rmtree(self._root, ignore_errors=True)

    def execute(self, statement: str) -> Any:
        """Run one statement on the standby, and return the first column of its first row."""
        return execute_statement(self.url("postgres"), statement)

    def _copy_primary(self) -> None:
        user, host = self._primary.user, str(make_url(self._primary.url("postgres")).query["host"])
        if user is not None:
            shutil.chown(self._root, user)
        source = ("-h", host, "-U", str(make_url(self._primary.url("postgres")).username))
        slot = ("--create-slot", "--slot", self._name)  # so that the primary keeps what the standby has not read
        self._primary.run_program(
            "pg_basebackup", *source, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", *slot
        )
        connection = (self.data / "postgresql.auto.conf").read_text()
        named = connection.replace("primary_conninfo = '", f"primary_conninfo = 'application_name={self._name} ")
        (self.data / "postgresql.auto.conf").write_text(named)

    def _is_streaming(self) -> bool:
        query = f"SELECT state FROM pg_stat_replication WHERE application_name = '{self._name}'"
        return bool(self._primary.execute(query) == "streaming")

    def _set_synchronous(self, name: str) -> None:
        self._primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        self._primary.execute("SELECT pg_reload_conf()")

"""A standby that the tests start: what it shows, and that it can be promoted."""

from collections.abc import Iterator

import pytest
from support.postgres_cluster import OwnServer
from support.standby_server import StandbyServer


@pytest.fixture
def primary() -> Iterator[OwnServer]:
    server = OwnServer(durable=True)
    yield server
    server.stop()


def test_a_standby_follows_pauses_and_is_promoted(primary: OwnServer) -> None:
    """A standby shows what is committed, nothing while its replay is paused, and takes writes once it is promoted."""
    primary.execute("CREATE TABLE number (value int)")
    with StandbyServer(primary, synchronous=True) as standby:
        primary.execute("INSERT INTO number VALUES (1)")
        standby.wait_until_replayed()
        assert standby.execute("SELECT max(value) FROM number") == 1
        standby.pause_replay()
        primary.execute("INSERT INTO number VALUES (2)")
        assert standby.execute("SELECT max(value) FROM number") == 1
        primary.halt()
        standby.resume_replay()
        standby.promote()
        standby.execute("INSERT INTO number VALUES (3)")
        assert standby.execute("SELECT count(*) FROM number") == 3

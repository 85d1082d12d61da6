"""An API whose database does not answer at the start: one that may come back, and one that cannot."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support import notifier_process
from support.notifier_process import NotifierProcess
from support.typed_commands import type_command

SECRET = "s3cret-pa55"


def test_an_api_starts_beside_a_server_that_is_away(tmp_path: Path) -> None:
    """The API logs one line, starts, and is not ready. A POST gets 503 until the server is back."""
    env = notifier_process.build_environment(tmp_path, DATABASE_URL=f"postgresql://ada:{SECRET}@127.0.0.1:1/postgres")
    with NotifierProcess("api", "--port", "0", env=env) as api:
        url = api.wait_until_ready().rpartition(" ")[2]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{url}/readyz")
        line = json.loads(api.errors)
        assert line["event"] == "api_waits_for_database"
        assert line["reason"].startswith("PostgreSQL at 127.0.0.1:1 refuses connections")
        assert SECRET not in api.errors


def test_an_api_does_not_start_where_no_server_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name without an address is a configuration error: exit 2."""
    monkeypatch.setenv("NOTIFIER_DATABASE_URL", f"postgresql://ada:{SECRET}@no-such-host.invalid/x")
    ended = type_command("api", "--port", "0")
    assert (ended.code, ended.stderr.count("\n"), "cannot be found" in ended.stderr) == (2, 1, True)
    assert SECRET not in ended.stderr

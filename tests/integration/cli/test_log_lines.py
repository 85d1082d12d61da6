"""Whatever goes wrong in a server or the inbox, each line that it writes to stderr is JSON."""

import json
import socket
from pathlib import Path

import httpx2
from support.notifier_process import NotifierProcess, build_environment, find_free_port, run_notifier
from support.seeded_installation import WELCOME, SqliteSeed

REFUSED_BYTES = (
    b"GARBAGE\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST /v1/notifications HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
)


def test_each_line_of_a_server_is_json(sqlite_seed: SqliteSeed, tmp_path: Path) -> None:
    """Warnings, hostile bytes, a relay that is away and a fault of the program, with asyncio in its debug mode."""
    settings = {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "API__ACCESS_LOG": "true"}
    env = build_environment(
        tmp_path, DATABASE_URL=sqlite_seed.copy(tmp_path), SMTP__PORT=str(find_free_port()), **settings
    )
    env |= {"PYTHONWARNINGS": "always", "PYTHONASYNCIODEBUG": "1"}
    key = sqlite_seed.keys.shop
    with NotifierProcess("serve", "--port", "0", env=env, fresh=True) as server:
        port = int(server.wait_until_ready().rpartition(":")[2])
        for data in REFUSED_BYTES:
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                client.recv(65_536)
        headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "lines-1"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as caller:
            assert caller.post("/v1/notifications", json=WELCOME).status_code == 202
        server.wait_for_error("circuit_opened")
        server.wait_for_error("request_served")
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.errors.splitlines()]
    assert {"circuit_opened", "library_log", "request_served"} <= {line["event"] for line in lines}
    assert all(line["level"] and line["timestamp"] for line in lines)
    assert "lines-1" in {line.get("request_id") for line in lines if line["event"] == "request_served"}
    assert key not in server.errors


def test_each_line_of_the_inbox_is_json(tmp_path: Path) -> None:
    """Hostile bytes on both ports, and a wrong setting of the log."""
    env = build_environment(tmp_path, LOG_FORMAT="json")
    ports = (find_free_port(), find_free_port())
    with NotifierProcess("inbox", "--port", str(ports[0]), "--smtp-port", str(ports[1]), env=env) as inbox:
        inbox.wait_until_ready()
        for port, data in zip(ports, (REFUSED_BYTES[0], b"NONSENSE ada@example.com\r\n"), strict=True):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(data)
                client.recv(65_536)
        inbox.wait_for_error("uvicorn.error")
        inbox.wait_for_error("mail.log")
        assert inbox.stop() == 0
    assert {json.loads(line)["event"] for line in inbox.errors.splitlines()} == {"library_log"}
    assert "ada@" not in inbox.errors
    wrong = run_notifier("inbox", env=env | {"NOTIFIER_LOG_LEVEL": "LOUD"}, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "NOTIFIER_LOG_LEVEL" in wrong.stderr

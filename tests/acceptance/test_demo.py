"""`notifier demo` as a new user sees it."""

import re
import stat
import subprocess
from pathlib import Path

import httpx2
from support import notifier_process
from support.notifier_process import NotifierProcess

from notifier.inbox.client import MailHogClient


def _demo(folder: Path, *flags: str, fresh: bool = False) -> NotifierProcess:
    ports = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0")
    return NotifierProcess(
        "demo", *ports, "--data-dir", str(folder), *flags, env=notifier_process.build_environment(folder), fresh=fresh
    )


def test_the_first_mail(tmp_path: Path) -> None:
    """One POST puts a mail into the inbox and MailHog's JSON; a second start keeps data and key."""
    with _demo(tmp_path, "--json", fresh=True) as demo:
        where = demo.wait_until_ready_json()
        headers = {"Authorization": f"Bearer {where['key']}"}
        with (
            httpx2.Client(base_url=where["api"], headers=headers, timeout=100) as client,
            MailHogClient(where["inbox"]) as inbox,
        ):
            body = {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
            reply = client.post("/v1/notifications", json=body)
            assert (reply.status_code, reply.headers["location"]) == (202, f"/v1/notifications/{reply.json()['id']}")
            mail = inbox.wait_for(to="ada@example.com", timeout=100)
            assert mail.subject == "Welcome to Larkspur, Ada"
            page = httpx2.get(f"{where['inbox']}/api/v2/messages").json()
            assert page["items"][0]["Content"]["Headers"]["Subject"] == ["Welcome to Larkspur, Ada"]
        assert demo.stop() == 0
    assert (tmp_path / "demo-admin-key").read_text() == where["admin_key"] + "\n"
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("demo-key", "demo-admin-key")] == [0o600] * 2
    assert [path for path in tmp_path.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    with _demo(tmp_path, "--json", fresh=True) as demo:
        again = demo.wait_until_ready_json()
        assert (again["key"], again["admin_key"]) == (where["key"], where["admin_key"])
        admin = {"Authorization": f"Bearer {again['admin_key']}"}
        (service,) = httpx2.get(f"{again['api']}/v1/services", headers=admin).json()["services"]
        assert service["name"] == "demo"
        notification = httpx2.get(f"{again['api']}{reply.headers['location']}", headers=headers).json()
        assert (notification["status"], notification["attempts"][0]["code"]) == ("sent", 250)


def test_the_printed_link_opens_the_console(tmp_path: Path) -> None:
    """The link that the demo prints asks for a password, and signs in whoever chooses one."""
    with _demo(tmp_path) as demo:
        demo.wait_until_ready()
        link = demo.wait_for_line("  Console  ").split()[-1]
        with httpx2.Client(follow_redirects=True, timeout=100) as client:
            assert "Choose a password." in client.get(link).text
            form = {"password": "violet harbour lantern", "time_zone": "Europe/Amsterdam"}
            page = client.post(link, data=form, headers={"Sec-Fetch-Site": "same-origin"})
            assert (page.status_code, page.url.path) == (200, "/console/")
            assert "Nothing waits for you." in page.text
            assert "Amsterdam (UTC+" in page.text


def test_the_printed_lines_work(tmp_path: Path) -> None:
    """Each step is told as it begins; the export line makes commands work; the curl line is answered with 202."""
    with _demo(tmp_path) as demo:
        demo.wait_until_ready()
        steps = ["demo", "inbox", "database", "templates", "sender", "API"]
        assert [line.split()[0] for line in demo.errors.splitlines()[: len(steps)]] == steps
        exports = demo.wait_for_line("export ").split()[1:]
        env = notifier_process.build_environment(tmp_path) | dict(export.split("=", 1) for export in exports)
        assert "demo" in notifier_process.run_notifier("services", "list", env=env).stdout
        printed = demo.wait_for_line("curl ")
        answer = subprocess.run(["bash", "-c", printed], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("HTTP/1.1 202")
    assert re.search(r"(?im)^location: /v1/notifications/[0-9a-f-]{36}\r?$", answer.stdout)


def test_a_busy_port_names_port_and_flag(tmp_path: Path) -> None:
    """A port in use ends the demo with exit code 2 and one line that names the flag."""
    with _demo(tmp_path, "--json") as first:
        where = first.wait_until_ready_json()
        for flag, url in (("--port", where["api"]), ("--inbox-port", where["inbox"]), ("--smtp-port", where["smtp"])):
            port = url.rpartition(":")[2]
            free = {"--port": "0", "--inbox-port": "0", "--smtp-port": "0"} | {flag: port}
            flags = [word for pair in free.items() for word in pair]
            folder = str(tmp_path / "second")
            second = notifier_process.run_notifier(
                "demo", *flags, "--data-dir", folder, env=notifier_process.build_environment(tmp_path), check=False
            )
            assert second.returncode == 2
            assert second.stderr.endswith(f"\nnotifier: port {port} is in use: choose another with {flag}\n")


def test_two_demos_do_not_share_a_data_directory(tmp_path: Path) -> None:
    """A second demo on the same data directory says that another demo owns it."""
    with _demo(tmp_path, "--json") as first:
        first.wait_until_ready_json()
        with _demo(tmp_path, "--json") as second:
            assert second.wait() == 2
        assert "another process owns" in second.errors

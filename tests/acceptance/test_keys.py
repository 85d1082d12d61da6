"""An operator at the terminal creates, lists, rotates and revokes keys."""

import json
from pathlib import Path
from typing import Any

from support import notifier_process


def test_the_life_of_a_key(tmp_path: Path) -> None:
    """A key is created, rotated and revoked by prefix; an invalid key exits with 2, an unknown or ended one with 1."""
    env = notifier_process.build_environment(tmp_path)
    notifier_process.run_notifier("db", "upgrade", env=env)
    notifier_process.run_notifier("services", "create", "shop", "--team-recipient", "@shop.example", env=env)
    wrong = notifier_process.run_notifier("services", "create", "x", "--team-recipient", "bob", env=env, check=False)
    assert wrong.returncode == 2

    def rows(*words: str, group: str = "keys") -> list[dict[str, Any]]:
        rows_: list[dict[str, Any]] = json.loads(notifier_process.run_notifier(group, *words, "--json", env=env).stdout)
        return rows_

    changed = rows("update", "shop", "--team-recipient", "Ada@x.org", "--rate-per-minute", "60", group="services")
    assert (changed[0]["team_recipients"], changed[0]["rate_per_minute"]) == ("ada@x.org", "60")
    assert rows("list", group="services") == changed
    assert notifier_process.run_notifier("services", "update", "shop", env=env, check=False).returncode == 2

    (created,) = rows(
        "create",
        "--service",
        "shop",
        "--kind",
        "test",
        "--name",
        "app",
        "--expires-in",
        "90d",
        "--rate-per-minute",
        "7",
    )
    assert created["rate_per_minute"] == "7"
    assert created["key"].startswith("ntf_test_")
    (new,) = rows("rotate", created["prefix"])
    assert (new["name"], new["kind"], new["scopes"]) == (created["name"], created["kind"], created["scopes"])
    assert rows("revoke", new["key"])[0]["revoked"] != "-"
    assert [row["id"] for row in rows("list", "--service", "shop")] == [created["id"]]
    assert [row["id"] for row in rows("list", "--include-ended")] == [new["id"], created["id"]]
    for words, code in ((("revoke", "17"), 2), (("rotate", new["id"]), 1), (("revoke", "ntf_live_AAAAAAAAAAAA"), 1)):
        assert notifier_process.run_notifier("keys", *words, env=env, check=False).returncode == code, words
    admin = notifier_process.run_notifier("keys", "create", "--admin", env=env).stdout.strip()
    assert admin.startswith("ntf_admin_")
    (admin_row,) = [row for row in rows("list") if admin.startswith(row["prefix"])]
    assert admin_row["scopes"] == "templates:read,templates:edit,templates:publish,admin"
    for wrongly in ((), ("--service", "shop", "--admin"), ("--service", "shop", "--scope", "admin")):
        assert notifier_process.run_notifier("keys", "create", *wrongly, env=env, check=False).returncode == 2

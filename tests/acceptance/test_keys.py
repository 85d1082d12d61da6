"""An operator at the terminal: keys made, listed, rotated and revoked."""

import json
from pathlib import Path
from typing import Any

from parts import process


def test_the_life_of_a_key(tmp_path: Path) -> None:
    """Made, rotated and revoked by prefix; what is no key is exit 2, what is not there or has ended exit 1."""
    env = process.environment(tmp_path)
    process.run("db", "upgrade", env=env)
    process.run("services", "create", "shop", "--team-recipient", "@shop.example", env=env)
    wrong = process.run("services", "create", "x", "--team-recipient", "bob", env=env, check=False)
    assert wrong.returncode == 2

    def rows(*words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(process.run("keys", *words, "--json", env=env).stdout)
        return found

    (made,) = rows("create", "--service", "shop", "--kind", "test", "--name", "app", "--expires-in", "90d")
    assert made["key"].startswith("ntf_test_")
    (new,) = rows("rotate", made["prefix"])
    assert (new["name"], new["kind"], new["scopes"]) == (made["name"], made["kind"], made["scopes"])
    assert rows("revoke", new["key"])[0]["revoked"] != "-"
    assert [one["id"] for one in rows("list", "--service", "shop")] == [made["id"]]
    assert [one["id"] for one in rows("list", "--include-ended")] == [new["id"], made["id"]]
    for words, code in ((("revoke", "17"), 2), (("rotate", new["id"]), 1), (("revoke", "ntf_live_AAAAAAAAAAAA"), 1)):
        assert process.run("keys", *words, env=env, check=False).returncode == code, words

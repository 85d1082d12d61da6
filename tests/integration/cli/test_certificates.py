"""Unusable certificate files are reported at the start and by `doctor`."""

import json
from pathlib import Path

import pytest
from support.certificate_authority import CertificateAuthority
from support.typed_commands import type_command

VARIABLES = {
    "smtp_ca": "NOTIFIER_SMTP__CA_FILE",
    "webhooks_ca": "NOTIFIER_WEBHOOKS__CA_FILE",
    "feeds_ca": "NOTIFIER_FEEDS__CA_FILE",
}
COMMANDS = ("serve --port 0", "sender", "sender --processes 2", "sender --drain")
FAULTS = {"missing": "there is no such file", "folder": "is a directory", "empty": "it is empty", "key": "private key"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files that contain no certificate."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize("variable", VARIABLES.values())
def test_nothing_starts(folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """One line with variable, path, reason and advice, exit 2, before the database is opened; no file is created."""
    for command in COMMANDS:
        if command.startswith("sender"):
            monkeypatch.setenv("NOTIFIER_DATABASE_URL", "postgresql://ada@127.0.0.1:1/x")
        for name, why in FAULTS.items():
            monkeypatch.setenv(variable, str(folder / name))
            ended = type_command(*command.split())
            assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), (command, name)
            for words in (variable, str(folder / name), why, "unset it to trust the system's"):
                assert words in ended.stderr, (command, name)
    assert not (folder / "data").exists()


def test_each_file_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error gives a line."""
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, str(folder / "missing"))
    ended = type_command("serve", "--port", "0")
    assert (ended.code, ended.stderr.count("\n")) == (2, len(VARIABLES))
    assert all(variable in ended.stderr for variable in VARIABLES.values())


def test_doctor_tells_of_both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A usable file is named, too; a file that is not set is not mentioned."""
    assert not VARIABLES.keys() & _findings().keys()
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, str(folder / "missing"))
    findings = _findings()
    for name, variable in VARIABLES.items():
        assert findings[name]["ok"] is False
        assert variable in str(findings[name]["detail"])
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, str(CertificateAuthority(folder).ca_file))
    assert [_findings()[name]["ok"] for name in VARIABLES] == [True] * len(VARIABLES)


def _findings() -> dict[str, dict[str, object]]:
    findings = json.loads(type_command("doctor", "--json").stdout)["findings"]
    return {finding["name"]: finding for finding in findings}

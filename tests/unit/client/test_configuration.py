"""URL and key: arguments override the environment, invalid values are refused, and the key is never shown."""

import asyncio
import inspect
import pickle
from typing import Any

import pytest

from notifier.client import (
    AsyncNotifier,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    Fault,
    Notifier,
    NotifierClientError,
)
from notifier.client.awaiting_groups import AsyncCallGroup
from notifier.client.blocking_groups import CallGroup
from notifier.client.errors import Problem
from notifier.client.http_exchange import Configuration

KEY = "ntf_live_" + "s3cr3t" * 6
URL = "https://notifier.example.com"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFIER_URL", raising=False)
    monkeypatch.delenv("NOTIFIER_API_KEY", raising=False)


def of(url: str | None = None, key: str | None = None, **more: Any) -> Configuration:
    """Build a configuration."""
    return Configuration.from_arguments(url, key, more.get("timeout", 30.0), None)


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """URL and key may each come from an argument or a variable; surrounding blanks are removed."""
    monkeypatch.setenv("NOTIFIER_URL", "http://127.0.0.1:8000/ ")
    monkeypatch.setenv("NOTIFIER_API_KEY", f"{KEY}\n")
    assert (of().url, of().key) == ("http://127.0.0.1:8000", KEY)
    assert (of(URL).url, of(key="other").key) == (URL, "other")


def test_what_is_missing_is_named() -> None:
    """The error for a missing value names the argument and the variable."""
    with pytest.raises(ConfigurationError, match="NOTIFIER_URL"):
        Notifier(key=KEY)
    with pytest.raises(ConfigurationError, match="NOTIFIER_API_KEY"):
        AsyncNotifier(url=URL)


@pytest.mark.parametrize(
    "url", ["notifier.example.com", "ftp://x.org", "http://", "https://u:p@x.org", "http://x.org?a=b", "http://x:y"]
)
def test_a_url_that_cannot_be_right(url: str) -> None:
    """An invalid URL is refused before anything is sent, and its password is not repeated."""
    with pytest.raises(ConfigurationError) as caught:
        of(url, KEY)
    assert "u:p" not in str(caught.value)


def test_a_key_that_cannot_be_right_is_not_repeated() -> None:
    """A key with a blank or a line break inside is refused without being shown."""
    for key in ("ntf_live_a b", "ntf_live_a\nb", "ntf_live_ä"):
        with pytest.raises(ConfigurationError) as caught:
            of(URL, key)
        assert "ntf_live" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        of(URL, KEY, timeout=0)


def test_the_key_is_in_no_repr() -> None:
    """No repr of a client, its parts, the configuration or the headers contains the key."""
    with Notifier(url=URL, key=KEY) as notifier:
        texts = [repr(notifier), str(notifier), repr(notifier.suppressions), repr(notifier._configuration)]
        texts += [repr(notifier._http), repr(notifier._http.headers)]
    asynchronous = AsyncNotifier(url=URL, key=KEY)
    texts += [repr(asynchronous), repr(asynchronous._http.headers)]
    asyncio.run(asynchronous.aclose())
    assert [text for text in texts if "s3cr3t" in text] == []
    assert texts[0] == f"Notifier(url='{URL}')"


def test_both_clients_offer_the_same() -> None:
    """Both clients have the same methods, with the same parameters and docstrings."""
    blocking_classes = {kind.__name__: kind for kind in CallGroup.__subclasses__()}
    async_classes = {kind.__name__.removeprefix("Async"): kind for kind in AsyncCallGroup.__subclasses__()}
    assert set(blocking_classes) == set(async_classes) > {"Notifier", "Merges"}
    for class_name, blocking_class in blocking_classes.items():
        async_class = async_classes[class_name]
        blocking_names, async_names = (
            {name for name in dir(kind) if not name.startswith("_")} - {"close", "aclose", "perform", "follow"}
            for kind in (blocking_class, async_class)
        )
        assert blocking_names == async_names
        assert len(blocking_names) > 0
        for name in blocking_names:
            a, b = getattr(blocking_class, name), getattr(async_class, name)
            assert inspect.signature(a) == inspect.signature(b), name
            assert a.__doc__ == b.__doc__
            assert a.__doc__, name


def test_help_shows_the_parameters() -> None:
    """help() and editors show the parameters of each method."""
    with Notifier(url=URL, key=KEY) as notifier:
        assert list(inspect.signature(notifier.resolve).parameters) == ["id_", "as_", "comment"]
        assert "committed" in str(inspect.getdoc(notifier.send))


def test_errors_survive_a_trip_to_another_process() -> None:
    """Errors can be pickled, as task queues require."""
    fault = Fault(pointer="/to", code="invalid_address", detail="no")
    refused = ConflictError(Problem(status=409, code="already_ended", detail="it was sent", errors=(fault,)))
    lost = ConnectionFailedError("no answer", 3, maybe_done=True)
    for error in (refused, lost, NotifierClientError("x")):
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert vars(back) == vars(error)
    assert isinstance(lost, ConnectionError)
    assert str(lost) == "no answer (tries: 3; the request may have taken effect)"

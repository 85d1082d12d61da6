"""Which URLs may be called, and how allowed URLs are normalised."""

import pytest

from notifier.webhooks.webhook_url import UrlRefusedError, parse_webhook_url

GOOD = {
    "https://hooks.example.org/in": ("hooks.example.org", 443, "/in"),
    "https://hooks.example.org": ("hooks.example.org", 443, "/"),
    "HTTPS://Hooks.Example.ORG./in?a=b&c": ("hooks.example.org", 443, "/in?a=b&c"),
    "https://hooks.example.org:8443/in": ("hooks.example.org", 8443, "/in"),
    "https://hooks.example.org?x=1": ("hooks.example.org", 443, "/?x=1"),
    "https://bücher.example/": ("xn--bcher-kva.example", 443, "/"),
    "https://a_b.example.org/%20": ("a_b.example.org", 443, "/%20"),
    "https://1.example.org/": ("1.example.org", 443, "/"),
}
BAD = [
    *("", "/", "hooks.example.org", "//hooks.example.org/", "https:hooks.example.org", "https:/hooks.example.org/"),
    *("http://hooks.example.org/", "ftp://hooks.example.org/", "file:///etc/passwd", "gopher://hooks.example.org/"),
    *("javascript:alert(1)", "https://", "https:///in", "https://?x", "https://:443/", "https://.example.org/"),
    *("https://user@hooks.example.org/", "https://user:pw@hooks.example.org/", "https://@hooks.example.org/"),
    *("https://hooks.example.org@127.0.0.1/", "https://127.0.0.1#@hooks.example.org/", "https://a.example/#x"),
    *("https://hooks.example.org\\@127.0.0.1/", "https://127.0.0.1\\.example.org/", "https://ho oks.example.org/"),
    *("https://hooks.example.org/a b", " https://hooks.example.org/", "https://hooks.example.org/\n", "https://a\t.b/"),
    *("https://hooks.example.org:80/", "https://hooks.example.org:22/", "https://hooks.example.org:0/"),
    *("https://hooks.example.org:99999/", "https://hooks.example.org:/", "https://hooks.example.org:443x/"),
    *("https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/"),
    *("https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://017700000001/", "https://127.0.0.1./", "https://0/"),
    *("https://1.1.1.1/", "https://a.0x7f/", "https://example.1/", "https://①②⑦.⓪.⓪.①/", "https://127。0。0。1/"),
    *("https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[::1/"),
    *("https://[64:ff9b::7f00:1]/", "https://[2606:4700:4700::1111]/", "https://[v1.x]/", "https://::1/"),
    *("https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://a.localhost/", "https://db/"),
    *("https://metadata.google.internal/", "https://printer.local/", "https://hooks..example.org/"),
    *("https://-a.example.org/", "https://a-.example.org/", "https://hooks.example.org../", "https://%31.example.org/"),
    *("https://hooks%2eexample.org/", "https://hooks.example.org%00.b/", "https://ex\u00adample.\u200borg\u2028/"),
    *("https://" + "a" * 64 + ".example.org/", "https://" + "a." * 130 + "org/", "https://a.example/" + "a" * 2048),
    *("https://hooks.example.org/ünïcode", "https://hooks.example.org/<x>", "https://hooks.example.org/\x00"),
]


@pytest.mark.parametrize("url", GOOD)
def test_what_may_be_called(url: str) -> None:
    """The name is in lower case, as A-labels, without a final dot; port, path and query are kept."""
    target = parse_webhook_url(url)
    assert (target.host, target.port, target.path) == GOOD[url]
    assert target.secure
    assert not target.trusted


def test_the_corpus_is_large() -> None:
    """The list of bad URLs does not shrink by accident."""
    assert len(set(BAD)) >= 60


@pytest.mark.parametrize("url", BAD)
def test_what_may_not_be_called(url: str) -> None:
    """A bad URL is refused with a sentence for its author."""
    with pytest.raises(UrlRefusedError) as refused:
        parse_webhook_url(url)
    assert str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/x", "https://LocalHost/x", "http://127.0.0.1/", "http://[::1]:9/"]
)
def test_listed_hosts_may_be_anything_but_ambiguous(url: str) -> None:
    """A listed host may use plain HTTP, any port or an address, but no ambiguous URL."""
    listed = ("localhost", "127.0.0.1", "::1")
    assert parse_webhook_url(url, listed).trusted
    for bad in ("http://a@localhost/", "http://localhost/#x", "http://localhost.example.org/", "http://127.1/"):
        with pytest.raises(UrlRefusedError):
            parse_webhook_url(bad, listed)


def test_the_host_field_names_an_unusual_port() -> None:
    """The Host field has an unusual port and leaves out the default one (RFC 9110 §7.2)."""
    assert parse_webhook_url("https://a.example:443/").authority == "a.example"
    assert parse_webhook_url("https://a.example:8443/").authority == "a.example:8443"
    assert parse_webhook_url("http://[::1]:9/", ("::1",)).authority == "[::1]:9"

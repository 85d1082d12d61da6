"""Addresses: one stored form each, nothing but one bare address, and names apart from addresses."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import assume, given
from hypothesis import strategies as st

from notifier import email_address
from notifier.email_address import InvalidAddressError, NeedsSmtputf8Error

REFUSED = (
    "",
    "a",
    "a@",
    "@x.org",
    "a@localhost",
    "a@[127.0.0.1]",
    "a@127.0.0.1",
    "Foo <a@x.org>",
    "<a@x.org>",
    "a@x.org,b@x.org",
    "a@x.org\r\nBcc: e@x.org",
    "a@x.org\n",
    "a@x.org\x00",
    " a@x.org",
    "a@x.org ",
    "a\u200b@x.org",
    "a@x\u200b.org",
    "a@x.org\u2028",
    '"a b"@x.org',
    "a(b)@x.org",
    "a" * 65 + "@x.org",
    "a@x.test",
    "a@" + "x" * 64 + ".org",
)
STORED = {
    "a@x.org": "a@x.org",
    "A@X.ORG": "A@x.org",
    "a@\uff58.org": "a@x.org",
    "a@Bücher.example": "a@xn--bcher-kva.example",
    "a@xn--bcher-kva.example": "a@xn--bcher-kva.example",
    "a" * 64 + "@x.org": "a" * 64 + "@x.org",
    "a+b@x.org": "a+b@x.org",
}
_LOCAL = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}", fullmatch=True)
_DOMAIN = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9]{0,8})(\.[A-Za-z]{3,8}){1,2}\.(org|COM|de)", fullmatch=True)
_NAME = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_one_bare_public_address_is_refused(text: str) -> None:
    """Several, named, quoted, local, invisible or overlong: `InvalidAddressError`."""
    with pytest.raises(InvalidAddressError):
        email_address.normalise_address(text)


@pytest.mark.parametrize(("text", "stored"), STORED.items())
def test_an_address_has_one_stored_form(text: str, stored: str) -> None:
    """The domain in lower case and as an A-label; the local part as it was written."""
    assert email_address.normalise_address(text) == stored


def test_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    """It is an address, but no relay without SMTPUTF8 can take it."""
    with pytest.raises(NeedsSmtputf8Error):
        email_address.normalise_address("ü@x.org")


@given(local=_LOCAL, domain=_DOMAIN)
def test_the_stored_form_is_a_fixed_point(local: str, domain: str) -> None:
    """Normalising again changes nothing, the form is ASCII, and only the domain's case was touched."""
    assume("xn--" not in domain.lower())
    stored = email_address.normalise_address(f"{local}@{domain}")
    assert email_address.normalise_address(stored) == stored == f"{local}@{domain.lower()}"
    assert email_address.get_address_domain(stored) == domain.lower()


_ODD = st.text("aZ09.-_+@!'xn\u00e9 ", max_size=12)
_PARTS = st.sampled_from(
    (
        *("info", "WWW", "Ada", "a.b", "a..b", ".a", "x" * 64, "x" * 65),
        *("x.org", "X-Y.Org", "xn--bcher-kva.de", "ab--c.de", "b\u00fccher.example", "x_y.org", "a.de.", "a..de"),
        *("a.test", "localhost", "invalid", "a.local", "1.2.3.4", "a.1", "-a.de", "a-.de"),
        *("y" * 63 + ".de", "y" * 64 + ".de", ".".join(["z" * 60] * 4) + ".de", ".".join(["z" * 48] * 4) + ".de"),
    )
)


@given(local=_PARTS | _LOCAL | _ODD, domain=_PARTS | _DOMAIN | _ODD)
def test_plain_addresses_are_read_as_the_library_reads_them(local: str, domain: str) -> None:
    """The quick way for plain addresses has the same result, or the same refusal, as asking the library each time."""
    text = f"{local}@{domain}"
    try:
        expected = validate_email(text, check_deliverability=False, strict=True).ascii_email
    except EmailNotValidError:
        with pytest.raises(InvalidAddressError):
            email_address.normalise_address(text)
    else:
        if expected is None:
            with pytest.raises(NeedsSmtputf8Error):
                email_address.normalise_address(text)
        else:
            assert email_address.normalise_address(text) == expected


@given(st.text(max_size=60))
def test_no_text_becomes_an_address_that_could_break_a_command(text: str) -> None:
    """Whatever is accepted is ASCII without space, control character, bracket or comma."""
    try:
        stored = email_address.normalise_address(text)
    except InvalidAddressError:
        return
    assert stored.isascii()
    assert not set(stored) & set(' \t\r\n\x00<>,;:"()[]\\')
    assert stored.count("@") == 1


@pytest.mark.parametrize(
    ("text", "name", "stored"),
    [
        ("a@x.org", None, "a@x.org"),
        ("<a@X.org>", None, "a@x.org"),
        ("Ada <a@x.org>", "Ada", "a@x.org"),
        ("Ada<a@x.org>", "Ada", "a@x.org"),
        ("Ada  Lovelace   <a@x.org>", "Ada  Lovelace", "a@x.org"),
        ('"Lovelace, Ada" <a@x.org>', "Lovelace, Ada", "a@x.org"),
        ('"Ada \\"the first\\" L." <a@x.org>', 'Ada "the first" L.', "a@x.org"),
        ('"a <b> c" <a@x.org>', "a <b> c", "a@x.org"),
        ("Grüße 😀 <a@x.org>", "Grüße 😀", "a@x.org"),
        ('"" <a@x.org>', None, "a@x.org"),
    ],
)
def test_a_mailbox_is_a_name_and_an_address(text: str, name: str | None, stored: str) -> None:
    """The name is taken out of its quotes; an empty one is none."""
    assert email_address.parse_named_address(text) == (name, stored)


@pytest.mark.parametrize(
    "text",
    [
        "Ada <nobody>",
        "Ada <>",
        "Ada <a@x.org> and more",
        "Ada <a@x.org>, Bob <b@x.org>",
        "<a@x.org> <b@x.org>",
        "a@x.org <b@x.org>>",
        "Ada a@x.org",
        "Ada <a@x.org\r\nBcc: e@x.org>",
    ],
)
def test_anything_but_one_mailbox_is_refused(text: str) -> None:
    """A second mailbox, text behind the bracket, or no address in it."""
    with pytest.raises(InvalidAddressError):
        email_address.parse_named_address(text)


@given(_NAME)
def test_a_quoted_name_comes_back(name: str) -> None:
    """Any printable name, quoted as RFC 5322 says, is read as it was meant."""
    assume(name == name.strip() and name)
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert email_address.parse_named_address(f'"{quoted}" <a@x.org>') == (name, "a@x.org")


def test_addresses_that_differ_in_case_are_one_persons() -> None:
    """Suppressions and allow-lists compare by this key."""
    assert (
        email_address.get_address_key("Ada@x.org")
        == email_address.get_address_key("ADA@X.ORG")
        != email_address.get_address_key("ad@x.org")
    )

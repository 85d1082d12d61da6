"""Headings as people write them become fields; what is ambiguous is reported."""

import pytest

from notifier.spreadsheet.heading_match import match_headings

FIELDS = ("to", "order.total", "first_name", "straße")


@pytest.mark.parametrize(
    "heading",
    ["to", "To", "TO:", "E-Mail Address", "E-Mail", "email", "e mail", "EMAIL", "Mail", "mail address",
     "E-Mail-Adresse", "Adresse e-mail", "Correo electrónico", "Recipient", "Empfänger"],
)  # fmt: skip
def test_words_for_the_recipient(heading: str) -> None:
    """Each usual word for the address is `to`."""
    match = match_headings([heading], ["to"], {})
    assert match.fields == {0: "to"}
    assert match.sentences == ()


@pytest.mark.parametrize(
    ("heading", "field"),
    [("order total", "order.total"), ("Order Total", "order.total"), ("order_total", "order.total"),
     ("ORDER-TOTAL", "order.total"), ("order.total", "order.total"), ("Órder  Tôtal ", "order.total"),
     ("First Name", "first_name"), ("firstName", "first_name"), ("first\u00a0name", "first_name"),
     ("STRASSE", "straße"), ("Stra\u00dfe", "straße")],
)  # fmt: skip
def test_spellings_of_fields(heading: str, field: str) -> None:
    """Case, spaces, dashes, dots, underscores and accents do not matter."""
    match = match_headings(["x", heading], FIELDS, {})
    assert match.fields == {1: field}
    assert match.unmatched == ("x",)
    assert set(match.missing) == set(FIELDS) - {field}


@pytest.mark.parametrize("heading", ["total", "order", "order total net", "!!!", "toto", "名前"])
def test_what_is_only_similar_is_not_guessed(heading: str) -> None:
    """A heading that is not a field's name is not matched."""
    match = match_headings([heading], ["order.total", "to"], {})
    assert match.fields == {}
    assert match.unmatched == (heading,)
    assert match.missing == ("order.total", "to")


def test_two_headings_for_one_field() -> None:
    """Two headings that could be the address are reported, and neither is taken."""
    match = match_headings(["Mail", "Name", "E-Mail"], ["to", "name"], {})
    assert match.fields == {1: "name"}
    assert match.missing == ("to",)
    assert match.unmatched == ("Mail", "E-Mail")
    assert match.ambiguities == (
        (
            "The headings “Mail” and “E-Mail” could stand for the field “to”: map the column that is meant, for example"
            " “Mail:to”."
        ),
    )
    assert match.sentences == match.ambiguities


def test_one_heading_for_two_fields() -> None:
    """A heading that could be two fields is reported."""
    match = match_headings(["Order total"], ["order.total", "order_total"], {})
    assert match.fields == {}
    assert match.missing == ("order.total", "order_total")
    assert "could stand for the fields “order.total” and “order_total”" in match.ambiguities[0]


def test_the_exact_name_is_no_guess() -> None:
    """A heading with the very name of a field is taken before one that only resembles it."""
    match = match_headings(["Order Total", "order.total", "To", "E-Mail"], ["order.total", "to"], {})
    assert match.fields == {1: "order.total", 2: "to"}
    assert match.unmatched == ("Order Total", "E-Mail")


def test_a_field_of_that_name_comes_before_the_recipient() -> None:
    """Where a template has a variable `email`, the column of that name is not the address."""
    match = match_headings(["E-Mail", "Recipient"], ["to", "email"], {})
    assert match.fields == {0: "email", 1: "to"}


def test_overrides_come_first() -> None:
    """An override decides, in any spelling of the heading; an empty field leaves the column out."""
    match = match_headings(
        ["Mail", "E-Mail", "Sum"], ["to", "order.total"], {"e mail": "to", "Sum": "order.total", "Mail": ""}
    )
    assert match.fields == {1: "to", 2: "order.total"}
    assert match.unmatched == match.missing == match.sentences == ()


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (
            {"Nmae": "to"},
            "“Nmae:to” cannot be used: no column has this heading. The headings are “Mail”, “mail ” and “Sum”.",
        ),
        ({"Sum": "totl"}, "there is no field “totl”. The fields are “to” and “order.total”."),
        ({"Mail": "to", "Sum": "to"}, "The field “to” is mapped twice"),
        ({"Sum": "to", "SUM": ""}, "The heading “SUM” is mapped twice"),
        ({"MAIL": "to"}, "2 columns have this heading"),
    ],
)
def test_overrides_that_cannot_hold(overrides: dict[str, str], fault: str) -> None:
    """Each mistake in an override is a sentence."""
    match = match_headings(["Mail", "mail ", "Sum"], ["to", "order.total"], overrides)
    assert len(match.override_faults) == 1
    assert fault in match.override_faults[0]
    assert match.sentences[0] == match.override_faults[0]


def test_missing_fields_are_explained() -> None:
    """A field without a column gets a sentence, with the nearest heading if there is one."""
    match = match_headings(["Order Totel", "Note"], ["order.total", "to"], {})
    assert match.sentences == (
        (
            "No column is called “order.total”. The nearest heading is “Order Totel”: rename it, or map it with"
            " “Order Totel:order.total”."
        ),
        "No column is called “to”: add one, or map a column to it with “heading:to”.",
        "These columns are not used: “Order Totel” and “Note”.",
    )


def test_long_lists_are_cut() -> None:
    """A sentence names at most ten columns."""
    match = match_headings([f"c{number}" for number in range(200)], ["to"], {})
    assert match.sentences[-1].endswith("“c9” and 190 more.")

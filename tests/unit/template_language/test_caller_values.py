"""A caller's value takes precedence over a method of the same name, and is shown in plain words."""

from typing import Any

import pytest

from notifier.rendering.protocol import SourceCheck
from notifier.rendering.source_check import check_source
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.template_language.variable_usage import analyze_variables
from notifier.templating.validation import find_problems

ITEMS = [{"name": "Linen napkin"}, {"name": "Walnut tray"}]
NAMES = [
    "items", "keys", "values", "get", "update", "copy", "pop", "clear", "setdefault", "fromkeys", "index", "count",
    "sort", "append", "title", "upper", "format", "join", "split", "strip", "replace", "real", "imag", "numerator",
    "year",
    "_private", "__class__", "__len__", "first", "length", "date", "range", "loop", "self", "true", "none", "if",
]  # fmt: skip


def source(body: str, values: dict[str, Any], **files: str) -> TemplateSource:
    """Build a template with this HTML and sample."""
    parts = {"subject.txt": "Hi", "body.html": body, **files}
    return TemplateSource(files=parts, sample=values, settings=TemplateSettings(name="A"))


def checked(body: str, **values: Any) -> SourceCheck:
    """The report on a template with this HTML and sample."""
    return check_source(source(body, values))


def render(body: str, **values: Any) -> str:
    """Render a template without faults."""
    report = checked(body, **values)
    assert report.faults == []
    return report.previews["en"].html


def get_error(body: str, **values: Any) -> str:
    """The only fault of a template."""
    (fault,) = checked(body, **values).faults
    return str(fault)


def test_the_items_of_an_order_are_looped_over() -> None:
    """`order.items` is the caller's list, not the method of objects."""
    body = "<ul>{% for line in order.items %}<li>{{ line.name }}</li>{% endfor %}</ul>"
    order = {"number": "FG-20418", "items": ITEMS}
    assert render(body, order=order) == "<ul><li>Linen napkin</li><li>Walnut tray</li></ul>"


READ = (
    "{{{{ o.{0} }}}}",
    "{{{{ o['{0}'] }}}}",
    "{{{{ (os | first).{0} }}}}",
    "{{{{ os[0].{0} }}}}",
    "{{% for p in os %}}{{{{ p.{0} }}}}{{% endfor %}}",
    "{{% set x = o %}}{{{{ x.{0} }}}}",
    "{{% with x = o %}}{{{{ x.{0} }}}}{{% endwith %}}",
    "{{% macro m(x) %}}{{{{ x.{0} }}}}{{% endmacro %}}{{{{ m(o) }}}}",
    "{{% if o.{0} == 'V' %}}{{{{ o.{0} | default('-') }}}}{{% endif %}}",
    "{{{{ os | join(attribute='{0}') }}}}",
    "{{{{ '{{0.{0}}}'.format(o) }}}}",
)
"""Ways to reach a value of an object."""


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_an_object_comes_first(name: str) -> None:
    """A key takes precedence over a method of the same name, however it is read."""
    assert render("|".join(READ).format(name), o={name: "V"}, os=[{name: "V"}]) == "|".join("V" * len(READ))


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("__")])
def test_what_an_object_lacks_is_missing_and_no_function(name: str) -> None:
    """A missing key is undefined, even if there is a method of this name."""
    for body in ("{{ o.NAME }}", "{% if o.NAME == 1 %}x{% endif %}", "{{ [o.NAME] }}", "{{ o['NAME'] }}"):
        assert f"“o” has no “{name}”" in get_error(body.replace("NAME", name), o={"a": 1})
    assert render("{{ o.NAME is defined }}{{ o.NAME | default('-') }}".replace("NAME", name), o={"a": 1}) == "false-"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{{ name.upper }}", "“name” is text, and has no “upper”. To show it in another way write {{ name | upper }}."),
        ("{{ name.strip }}", "“name” is text, and has no “strip”. A function needs brackets: name.strip()."),
        ("{{ o.items }}", "“o” has no “items”. Add it to the sample, or write o.items() for what is in the object."),
        ("{{ people.append }}", "“people” is a list, and has no “append”."),
        ("{{ people.append(1) }}", "“append” is not available in templates."),
        ("{{ n.real }}", "“n” is a number, and has no “real”."),
        ("{{ none.x }}", "“none” is nothing (null), and has no “x”."),
        ("{{ null.x.y }}", "“null” is nothing (null), and has no “x”."),
        ("{{ people[7] }}", "the list is shorter."),
        ("{{ people.7 }}", "the list is shorter."),
        ("{{ o.nope.deeper }}", "“o” has no “nope”."),
        ("{{ range }}", "this is a macro, a block or a function, and no value."),
        ("{% macro m() %}{% endmacro %}{{ m }}", "this is a macro, a block or a function, and no value."),
        ("{% for x in people %}{{ loop }}{% endfor %}", "“loop” cannot be shown."),
        ("{% for x in people %}{{ loop.cycle }}{% endfor %}", "this is a macro, a block or a function, and no value."),
        ("{% block b %}{{ super }}{% endblock %}", "“super()” has nothing to show: no layout has a block “b”."),
        ("{{ o.city() }}", "“o.city” is text, not a macro, and takes no brackets."),
        ("{{ name.gone() }}", "“name” is text, and has no “gone”."),
    ],
)
def test_a_function_is_never_a_value(body: str, message: str) -> None:
    """A method without brackets can be neither shown nor compared; the message says what to write."""
    values = {"name": "Ada", "n": 3, "people": ["Ada"], "o": {"city": "Kiel"}, "null": None}
    assert message in get_error(body, **values)


def test_functions_of_values_are_called_as_before() -> None:
    """A method call with brackets works, even if there is a key of this name."""
    o = {"items": "x", "get": "y"}
    assert render("{% for k, v in o.items() %}{{ k }}={{ v }};{% endfor %}", o=o) == "items=x;get=y;"
    assert render("{{ o.get('items') }}{{ o.get('z', '-') }}{{ o.keys() | list | length }}", o=o) == "x-2"
    assert render("{{ name.upper() }}{{ name.split('d')[0] }}", name="Ada") == "ADAA"


def test_a_variable_may_be_called_as_a_function_is() -> None:
    """A caller may send a variable named `range`, and then it is required."""
    values: dict[str, Any] = {"range": "1 to 5", "image": "a.png", "count": 1, "date": "d"}
    body = "{{ range }} {{ image }} {{ count }} {{ date }}"
    assert render(body, **values) == "1 to 5 a.png 1 d"
    assert analyze_variables(source(body, values)).schema["required"] == sorted(values)


@pytest.mark.parametrize(
    "name", ["self", "loop", "true", "none", "None", "super", "caller", "varargs", "kwargs", "not"]
)
def test_a_variable_that_templates_could_not_read_is_refused(name: str) -> None:
    """A variable named like a keyword of the language is refused with a message."""
    (problem,) = find_problems(source("x", {name: 1}))
    assert problem.message.startswith(f"{name} is a reserved word of templates")


def test_what_a_dot_reads_is_what_a_caller_has_to_send() -> None:
    """In the schema `order.items` is a required variable with its type."""
    order = {"number": "1", "items": ITEMS}
    known = analyze_variables(
        source("{% for line in order.items %}{{ line.name }}{% endfor %}{{ order.number }}", {"order": order})
    )
    schema = known.schema["properties"]["order"]
    assert schema["required"] == ["items", "number"]
    assert schema["properties"]["items"]["items"]["required"] == ["name"]
    assert (known.undefined, known.unused) == ([], [])
    lacking = analyze_variables(source("{{ order.items }}", {"order": {"number": "1"}}))
    assert [read.path for read in lacking.undefined] == [("order", "items")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, ""),
        (["Ada", "Bob"], "Ada, Bob"),
        ([], ""),
        ([[1, 2], [None, True]], "1, 2, , true"),
        ({"city": "Kiel", "zip": 24103}, "city: Kiel, zip: 24103"),
        (1e20, "100000000000000000000"),
        (0.1 + 0.2, "0.3"),
        (1e-7, "0.0000001"),
        (-0.0, "0"),
        (2.0, "2"),
        (12.50, "12.5"),
        (123456789.125, "123456789.125"),
    ],
)
def test_a_value_is_shown_in_plain_words(value: Any, text: str) -> None:
    """In text, attributes, subject and text part, alone, after ~, from a macro and in a loop."""
    bodies = (
        "{{ x }}",
        "{{ '' ~ x }}",
        "{{ x | default('-') }}",
        "{% macro m(y) %}{{ y }}{% endmacro %}{{ m(x) }}",
        "{% for y in [x] %}{{ y }}{% endfor %}",
        "{% set y %}{{ x }}{% endset %}{{ y }}",
        "{{ [x] | join }}",
        "{{ x | e }}",
        "{{ '{}'.format(x) if x is not number else x }}",
    )
    assert render("|".join(bodies), x=value) == "|".join([text] * len(bodies))
    assert render('<b title="{{ x }}">', x=value) == f'<b title="{text}">'
    report = check_source(source("-", {"x": value}, **{"subject.txt": "[{{ x }}]", "body.txt": "[{{ x }}]"}))
    assert (report.previews["en"].subject, report.previews["en"].text) == (f"[{text}]", f"[{text}]")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{{ paid }}", "“paid” is true or false."),
        ('<b title="{{ paid }}">', "“paid” is true or false."),
        ("{{ note }}", "“note” is nothing (null)."),
        ("{{ note | default('-') }}", "“note” is nothing (null)."),
        ("{{ people }}", "“people” is a list."),
        ("{{ people ~ '!' }}", "“people” is a list."),
        ("{{ address }}", "“address” is an object."),
        ("{{ rows[0].ok }}", "“rows[0].ok” is true or false."),
        ("{% for row in rows %}{{ row.ok }}{% endfor %}", "“row.ok” is true or false."),
        ("{{ people | sort }}", "What is shown here is a list."),
        ("{{ people | length > 1 }}", "What is shown here is true or false."),
        ("{% macro m(label) %}{{ label }}{% endmacro %}{{ m(paid) }}", "“label” is true or false."),
    ],
)
def test_the_check_remarks_on_a_value_that_is_shown_as_it_is(body: str, message: str) -> None:
    """A raw true, false or list is a remark with line and advice, and no error."""
    values = {"paid": True, "note": None, "people": ["Ada"], "address": {"city": "Kiel"}, "rows": [{"ok": False}]}
    remarks = [remark for remark in checked(f"\n{body}", **values).remarks if remark.code == "raw_value"]
    assert [(finding.file, finding.line, finding.message, finding.severity.value) for finding in remarks] == [
        ("body.html", 2, message, "warning")
    ]
    assert "{% if paid %}" in remarks[0].advice


def test_the_check_remarks_in_subject_and_text_too() -> None:
    """Subject and text part get the same remarks, once for each place."""
    parts = {"subject.txt": "{{ paid }}", "body.txt": "x\n{{ paid }}"}
    remarks = check_source(source("{{ paid }}{{ paid }}", {"paid": True}, **parts)).remarks
    places = [(remark.file, remark.line) for remark in remarks if remark.code == "raw_value"]
    assert places == [("body.html", 1), ("body.txt", 2), ("subject.txt", 1)]


def test_texts_numbers_and_what_is_asked_for_are_not_remarked_upon() -> None:
    """Texts, numbers and conditions get no remark."""
    body = "{% if paid %}Paid{% endif %}{% if note %}{{ note }}{% endif %}"
    body += "{{ people | join(', ') }}{{ address.city }}{{ total }}"
    values = {"paid": True, "note": None, "people": ["Ada"], "address": {"city": "Kiel"}, "total": 2.5}
    assert "raw_value" not in [remark.code for remark in checked(body, **values).remarks]

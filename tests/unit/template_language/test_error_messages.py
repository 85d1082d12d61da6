"""Any template with any value shows text, or gets a message in plain words."""

import re
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import pytest

from notifier.template_language import sandbox
from notifier.template_language.error_description import describe_error
from notifier.template_language.sandbox import create_environment, render_limited
from notifier.template_language.template_source import FaultCode, TemplateSettings, TemplateSource
from notifier.template_language.template_values import VALUE_METHODS

VALUES: dict[str, Any] = {
    "text": "Ada",
    "digits": "12.5",
    "half": "a\ud800b",
    "whole": 3,
    "huge": 10**60,
    "zero": 0,
    "fraction": 2.5,
    "tiny": 5e-324,
    "yes": True,
    "null": None,
    "list": [3, 1, 2],
    "mixed": [1, "a", None, True, [2], {"b": 3}],
    "lists": [[1], [2]],
    "nothing": [],
    "object": {"items": [1], "city": "Kiel", "1": 2},
    "objects": [{"name": "b"}, {"name": "a"}],
}
ARGUMENTS = (
    "",
    "(none)",
    "(0)",
    "(-5)",
    "(1.5)",
    "(text)",
    "(list)",
    "(object)",
    "(1, 2, 3, 4, 5, 6, 7)",
    "(attribute='name')",
    "(attribute=5)",
    "(colour='red')",
    "(zone='CEST')",
    "(zone=5)",
    "('EUR')",
    "('QQQ', 'ZZZ')",
    "('HH:mm')",
    "('%s %d {0.x}')",
    "(*whole)",
    "(**list)",
)
RAW = re.compile(
    r"NoneType|0x[0-9a-f]{4}|built-?in|bound method|'(?:str|int|float|list|dict|bool|tuple)'|\b(?:int|str|float)\(\)"
    r"|\b(?:str|dict|bool|tuple|NaN|Decimal)\b|positional|\w object at|' object|__\w|Traceback|\w+Error\b|unhashable"
    r"|iterable|\bNone\b|\bTrue\b|\bFalse\b|\bslice\b|jinja|codec|<\w+ object|do_\w+|show_\w+|\['|\{'|literal for",
)
SHOWN_RAW = re.compile(r"\bNone\b|\bTrue\b|\bFalse\b|<[a-z]\w* |built-in|0x[0-9a-f]{4}|\['|\{'|dict_|Markup\(|range\(")
LARGE_LETTERS = re.compile(r"title|capitalize")
"""What makes True of true, as it is asked to."""
OPERATORS = ("+", "-", "/", "//", "~", "<", ">=", "==", "!=", "in", "not in", "and", "or")


FILES: dict[str, str] = {}
ENVIRONMENT = create_environment(FILES, autoescape=False)
SETTINGS = TemplateSettings(name="A")


def fault_in(error: BaseException, name: str) -> str:
    """The message of an error, which has advice, and a line unless there is none to name."""
    fault = describe_error(error, name, TemplateSource(files={name: FILES[name]}, sample=VALUES, settings=SETTINGS))
    is_placed = fault.line is not None or fault.code is FaultCode.TOO_LARGE
    assert is_placed or isinstance(error, (SyntaxError, ValueError)), (FILES[name], fault)
    assert fault.advice, (FILES[name], fault)
    return f"{fault.message} {fault.advice}"


def outcomes(text: str, values: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The rendered text for each value, or the message if it fails."""
    name = f"{len(FILES)}.txt"
    FILES[name] = text
    try:
        template = ENVIRONMENT.get_template(name)
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to be told
        yield "", fault_in(error, name)
        return
    for chosen in values:
        try:
            yield render_limited(template, {**VALUES, **chosen}), ""
        except Exception as error:  # noqa: BLE001 - the same
            yield "", fault_in(error, name)


def assert_plain(text: str, values: Iterable[dict[str, Any]] = ({},)) -> None:
    """Assert that text and messages contain no words of Python."""
    for output, message in outcomes(text, values):
        assert not SHOWN_RAW.search(output) or LARGE_LETTERS.search(text), (text, output)
        quoted = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|“.*?”", "", message)
        assert not RAW.search(quoted), (text, message)


EACH = [{"x": value} for value in VALUES.values()]


@pytest.mark.parametrize("name", sorted(sandbox.TEMPLATE_FILTERS))
def test_a_filter_shows_text_or_says_what_it_wants(name: str) -> None:
    """Every filter with odd values and odd arguments."""
    for arguments in ARGUMENTS:
        assert_plain(f"{{{{ x | {name}{arguments} }}}}", EACH)


@pytest.mark.parametrize(
    "name", sorted(name for name in create_environment({}, autoescape=False).tests if name.isalpha())
)
def test_a_test_answers_or_says_what_it_wants(name: str) -> None:
    """Every `is …` test with odd values and odd arguments."""
    for arguments in ARGUMENTS:
        assert_plain(f"{{{{ x is {name}{arguments} }}}}", EACH)


METHOD_NAMES = sorted(
    {name for names in VALUE_METHODS.values() for name in names} | {"append", "real", "encode", "gone"}
)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_function_of_a_value_shows_text_or_says_what_it_wants(name: str) -> None:
    """Every method of text, lists and objects, with odd arguments and without brackets."""
    for arguments in ("()", "(none)", "(5)", "(list)", "(1, 2, 3, 4)", "(colour=1)", "('%s {0.x}')"):
        assert_plain(f"{{{{ x.{name}{arguments} }}}}", EACH)
    assert_plain(f"{{{{ x.{name} }}}}", EACH)
    assert_plain(f"{{{{ x[{name!r}] }}}}{{% if x.{name} == 1 %}}{{% endif %}}", EACH)


@pytest.mark.parametrize("call", ["range", "loop.cycle", "loop.changed", "loop", "m", "caller", "super", "self.b", "x"])
def test_a_function_by_its_name_shows_text_or_says_what_it_wants(call: str) -> None:
    """Calls of `range`, loop functions, macros, blocks and unknown names."""
    for arguments in ARGUMENTS:
        show = f"{{{{ {call}{arguments} }}}}"
        for text in (
            show,
            f"{{% macro m(a) %}}x{{% endmacro %}}{{% for i in list %}}{show}{{% endfor %}}",
            f"{{% block b %}}{show}{{% endblock %}}",
        ):
            assert_plain(text, [{"x": "a"}])


def pairs() -> Iterator[tuple[Any, Any]]:
    """Pairs of values of different kinds and of the same kind."""
    chosen = ("text", "whole", "tiny", "yes", "null", "list", "object", "zero")
    return product([VALUES[name] for name in chosen], repeat=2)


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_shows_text_or_says_what_it_wants(operator: str) -> None:
    """Every operator with every pair of kinds."""
    assert_plain(f"{{{{ x {operator} y }}}}", ({"x": left, "y": right} for left, right in pairs()))


@pytest.mark.parametrize(
    "text",
    [
        "{{ -x }}",
        "{{ +x }}",
        "{{ x[0] }}{{ x[99] }}",
        "{{ x[y] }}",
        "{{ x[:2] }}",
        "{{ x[y:] }}",
        "{{ x[::0] }}",
        "{{ x.a.b }}",
        "{% for i in x %}{{ i }}{% endfor %}",
        "{% for a, b in x %}{{ a }}{% endfor %}",
        "{% for a in range(x) %}{{ a }}{% endfor %}",
        "{% set a, b = x %}{{ a }}",
        "{{ {x: 1} }}",
        "{{ [x, [x]] }}",
        "{% set x.y = 1 %}",
        "{% include x %}",
        "{% extends x %}",
        "{% import x as y %}",
        "{{ x() }}",
        "{{ '%s' | replace('%s', x) }}",
        "{{ x ~ y }}",
        "{{ x if x }}",
        "{{ [x] | sort }}{{ [x, 1, 'a'] | sort }}",
        "{{ [x, 1] | sum }}",
        "{{ x | first | upper }}",
        "{% with a = x %}{{ a.items }}{% endwith %}",
        "{% call x() %}{% endcall %}",
    ],
)
def test_an_expression_shows_text_or_says_what_it_wants(text: str) -> None:
    """Reading, looping, unpacking, including and calling, with values of every kind."""
    assert_plain(text, ({"x": value, "y": other} for value, other in product(VALUES.values(), ("a", 0, None, [1]))))


@pytest.mark.parametrize(
    "text",
    [
        "{% %}",
        "{% 5 %}",
        "{% if %}",
        "{% block a-b %}{% endblock %}",
        "{% block a required %}x{% endblock %}",
        "{% block 5 %}{% endblock %}",
        "{% from 'a' import _x %}",
        "{% from 'a' %}",
        "{% macro m(a=1, b) %}{% endmacro %}",
        "{% macro m(caller) %}{{ caller() }}{% endmacro %}",
        "{% call 5 %}{% endcall %}",
        "{% set 5 = 1 %}",
        "{% set none = 1 %}",
        "{% for loop in list %}{% endfor %}",
        "{{ 1 is odd is even }}",
        "{{ text. }}",
        "{{ text[] }}",
        "{{ '\\x' }}",
        "{{ '\\u12' }}",
        "{{ '\\N{no such}' }}",
        "{{ 'a }}",
        "{{ (1 }}",
        "{{ 1) }}",
        "{{ 1 ] }}",
        "{{ text | }}",
        "{{ text | 5 }}",
        "{{ text ! }}",
        "{{ 5text }}",
        "{{ 1__0 }}",
        "{{ f(a=1, a=2) }}",
        "{{ f(a=1, 2) }}",
        "{{ f(**list, 5) }}",
        "{{ range(class=1) }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ " + "(" * 300 + "1" + ")" * 300 + " }}",
        "{% extends 'a' %}{% extends 'b' %}",
        "{% for a in list %}{% extends 'a' %}{% endfor %}",
        "{% for a in list %}" * 25 + "{% endfor %}" * 25,
        "{% trans %}{% endtrans %}",
        "{% do 1 %}",
        "{% break %}",
        "{% include 'a' ignore %}",
        "{% autoescape false %}{% endautoescape %}",
    ],
)
def test_what_cannot_be_read_is_told_in_plain_words(text: str) -> None:
    """Syntax errors are reported with line and advice."""
    assert_plain(text)


def test_a_zone_that_does_not_exist_is_told_by_what_is_wanted() -> None:
    """An unknown time zone has a message like that of other filters."""
    zones = ("CEST", "Mars/Base", "Europe", "../etc/passwd", "Europe/Paris ", "a\x00b", "a" * 999)
    text = '{{ "2026-12-24T08:00:00Z" | time(zone=z) }}'
    for _, message in outcomes(text, ({"z": zone} for zone in zones)):
        assert message == '“time” cannot take this text. It wants a time zone by its name, such as zone="Europe/Paris".'


def test_no_value_is_told() -> None:
    """No message contains a value that was used as a name or given to a filter."""
    for text in ("{{ object[secret] }}", "{{ [1][secret] }}", "{{ secret | round }}", "{{ secret.index('x') }}"):
        assert all("Tuesday" not in message for _, message in outcomes(text, [{"secret": "Tuesday"}]))


def test_what_a_filter_gives_can_be_read_twice() -> None:
    """Results of list filters are lists: they can be counted, looped over and shown."""
    text = (
        "{% set a = list | reverse %}{{ a | length }}{{ a }}|{{ [1, 1, 2] | unique | length }}"
        "|{{ text | reverse }}|{{ object | reverse }}|{{ range(3) | reverse }}"
    )
    assert [*outcomes(text, [{}])] == [("32, 1, 3|2|adA|1, city, items|2, 1, 0", "")]

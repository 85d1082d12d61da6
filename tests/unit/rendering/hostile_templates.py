"""Templates and values that try to reach Python or files, inject markup, or exhaust memory or time.

Those of the known rows are in the sandbox's own tests; these are others, found by thinking like somebody who may edit
templates, or who may only send values.
"""

from dataclasses import dataclass
from typing import Any

BOMB = "{% for a in range(99999) %}"
STUBBORN = "{% set a, b = [1], [1] %}" + "{% set a, b = [a, a], [b, b] %}" * 40 + "{{ a == b }}"
"""Native code for days, in one step of the interpreter: no signal is heard before it ends."""


@dataclass(frozen=True)
class Hostile:
    """A hostile template."""

    name: str
    html: str
    layout: str = "<p>{% block b %}{% endblock %}</p>"


REFUSED = [
    # what only an attacker would write: refused when it is checked, with the code for it
    Hostile("class of a list", "{{ [].__class__.__base__.__subclasses__() }}"),
    Hostile("class by subscript", "{{ {}['__class__']['__mro__'] }}"),
    Hostile("class by a built name", "{{ x['__cla' ~ 'ss__'] }}"),
    Hostile("class through a slice", "{{ x[:1]['__class__'] }}"),
    Hostile("class through sort", "{{ [1, 2] | sort(attribute='__class__.__name__') | list }}"),
    Hostile("class through sum", "{{ [1] | sum(attribute='__class__') }}"),
    Hostile("class through join", "{{ [1] | join(attribute='__class__') }}"),
    Hostile("class through unique", "{{ ['a'] | unique(attribute='__class__') | list }}"),
    Hostile("class through format_map", "{{ '{a.__init__.__globals__}'.format_map({'a': range}) }}"),
    Hostile("class through nested format", "{{ '{0[0].__class__}'.format([1]) }}"),
    Hostile("globals of range", "{{ range.__init__.__globals__ }}"),
    Hostile("globals of a macro", "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}"),
    Hostile("environment of a macro", "{% macro m() %}{% endmacro %}{{ m._environment }}"),
    Hostile("caller's function", "{% macro m() %}{{ caller._func }}{% endmacro %}{% call m() %}{% endcall %}"),
    Hostile("context of self", "{{ self._TemplateReference__context }}"),
    Hostile("stack of a block", "{% block b %}{{ super.__call__.__globals__ }}{% endblock %}"),
    Hostile("loop's inside", "{% for a in [1] %}{{ loop._iterator.gi_frame }}{% endfor %}"),
    Hostile("loop's undefined", "{% for a in [1] %}{{ loop._undefined.__init__ }}{% endfor %}"),
    Hostile("module's dictionary", "{% import '_layouts/base.html' as ui %}{{ ui.__dict__ }}"),
    Hostile("module's body", "{% import '_layouts/base.html' as ui %}{{ ui._body_stream }}"),
    Hostile("undefined's inside", "{{ (nothing | default(x)).__class__ }}"),
    Hostile("list is changed", "{{ items.append('x') }}"),
    Hostile("list is emptied", "{% set _ = items.clear() %}"),
    Hostile("list is turned", "{% for i in items %}{{ items.insert(0, i) }}{% endfor %}"),
    Hostile("object is changed", "{{ order.update({'total': 0}) }}"),
    Hostile("object is taken from", "{{ order.popitem() }}"),
    Hostile("object gets a default", "{{ order.setdefault('x', []) }}"),
    Hostile("power", "{{ 9 ** 9 ** 9 ** 9 }}"),
    Hostile("multiplied text", "{% set a = 'a' * 2147483647 %}{{ a }}"),
    Hostile("multiplied list", "{{ [0] * 999999999 }}"),
    Hostile("wide format", "{{ '%999999999s' % x }}"),
    Hostile("escaping switched off", "{% autoescape false %}{{ x }}{% endautoescape %}"),
    Hostile("escaping switched off by a value", "{% autoescape order.off %}{{ x }}{% endautoescape %}"),
    Hostile("safe", "{{ x | safe }}"),
    Hostile("safe in a branch", "{% if x == 'never' %}{{ x | safe }}{% endif %}"),
    Hostile("safe in a filter block", "{% filter safe %}{{ x }}{% endfilter %}"),
    Hostile("safe in a set block", "{% set y | safe %}{{ x }}{% endset %}{{ y }}"),
    Hostile("xmlattr", "<a{{ {'onclick': x} | xmlattr }}>"),
    Hostile("attr", "{{ x | attr('__class__') }}"),
    Hostile("map of attributes", "{{ items | map(attribute='__class__') | list }}"),
    Hostile("tojson", "<script>var a = {{ x | tojson }}</script>"),
    Hostile("pprint", "{{ range | pprint }}"),
    Hostile("a value is a tag", "<{{ x }}>"),
    Hostile("a value is an attribute", "<a {{ x }}>"),
    Hostile("a value is an attribute's name", "<a {{ x }}='y'>"),
    Hostile("a value is code", "<script>var a = '{{ x }}'</script>"),
    Hostile("a value is a handler", "<a onclick=\"go('{{ x }}')\">"),
    Hostile("a value is a document", '<iframe srcdoc="{{ x }}"></iframe>'),
    Hostile("a link runs code", '<a href="javascript:{{ x }}">'),
    Hostile("a hidden link runs code", '<a href=" jav&#x09;ascript&colon;{{ x }}">'),
    Hostile("a block in a link", '<a href="{% block link %}{{ x }}{% endblock %}">'),
    Hostile("escaped is translated back", "{{ (x | e).translate({38: '<'}) }}"),
    Hostile("escaped is replaced back", "{% set lt %}<{% endset %}{{ (x | e).replace('&lt;', lt) }}"),
    Hostile("escaped is joined", "{% set lt %}<{% endset %}{{ lt.join(x) }}"),
]

FAULTY = [
    # what fails like a mistake: it is a fault as well, and gives nothing away
    Hostile("class through a bound format", "{% set f = '{0.__class__}'.format %}{{ f(x) }}"),
    Hostile("frame of a generator", "{{ ([1] | unique).gi_frame.f_globals }}"),
    Hostile("code of a generator", "{{ ([1] | unique).gi_code.co_consts }}"),
    Hostile("a file of the system", "{% include '/etc/passwd' %}"),
    Hostile("a file above", "{% include '../../../../etc/passwd' %}"),
    Hostile("a file by a value", "{% include x %}"),
    Hostile("the engine's package", "{% import 'jinja2' as j %}{{ j }}"),
    Hostile("the settings", "{% include 'template.toml' %}"),
    Hostile("cycler's globals", "{{ cycler.__init__.__globals__.os.environ }}"),
    Hostile("lipsum's globals", "{{ lipsum.__globals__['os'].popen('id').read() }}"),
    Hostile("namespace", "{% set n = namespace(a=1) %}{{ n.__class__ }}"),
    Hostile("config", "{{ config.items() }}"),
    Hostile("builtins", "{{ __builtins__.open('/etc/passwd').read() }}"),
    Hostile("import function", "{{ __import__('os').environ }}"),
    Hostile("do", "{% do items.append(1) %}"),
    Hostile("debug", "{% debug %}"),
    Hostile("escaped is replaced by the filter", "{% set lt %}<{% endset %}{{ (x | e) | replace('&lt;', lt) }}"),
    Hostile("a zone is a file", "{{ '2026-03-09T10:00:00Z' | date(zone='../../../etc/passwd') }}"),
    Hostile("a pattern is a bomb", "{{ '2026-03-09' | date('y' ~ x.ljust(1000000)) }}"),
    Hostile("a number is a bomb", "{{ 1e308 | number }}"),
    Hostile("digits are a bomb", "{{ 1 | number(999999999) }}"),
    Hostile("a layout of itself", "{% extends '_layouts/base.html' %}", "{% extends '_layouts/base.html' %}"),
    Hostile("a file that includes itself", "{% include '_layouts/base.html' %}", "{% include '_layouts/base.html' %}"),
    Hostile("a macro of itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
    Hostile("brackets without end", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}"),
    Hostile("lists without end", "{{ " + "[" * 3000 + "]" * 3000 + " }}"),
    Hostile("not without end", "{{ " + "not " * 20000 + "x }}"),
    Hostile("branches without end", "{% if x %}" * 500 + "{% endif %}" * 500),
    Hostile("megabytes of blanks", "{{ 'a'.center(9999999) }}"),
    Hostile("megabytes from a loop", BOMB + "0123456789abcdef{% endfor %}"),
    Hostile("gigabytes of format", "{{ '{:>9999999999}'.format(1) }}"),
]

ENDLESS = [
    # what uses up its time: it is stopped where it is, or the child is killed, and another goes on
    Hostile("loops in loops", BOMB * 4 + "{% endfor %}" * 4),
    Hostile("a recursive loop", "{% for a in [[1]] recursive %}" + BOMB + BOMB + "{% endfor %}" * 3),
    Hostile(
        "macros in macros", "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}"
    ),
    Hostile("a sum in a loop", BOMB + "{% set s = range(99999) | sum %}{% endfor %}"),
    Hostile("nested lists are compared", STUBBORN),
]

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"

VALUES: dict[str, Any] = {
    # what a caller might send to a template that does nothing wrong
    "a script": MARKUP,
    "out of double quotes": '"><script>alert(1)</script>',
    "out of single quotes": "'><script>alert(1)</script>",
    "out of a value without quotes": "x onmouseover=alert(1) y=",
    "out of a value by a tab": "x\tonmouseover=alert(1)",
    "out of a value by a slash": "x/onmouseover=alert(1)",
    "out of a value by a backquote": "`onmouseover=alert(1)",
    "out of a comment": "--><script>alert(1)</script><!--",
    "out of a comment by a bang": "--!><script>alert(1)</script>",
    "out of a conditional comment": "<![endif]--><script>alert(1)</script>",
    "out of a title": "</title><script>alert(1)</script>",
    "out of a style": "</style><script>alert(1)</script>",
    "another style": "red;background:url(https://evil.example/)",
    "a style that runs": "expression(alert(1))",
    "an old style that runs": "\\65xpression(alert(1))",
    "a style that ends": "red}body{display:none",
    "a script link": "javascript:alert(1)",
    "a script link in capitals": "JaVaScRiPt:alert(1)",
    "a script link behind blanks": " \n\t javascript:alert(1)",
    "a script link behind a control": "\x01javascript:alert(1)",
    "a script link with a tab": "java\tscript:alert(1)",
    "a script link with a line end": "java\nscript:alert(1)",
    "a script link with entities": "&#106;avascript&colon;alert(1)",
    "a visual basic link": "vbscript:msgbox(1)",
    "a document in a link": "data:text/html,<script>alert(1)</script>",
    "a file link": "file:///etc/passwd",
    "a link that hides in a view": "view-source:javascript:alert(1)",
    "a template": "{{ ''.__class__ }}{% include '/etc/passwd' %}",
    "a format": "{0.__class__} %s %(x)s ${x}",
    "entities": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "markup in an object": {"<b>": MARKUP},
    "markup in a list": [MARKUP, [MARKUP]],
    "an object that says it is safe": {"__html__": MARKUP, "__class__": "x"},
    "directions": "\u202e<script>\u2066",
    "wide brackets": "\uff1cscript\uff1ealert(1)",
    "a very large number": 10**300,
    "a very small number": 5e-324,
    "nothing": None,
    "a great many": "<" * 5_000,
    "deep": [[[[[[[[[[MARKUP]]]]]]]]]],
}

"""The Jinja environments: sandboxed, strict about undefined names, with the filters that mail needs and no others.

HTML is escaped; subject and text are not. Operators that can turn a few characters into gigabytes are refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import islice
from typing import Any, Final

from jinja2 import BaseLoader, Environment, StrictUndefined, Template, TemplateNotFound, nodes
from jinja2.compiler import CodeGenerator
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, TemplateReference, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from notifier.mail.size_limit import MAX_OUTPUT, OutputTooLargeError, join_within_limit
from notifier.template_language import filters
from notifier.template_language.alignment_filters import align_left, align_right
from notifier.template_language.code_generator import MailCodeGenerator
from notifier.template_language.context_filters import CONTEXT_FILTERS, show_safe_url
from notifier.template_language.contextual_escaping import guard_values, refuse_unknown
from notifier.template_language.guarded_calls import build_range, guard_filters, guard_tests
from notifier.template_language.link_address import LINK_SCHEMES, list_link_schemes
from notifier.template_language.time_limit import TIME_LIMIT
from notifier.template_language.value_methods import VALUE_METHODS, bind_method, get_item, is_private
from notifier.template_language.value_text import NotShowableError, RawValue, format_value, get_raw_kind

LIBRARY_FILTERS: Final = frozenset(
    {
        "abs", "capitalize", "default", "d", "e", "escape", "first", "float", "int", "join", "last", "length", "count",
        "list", "lower", "reverse", "round", "sort", "sum", "title", "trim", "truncate", "unique", "upper",
        "urlencode", "wordwrap",
    }
)  # fmt: skip
OWN_FILTERS: Final = {"left": align_left, "right": align_right, "safe_url": show_safe_url}
TEMPLATE_FILTERS: Final = LIBRARY_FILTERS | filters.MAIL_FILTERS.keys() | OWN_FILTERS.keys()
"""What templates may use; their authors are told of these."""
MARKUP_METHODS_REFUSED: Final = frozenset({"replace", "translate", "join"})
"""Of text that is escaped already: what they make of it counts as escaped, whatever it is."""
TESTS_REFUSED: Final = frozenset({"filter", "test"})
_GIVEN: Final = (LoopContext, Macro, TemplateReference, BlockReference, TemplateModule, Undefined)
"""What Jinja itself gives to templates; the sandbox knows which of its attributes are private."""
RawValues = dict[RawValue, None]
PIECES_PER_JOIN = 128
"""Pieces that are joined before their length is looked at; most parts have no more than two or three such runs."""


class FileLoader(BaseLoader):
    """The version's files, which also name the places in a traceback."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def list_templates(self) -> list[str]:
        """The files' names."""
        return [*self._files]

    def get_source(
        self,
        environment: Environment,  # noqa: ARG002 - the library's own signature
        template: str,
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        """The text, with its name; a version never changes."""
        if template not in self._files:
            raise TemplateNotFound(template)
        return self._files[template], template, None


class MailEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as far as mail needs it."""

    intercepted_binops = frozenset({"**", "*", "%"})
    code_generator_class: type[CodeGenerator] = MailCodeGenerator
    concat = staticmethod(join_within_limit)
    locale = "en"  # of the mail; macros have no variables, and filters ask here
    strict = True  # a value that cannot stand where it is shown is an error; False: it is defused
    link_schemes: tuple[str, ...] = LINK_SCHEMES
    raw_values: RawValues | None = None  # what is shown as it is, in order; None: nobody asks

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """A template's globals as a dict: the library's chain of two is iterated over in Python at every render.

        What the chain is for, seeing later changes of the environment's, is not needed: they are set once.
        """
        return {**self.globals, **(d or {})}

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,  # noqa: FBT001, FBT002 - the library's own signature
    ) -> str:
        """The Python code of a template, with what is not allowed refused and acting values guarded."""
        refuse_unknown(source, self, name)
        if self.autoescape:
            guard_values(source, self, name)
        return super()._generate(source, name, filename, defer_init)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Neither what reaches behind values, nor a way to turn what was escaped into markup."""
        if isinstance(obj, Markup) and attr in MARKUP_METHODS_REFUSED:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
        """Refuse the intercepted operators; none of them is needed to write a mail."""
        raise SecurityError(f"the operator {operator} is not available in templates")

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Read `obj.attribute`: a value of an object, or what Jinja gives, such as `loop.index`; never a function."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if type(obj) is TemplateModule and attribute in vars(obj) and not attribute.startswith("_"):
            return vars(obj)[attribute]
        if isinstance(obj, _GIVEN):
            return super().getattr(obj, attribute)
        return self._missing(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Read `obj[argument]`: a value of an object, an item of a list, or a part of a text."""
        found = get_item(obj, argument)
        if found is not None:
            return found[0]
        if isinstance(obj, Undefined) or isinstance(argument, Undefined):
            return str(argument if isinstance(argument, Undefined) else obj)  # raises
        if isinstance(argument, str) and not isinstance(obj, dict):
            return self.getattr(obj, argument)
        return self._missing(obj, argument)

    def method(self, obj: Any, name: str) -> Any:
        """What `obj.name(…)` calls: a macro, or one of the few functions of text, lists and objects."""
        if type(obj) is TemplateModule:
            return self.getattr(obj, name)
        if name in VALUE_METHODS.get(type(obj), ()):
            is_safe = self.is_safe_attribute(obj, name, getattr(obj, name))
            return bind_method(self, obj, name) if is_safe else self.unsafe_undefined(obj, name)
        if isinstance(obj, _GIVEN) or (isinstance(obj, dict) and name in obj):
            return self.getattr(obj, name)
        return self.unsafe_undefined(obj, name) if hasattr(obj, name) else self._missing(obj, name)

    def _missing(self, obj: Any, name: Any) -> Undefined:
        """What stands for a value that is not there; names of Python's own are refused by another word."""
        is_refused = isinstance(name, str) and is_private(obj, name)
        return self.unsafe_undefined(obj, name) if is_refused else self.undefined(obj=obj, name=name)

    def show(self, value: Any, file: str, line: int, expression: str) -> str:
        """The text of a value that is shown there. Raises `NotShowableError`."""
        if self.raw_values is not None and (kind := get_raw_kind(value)):
            self.raw_values[RawValue(file, line, expression, kind)] = None
        try:
            return format_value(value)
        except NotShowableError as error:
            error.name = expression
            raise

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro or `range` without asking whether that is safe: the two are, and nearly every call is to one."""
        if type(obj) is not Macro and obj is not build_range:
            return super().call(context, obj, *args, **kwargs)
        kwargs.pop("_block_vars", None)  # the compiler passes these to all; only functions with a context read them
        kwargs.pop("_loop_vars", None)
        return obj(context.eval_ctx, *args, **kwargs) if type(obj) is Macro else obj(*args, **kwargs)


def create_environment(
    files: Mapping[str, str],
    *,
    autoescape: bool,
    locale: str = "en",
    strict: bool = True,
    link_schemes: Iterable[str] = (),
) -> MailEnvironment:
    """An environment over a version's files; with `autoescape` for HTML, without for subject and text.

    The locale is that of the mails; without `strict`, a value that cannot stand where it is shown is defused.
    `link_schemes`: those that links may have besides the usual ones.
    """
    env = MailEnvironment(
        loader=FileLoader(files),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=False,
        optimized=False,
        cache_size=-1,
    )
    env.locale, env.strict, env.link_schemes = locale, strict, list_link_schemes(link_schemes)
    env.globals = {"range": build_range}
    library = {name: function for name, function in env.filters.items() if name in LIBRARY_FILTERS}
    env.filters = guard_filters(library | filters.MAIL_FILTERS | OWN_FILTERS | CONTEXT_FILTERS)
    tests: dict[str, Any] = {name: test for name, test in env.tests.items() if name not in TESTS_REFUSED}
    env.tests = dict[str, Any](guard_tests(tests))
    return env


def render_limited(template: Template, variables: Mapping[str, Any]) -> str:
    """Render some pieces at a time and stop at the output limit, rather than after it.

    The same as the library's `generate`, less a generator around the template's and two copies of the variables.
    """
    context = template.new_context({**template.globals, **variables}, shared=True)
    TIME_LIMIT.begin()
    try:
        return _joined(template.root_render_func(context))
    except Exception:  # noqa: BLE001 - raised again, with the template's lines in its traceback
        TIME_LIMIT.end()  # writing the traceback anew is not the template's time
        template.environment.handle_exception()
    finally:
        TIME_LIMIT.end()


def _joined(pieces: Iterator[str]) -> str:
    runs, size = [], 0
    while run := list(islice(pieces, PIECES_PER_JOIN)):
        runs.append("".join(run))
        size += len(runs[-1])
        if size > MAX_OUTPUT:
            raise OutputTooLargeError
    return "".join(runs)

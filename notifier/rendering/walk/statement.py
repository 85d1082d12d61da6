"""Goes through the parts of a version as rendering does: layouts, blocks, macros, loops, names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from operator import attrgetter

from jinja2 import Environment, TemplateError, nodes

from notifier.rendering.images import FUNCTIONS
from notifier.rendering.language.contexts import guard
from notifier.rendering.language.link_address import all_link_schemes
from notifier.rendering.language.sandbox import environment
from notifier.rendering.source import HTML, LOCALES, PARTS, RESERVED, WORDS, TemplateSource
from notifier.rendering.value_check import ValueCheck
from notifier.rendering.variables import schema_of
from notifier.rendering.walk.checking import Checking
from notifier.rendering.walk.place import LostError, Macro, Named, Path, Place, Read, Scope, count_present, negate


def walk_source(source: TemplateSource, parts: Sequence[str] = PARTS) -> tuple[list[Read], bool, list[ValueCheck]]:
    """Every read in these parts, whether none was missed, and what values must be. Raises `TemplateSyntaxError`."""
    plain, html = (environment(source.files, autoescape=autoescape) for autoescape in (False, True))
    reserved = RESERVED | WORDS | ((FUNCTIONS | plain.globals.keys()) - source.sample.keys())
    walk = Walk(shape=schema_of(source.sample), reserved=reserved, plain=plain, html=html, files=source.files)
    walk.schemes = list(all_link_schemes(source.settings.link_schemes))
    prefixes = ["", *(f"{LOCALES}{tag}/" for tag in source.locales)]
    names = [f"{prefix}{part}" for prefix in prefixes for part in parts if f"{prefix}{part}" in source.files]
    for name in names:
        walk.parse(name)
    is_complete = True
    with suppress(LostError, RecursionError):
        is_complete = False
        for name in names:
            walk.is_html = name.endswith(HTML)
            walk.template(name, Scope())
        is_complete = True
    return sorted(walk.reads, key=attrgetter("file", "line", "path")), is_complete, list(walk.checks.values())


@dataclass
class Walk(Checking):
    """Follows statements; each part is walked with the scope that it would be rendered with."""

    plain: Environment = field(default_factory=Environment)
    html: Environment = field(default_factory=Environment)  # where values are looked at that act there
    files: Mapping[str, str] = field(default_factory=dict)
    trees: dict[tuple[str, bool], nodes.Template] = field(default_factory=dict)
    is_html: bool = False
    bodies: dict[str, list[tuple[nodes.Block, str]]] = field(default_factory=dict)  # of blocks, the outermost first
    block: tuple[str, int] = ("", 0)  # the one that is walked, and which of its bodies
    top: Scope = field(default_factory=Scope)  # what blocks see
    active: list[object] = field(default_factory=list)  # what is being walked, so that nothing is within itself

    def parse(self, name: str) -> nodes.Template:
        """The file's tree; raises `TemplateSyntaxError`."""
        key = (name, self.is_html)
        if key not in self.trees:
            self.trees[key] = self.plain.parse(self.files[name], name, name)
            if self.is_html:
                with suppress(TemplateError):  # told where it is compiled
                    guard(self.trees[key], self.html, name)
        return self.trees[key]

    # -- files and blocks ------------------------------------------------------------------------

    def template(self, name: str, scope: Scope) -> None:
        """A template with those that it extends."""
        before = self.bodies, self.block, self.top
        self.bodies, self.top = {}, scope
        names: list[str] = [name]
        depth = len(self.active)
        while names and names[0] not in self.active:
            self.active.append(names[0])
            with self.within(scope, names[0]):
                names = self._top(self.parse(names[0]))
        self.bodies, self.block, self.top = before
        del self.active[depth:]

    def _top(self, tree: nodes.Template) -> list[str]:
        """The statements of a template; what it extends, if it does."""
        for block in tree.find_all(nodes.Block):
            self.bodies.setdefault(block.name, []).append((block, self.file))
        place = next((at for at, node in enumerate(tree.body) if isinstance(node, nodes.Extends)), None)
        if place is None:
            if any(tree.find_all(nodes.Extends)):
                raise LostError  # it depends
            self.run(tree.body)
            return []
        extends = tree.body[place]
        self.run(tree.body[:place])
        self.run(node for node in tree.body[place:] if not isinstance(node, nodes.Output | nodes.Block))
        return self._names(extends.template)  # type: ignore[attr-defined]

    def _names(self, node: nodes.Node) -> list[str]:
        """The file that a constant names, if there is one."""
        items = node.items if isinstance(node, nodes.List | nodes.Tuple) else [node]
        names = [item.value for item in items if isinstance(item, nodes.Const)]
        if len(names) < len(items):
            raise LostError
        return [name for name in names if name in self.files][:1]

    @contextmanager
    def within(self, scope: Scope, file: str | None = None) -> Iterator[None]:
        """Where names are looked up in this scope, in this file."""
        before = self.scope, self.file
        self.scope, self.file = scope, file or self.file
        try:
            yield
        finally:
            self.scope, self.file = before

    def _run_block(self, node: nodes.Block) -> None:
        self._body(node.name, 0, self.scope if node.scoped else self.top)

    def _body(self, name: str, place: int, scope: Scope) -> None:
        bodies = self.bodies.get(name, [])
        if place < len(bodies) and bodies[place][0] not in self.active:
            node, file = bodies[place]
            before, self.block = self.block, (name, place)
            self.active.append(node)
            with self.within(scope.create_child(), file):
                self.run(node.body)
            self.active.pop()
            self.block = before

    def _run_include(self, node: nodes.Include) -> None:
        self._walk_file(node, self.scope.create_child() if node.with_context else Scope(sees_variables=False))

    def _walk_file(self, node: nodes.Include | nodes.Import | nodes.FromImport, scope: Scope) -> Scope:
        for name in self._names(node.template):
            if name not in self.active:
                self.template(name, scope)
        return scope

    def _module(self, node: nodes.Import | nodes.FromImport) -> Scope:
        return self._walk_file(node, self.scope.create_child() if node.with_context else Scope(sees_variables=False))

    def _run_import(self, node: nodes.Import) -> None:
        self.scope.names[node.target] = self._module(node)

    def _run_fromimport(self, node: nodes.FromImport) -> None:
        module = self._module(node)
        for name in node.names:
            theirs, ours = name if isinstance(name, tuple) else (name, name)
            self.scope.names[ours] = module.names.get(theirs)

    # -- statements ------------------------------------------------------------------------------

    def run(self, statements: Iterable[nodes.Node]) -> None:
        """Follow statements one after the other."""
        for node in statements:
            follow = getattr(self, f"_run_{type(node).__name__.lower()}", None)
            if follow is not None:
                follow(node)
            elif isinstance(node, nodes.Scope | nodes.ScopedEvalContextModifier):
                self.run(node.body)

    def _run_output(self, node: nodes.Output) -> None:
        self.read_children(node)

    def _run_if(self, node: nodes.If) -> None:
        """Each branch with what its condition says; a name that one of them gives may be what it was before."""
        names = self.scope.names.maps[0]
        start, ends = dict(names), []
        with ExitStack() as denied:
            for test, body in [*((branch.test, branch.body) for branch in (node, *node.elif_)), (None, node.else_)]:
                conditions = [] if test is None else [self.ask(test)]
                with self.where(*conditions):
                    self.run(body)
                    changed = {name for name, named in names.items() if start.get(name, ...) != named}
                    ends.append((dict(names), self.known, changed))
                names.clear()
                names.update(start)
                denied.enter_context(self.where(*map(negate, conditions)))
        for name in {name for *_, changed in ends for name in changed}:
            names[name] = self._join(name, [(end, known) for end, known, _ in ends])

    def _join(self, name: str, ends: Sequence[tuple[dict[str, Named], frozenset[Path]]]) -> Named:
        """What a name stands for behind an {% if %}: the one variable that it may be, or something of its own."""
        places: dict[Place, bool] = {}
        own = [names[name] for names, _ in ends if name in names]
        for names, known in ends:
            named = names[name] if name in names else self.resolve(nodes.Name(name, "load"))
            if isinstance(named, Macro | Scope):
                return named
            if named is not None:
                is_there = count_present(named.path, known) >= len(named.path)
                places[named] = places.get(named, True) and is_there
        if len(places) > 1:  # what no branch gives is a variable only if the sample has it
            places = {
                place: is_there
                for place, is_there in places.items()
                if place in own or name in self.shape["properties"]
            }
        if len(places) > 1:
            for place, is_there in places.items():
                self.note(place, nodes.Name(name, "load", lineno=1), whole=True, guarded=is_there)
            return None
        return next(
            (replace(place, fallback="other") if is_there else place for place, is_there in places.items()), None
        )

    def _run_for(self, node: nodes.For) -> None:
        item = self.read_list(node.iter, object())
        condition = self.get_condition(node.iter)
        with self.within(self.scope.create_child({"loop": None})), self.where(condition):
            self.bind(node.target, item)
            with self.where(*([self.ask(node.test)] if node.test else [])):
                self.run(node.body)
        with self.within(self.scope.create_child()), self.where(None if node.test else negate(condition)):
            self.run(node.else_)

    def bind(self, target: nodes.Node, value: Named) -> None:
        """Give the value its name."""
        if isinstance(target, nodes.Name):
            self.scope.names[target.name] = value
        elif isinstance(target, nodes.Tuple):
            for index, part in enumerate(target.items):
                self.note(value, target, whole=not self.get_item(value, index))
                self.bind(part, self.get_item(value, index))

    def _run_assign(self, node: nodes.Assign) -> None:
        pairs: list[tuple[nodes.Node, nodes.Node]] = [(node.target, node.node)]
        if isinstance(node.target, nodes.Tuple) and isinstance(node.node, nodes.Tuple):
            pairs = list(zip(node.target.items, node.node.items, strict=False))
        for target, value in [(target, self.take(expression)) for target, expression in pairs]:
            self.bind(target, value)

    def _run_assignblock(self, node: nodes.AssignBlock) -> None:
        self._run_filterblock(node)
        self.bind(node.target, None)

    def _run_filterblock(self, node: nodes.FilterBlock | nodes.AssignBlock) -> None:
        if node.filter is not None:
            self.read(node.filter)
        with self.within(self.scope.create_child()):
            self.run(node.body)

    def _run_with(self, node: nodes.With) -> None:
        values = [self.take(value) for value in node.values]
        with self.within(self.scope.create_child()):
            for target, value in zip(node.targets, values, strict=True):
                self.bind(target, value)
            self.run(node.body)

    # -- macros ----------------------------------------------------------------------------------

    def _run_macro(self, node: nodes.Macro) -> None:
        self.scope.names[node.name] = Macro(node, self.scope, self.file)

    def _run_callblock(self, node: nodes.CallBlock) -> None:
        with self.within(self.scope.create_child({" caller": Macro(node, self.scope, self.file)})):
            self.read(node.call)  # under a name that no template can write

    def _read_call(self, node: nodes.Call) -> None:
        """The macro's body with the arguments, or what `super()` shows; else the arguments are read."""
        callee = self.resolve(node.node)
        if node.node == nodes.Name("super", "load"):
            self._body(self.block[0], self.block[1] + 1, self.top)
        elif isinstance(callee, Macro):
            self._expand(callee, node)
        elif isinstance(node.node, nodes.Getattr) and not isinstance(self.resolve(node.node.node), Scope):
            self.read(node.node.node)  # a function of a value
            self._read_each(node)
        else:
            self.read_children(node)

    def _read_each(self, call: nodes.Call) -> None:
        for child in call.iter_child_nodes(exclude=("node",)):
            self.read(child)

    def _expand(self, macro: Macro, node: nodes.Call) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise LostError
        if macro in self.active:
            self._read_each(node)
            return
        names = [argument.name for argument in macro.node.args]
        arguments = dict(zip(names, node.args, strict=False)) | {pair.key: pair.value for pair in node.kwargs}
        scope = macro.scope.create_child({"varargs": None, "kwargs": None, "caller": self.scope.names.get(" caller")})
        for argument in node.args[len(names) :]:
            self.read(argument)
        scope.names.update((name, self.take(argument)) for name, argument in arguments.items())
        self.active.append(macro)
        with self.within(scope, macro.file):
            defaults = dict(zip(names[::-1], macro.node.defaults[::-1], strict=False))
            for name in names:
                if name not in arguments:
                    scope.names[name] = self.take(defaults[name]) if name in defaults else None
            self.run(macro.node.body)
        self.active.pop()

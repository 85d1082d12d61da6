"""Walk through the parts of a version in the order of rendering, to find which variables they read.

It follows layouts, blocks, macros, loops and names, and evaluates nothing. If it cannot follow something it gives up:
then every variable of the sample counts as needed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace

from jinja2 import Environment, TemplateError, nodes

from notifier.template_language.contextual_escaping import guard_values
from notifier.template_language.expression_walk import LoopItem, LostError, Macro, Named, Path, Place, Scope
from notifier.template_language.value_check import negate_condition
from notifier.template_language.value_check_search import ValueCheckWalk


@dataclass
class TemplateWalk(ValueCheckWalk):
    """Follows statements; names are looked up in the same scopes as in rendering."""

    plain: Environment = field(default_factory=Environment)
    html: Environment = field(default_factory=Environment)  # parses HTML, in which values are guarded
    files: Mapping[str, str] = field(default_factory=dict)
    trees: dict[tuple[str, bool], nodes.Template] = field(default_factory=dict)
    is_html: bool = False
    # the bodies of each block: the template's first, then those of its layouts
    bodies: dict[str, list[tuple[nodes.Block, str]]] = field(default_factory=dict)
    block: tuple[str, int] = ("", 0)  # the current block, and which of its bodies
    top: Scope = field(default_factory=Scope)  # the scope of blocks
    active: list[object] = field(default_factory=list)  # open files, blocks and macros; none is entered twice

    def parse_file(self, name: str) -> nodes.Template:
        """Parse a file, once. Raises `TemplateSyntaxError`."""
        key = (name, self.is_html)
        if key not in self.trees:
            self.trees[key] = self.plain.parse(self.files[name], name, name)
            if self.is_html:
                with suppress(TemplateError):  # the compiler reports it
                    guard_values(self.trees[key], self.html, name)
        return self.trees[key]

    def walk_template(self, name: str, scope: Scope) -> None:
        """Walk through a template and its layouts."""
        before = self.bodies, self.block, self.top
        self.bodies, self.top = {}, scope
        names, depth = [name], len(self.active)
        while names and names[0] not in self.active:
            self.active.append(names[0])
            with self.in_scope(scope, names[0]):
                names = self._run_template(self.parse_file(names[0]))
        self.bodies, self.block, self.top = before
        del self.active[depth:]

    def _run_template(self, tree: nodes.Template) -> list[str]:
        """Follow the statements of a template. Returns the name of its layout, if it has one."""
        for block in tree.find_all(nodes.Block):
            self.bodies.setdefault(block.name, []).append((block, self.file))
        place = next((at for at, node in enumerate(tree.body) if isinstance(node, nodes.Extends)), None)
        if place is None:
            if any(tree.find_all(nodes.Extends)):
                raise LostError  # a condition decides about the layout
            self.run_statements(tree.body)
            return []
        extends = tree.body[place]
        self.run_statements(tree.body[:place])
        self.run_statements(node for node in tree.body[place:] if not isinstance(node, nodes.Output | nodes.Block))
        return self._get_names(extends.template)  # type: ignore[attr-defined]

    def _get_names(self, node: nodes.Node) -> list[str]:
        """The file that a constant names, if there is one."""
        items = node.items if isinstance(node, nodes.List | nodes.Tuple) else [node]
        names = [item.value for item in items if isinstance(item, nodes.Const)]
        if len(names) < len(items):
            raise LostError
        return [name for name in names if name in self.files][:1]

    @contextmanager
    def in_scope(self, scope: Scope, file: str | None = None) -> Iterator[None]:
        """Where names are looked up in this scope, in this file."""
        before = self.scope, self.file
        self.scope, self.file = scope, file or self.file
        try:
            yield
        finally:
            self.scope, self.file = before

    def _run_block(self, node: nodes.Block) -> None:
        self._run_body(node.name, 0, self.scope if node.scoped else self.top)

    def _run_body(self, name: str, index: int, scope: Scope) -> None:
        bodies = self.bodies.get(name, [])
        if index < len(bodies) and bodies[index][0] not in self.active:
            node, file = bodies[index]
            before, self.block = self.block, (name, index)
            self.active.append(node)
            with self.in_scope(scope.create_child(), file):
                self.run_statements(node.body)
            self.active.pop()
            self.block = before

    def _run_include(self, node: nodes.Include | nodes.Import | nodes.FromImport) -> Scope:
        """Walk through another file. Returns its scope, with the names that it has given."""
        scope = self.scope.create_child() if node.with_context else Scope(sees_variables=False)
        for name in self._get_names(node.template):
            if name not in self.active:
                self.walk_template(name, scope)
        return scope

    def _run_import(self, node: nodes.Import) -> None:
        self.scope.names[node.target] = self._run_include(node)

    def _run_fromimport(self, node: nodes.FromImport) -> None:
        module = self._run_include(node)
        for name in node.names:
            exported, local = name if isinstance(name, tuple) else (name, name)
            self.scope.names[local] = module.names.get(exported)

    def run_statements(self, statements: Iterable[nodes.Node]) -> None:
        """Follow statements one after the other."""
        for node in statements:
            follow = getattr(self, f"_run_{type(node).__name__.lower()}", None)
            if follow is not None:
                follow(node)
            elif isinstance(node, nodes.Scope | nodes.ScopedEvalContextModifier):
                self.run_statements(node.body)

    def _run_output(self, node: nodes.Output) -> None:
        self.read_children(node)

    def _run_if(self, node: nodes.If) -> None:
        """Follow each branch under its condition, and join the names that the branches have set."""
        names = self.scope.names.maps[0]
        start = dict(names)
        ends: list[tuple[dict[str, Named], frozenset[Path]]] = []
        with ExitStack() as denied:
            for test, body in [*((branch.test, branch.body) for branch in (node, *node.elif_)), (None, node.else_)]:
                conditions = [] if test is None else [self.read_test(test)]
                with self.under_conditions(*conditions):
                    self.run_statements(body)
                    ends.append((dict(names), self.known))
                names.clear()
                names.update(start)
                denied.enter_context(self.under_conditions(*map(negate_condition, conditions)))
        for name in {name for end, _ in ends for name, named in end.items() if start.get(name, ...) != named}:
            names[name] = self._join(name, ends, node)

    def _join(self, name: str, ends: Sequence[tuple[dict[str, Named], frozenset[Path]]], node: nodes.If) -> Named:
        """What a name stands for after an {% if %}: the only variable that it can be; None if there is not just one."""
        unassigned = self.resolve_expression(nodes.Name(name, "load")) if name in self.shape["properties"] else None
        values = [(names.get(name, unassigned), known) for names, known in ends]
        places = {value for value, _ in values if isinstance(value, Place)}
        before = self.known
        for value, known in values:
            self.known = known
            self.note_read(value, node, whole=len(places) > 1)
        self.known = before
        for value, _ in values:
            if isinstance(value, Macro | Scope):
                return value
        return replace(places.pop(), fallback="other") if len(places) == 1 else None

    def _run_for(self, node: nodes.For) -> None:
        item = self.get_item(self.resolve_expression(node.iter), LoopItem())
        self.read_expression(node.iter, whole=item is None)
        condition = self.get_condition(node.iter)
        with self.in_scope(self.scope.create_child({"loop": None})), self.under_conditions(condition):
            self.bind(node.target, item)
            with self.under_conditions(*([self.read_test(node.test)] if node.test else [])):
                self.run_statements(node.body)
        is_empty = None if node.test else negate_condition(condition)
        with self.in_scope(self.scope.create_child()), self.under_conditions(is_empty):
            self.run_statements(node.else_)

    def bind(self, target: nodes.Node, value: Named) -> None:
        """Give the value a name; a value that is unpacked into several names counts as read."""
        if isinstance(target, nodes.Name):
            self.scope.names[target.name] = value
        elif isinstance(target, nodes.Tuple):
            self.note_read(value, target, whole=True)
            self.scope.names.update((name.name, None) for name in target.find_all(nodes.Name))

    def _run_assign(self, node: nodes.Assign) -> None:
        self.bind(node.target, self.bind_value(node.node))

    def _run_assignblock(self, node: nodes.AssignBlock) -> None:
        self._run_filterblock(node)
        self.bind(node.target, None)

    def _run_filterblock(self, node: nodes.FilterBlock | nodes.AssignBlock) -> None:
        if node.filter is not None:
            self.read_expression(node.filter)
        with self.in_scope(self.scope.create_child()):
            self.run_statements(node.body)

    def _run_with(self, node: nodes.With) -> None:
        values = [self.bind_value(value) for value in node.values]
        with self.in_scope(self.scope.create_child()):
            for target, value in zip(node.targets, values, strict=True):
                self.bind(target, value)
            self.run_statements(node.body)

    def _run_macro(self, node: nodes.Macro) -> None:
        self.scope.names[node.name] = Macro(node, self.scope, self.file)

    def _run_callblock(self, node: nodes.CallBlock) -> None:
        with self.in_scope(self.scope.create_child({" caller": Macro(node, self.scope, self.file)})):
            self.read_expression(node.call)  # no template can write the name “ caller”

    def _read_call(self, node: nodes.Call) -> None:
        """Walk through a macro's body with its arguments, or the block of `super()`; else read the arguments."""
        callee = self.resolve_expression(node.node)
        if node.node == nodes.Name("super", "load"):
            self._run_body(self.block[0], self.block[1] + 1, self.top)
        elif isinstance(callee, Macro):
            self._expand(callee, node)
        elif isinstance(node.node, nodes.Getattr) and not isinstance(self.resolve_expression(node.node.node), Scope):
            for child in [node.node.node, *node.iter_child_nodes(exclude=("node",))]:  # a method of a value
                self.read_expression(child)
        else:
            self.read_children(node)

    def _expand(self, macro: Macro, node: nodes.Call) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise LostError
        if macro in self.active:
            for child in node.iter_child_nodes(exclude=("node",)):
                self.read_expression(child)
            return
        names = [argument.name for argument in macro.node.args]
        arguments = dict(zip(names, node.args, strict=False)) | {pair.key: pair.value for pair in node.kwargs}
        scope = macro.scope.create_child({"varargs": None, "kwargs": None, "caller": self.scope.names.get(" caller")})
        for argument in node.args[len(names) :]:
            self.read_expression(argument)
        scope.names.update((name, self.bind_value(argument)) for name, argument in arguments.items())
        self.active.append(macro)
        with self.in_scope(scope, macro.file):
            defaults = dict(zip(names[::-1], macro.node.defaults[::-1], strict=False))
            for name in names:
                if name not in arguments:
                    scope.names[name] = self.bind_value(defaults[name]) if name in defaults else None
            self.run_statements(macro.node.body)
        self.active.pop()

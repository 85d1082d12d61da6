"""Goes through the parts of a version as rendering does: layouts, blocks, macros, loops, names."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, TemplateError, nodes

from notifier.template_language.contextual_escaping import guard_values
from notifier.template_language.value_check_search import Checking, negated
from notifier.template_language.variable_place import (
    BlockBody,
    Blocks,
    LostError,
    Macro,
    Module,
    Path,
    Scope,
    Use,
    Value,
    either,
)


@dataclass
class Walk(Checking):
    """Follows statements; each part is walked with the scope that it would be rendered with."""

    env: Environment = field(default_factory=Environment)
    files: Mapping[str, str] = field(default_factory=dict)
    rich: Environment = field(default_factory=Environment)  # of HTML, where values are looked at that act there
    trees: dict[tuple[str, bool], nodes.Template] = field(default_factory=dict)
    is_html: bool = False
    blocks: Blocks | None = None
    active: list[object] = field(default_factory=list)  # what is being walked, so that nothing is within itself

    def parsed(self, name: str) -> nodes.Template:
        """The file's tree; raises `TemplateSyntaxError`."""
        key = (name, self.is_html)
        if key not in self.trees:
            self.trees[key] = self.env.parse(self.files[name], name, name)
            if self.is_html:
                with suppress(TemplateError):  # told where it is compiled
                    guard_values(self.trees[key], self.rich, name)
        return self.trees[key]

    def template(self, name: str, scope: Scope) -> None:
        """A template with those that it extends."""
        blocks, before, depth = Blocks(bodies={}, scope=scope), self.blocks, len(self.active)
        scope.names["self"] = (blocks,)
        extended: str | None = name
        while extended is not None and (extended, "template") not in self.active:
            self.active.append((extended, "template"))
            with self.within(scope, extended):
                self.blocks = blocks
                extended = self._top(self.parsed(extended), blocks)
        self.blocks = before
        del self.active[depth:]

    def _top(self, tree: nodes.Template, blocks: Blocks) -> str | None:
        """The statements of a template; what it extends, if it does."""
        for block in tree.find_all(nodes.Block):
            blocks.bodies.setdefault(block.name, []).append((block, self.file))
        extends = next((node for node in tree.body if isinstance(node, nodes.Extends)), None)
        if extends is None:
            if next(tree.find_all(nodes.Extends), None) is not None:
                raise LostError  # it depends
            self.run(tree.body)
            return None
        place = tree.body.index(extends)
        self.run(tree.body[:place])
        self.use(extends.template)
        self.run(node for node in tree.body[place:] if not isinstance(node, nodes.Output | nodes.Block | nodes.Extends))
        names = self._names(extends.template)
        return names[0] if names else None

    def _names(self, node: nodes.Node) -> list[str]:
        """The files that a constant names, as far as there are such files."""
        items = node.items if isinstance(node, nodes.List | nodes.Tuple) else [node]
        if not all(isinstance(item, nodes.Const) for item in items):
            raise LostError
        names = [item.value for item in items if isinstance(item, nodes.Const)]
        return [name for name in names if isinstance(name, str) and name in self.files][:1]

    @contextmanager
    def within(self, scope: Scope, file: str | None = None) -> Any:
        """Where names are looked up in this scope, in this file."""
        before = (self.scope, self.file)
        self.scope, self.file = scope, file or self.file
        try:
            yield
        finally:
            self.scope, self.file = before

    def run(self, statements: Iterable[nodes.Node]) -> None:
        """Follow statements one after the other."""
        for node in statements:
            follow = getattr(self, f"_run_{type(node).__name__.lower()}", None)
            if follow is not None:
                follow(node)
            elif isinstance(node, nodes.Scope | nodes.ScopedEvalContextModifier):
                self.run(node.body)

    def _run_output(self, node: nodes.Output) -> None:
        for child in node.nodes:
            if not isinstance(child, nodes.TemplateData):
                self.use(child, Use.SHOWN)

    def _run_if(self, node: nodes.If) -> None:
        """Each branch with what its condition says; a name given in one of them may be what it was before."""
        before = dict(self.scope.names)
        ends: list[tuple[dict[str, Value], frozenset[Path]]] = []
        facts = self.facts
        tests = [(node.test, node.body)] + [(one.test, one.body) for one in node.elif_]
        with ExitStack() as denied:
            for test, body in tests:
                self.use(test, Use.ASKED, whole=False)
                with self.knowing(test, holds=True):
                    ends.append(self._end_of(body, before))
                denied.enter_context(self.knowing(test, holds=False))
            ends.append(self._end_of(node.else_, before))
        for name in {name for end, _ in ends for name, value in end.items() if before.get(name) != value}:
            values = []
            for end, known in ends:
                self.facts = known
                values.append(end[name] if name in end else self.settled(self.named(name)))
            self.scope.names[name] = either(*values)
        self.facts = facts

    def _end_of(self, body: Sequence[nodes.Node], before: dict[str, Value]) -> tuple[dict[str, Value], frozenset[Path]]:
        """What names stand for at the end of a branch, and its facts; the scope is as it was before."""
        self.run(body)
        end = self.scope.names
        self.scope.names = dict(before)
        return end, self.facts

    def _run_for(self, node: nodes.For) -> None:
        items = self.item(self.value(node.iter), node.iter, object(), Use.LOOPED)
        with self.within(Scope(self.scope, {"loop": ()})), self.where(self.condition_of(node.iter)):
            self.bind(node.target, items, node)
            if node.test is None:
                self.run(node.body)
            else:
                self.use(node.test, Use.ASKED, whole=False)
                with self.knowing(node.test, holds=True):
                    self.run(node.body)
        with self.within(Scope(self.scope)), self.where(None if node.test else negated(self.condition_of(node.iter))):
            self.run(node.else_)

    def bind(self, target: nodes.Node, value: Value, node: nodes.Node) -> None:
        """Give the value its name."""
        if isinstance(target, nodes.Name):
            self.scope.names[target.name] = value
        elif isinstance(target, nodes.Tuple):
            for index, item in enumerate(target.items):
                self.bind(item, self.item(value, node, ("part", index)), node)

    def _run_assign(self, node: nodes.Assign) -> None:
        pairs = [(node.target, node.node)]
        if isinstance(node.target, nodes.Tuple) and isinstance(node.node, nodes.Tuple):
            pairs = list(zip(node.target.items, node.node.items, strict=False))
        for target, value in [(target, self.value(expression)) for target, expression in pairs]:
            self.touch(value, node)
            self.bind(target, value, node)

    def _run_assignblock(self, node: nodes.AssignBlock) -> None:
        with self.within(Scope(self.scope)):
            self.run(node.body)
        if node.filter is not None:
            self.use(node.filter)
        self.bind(node.target, (), node)

    def _run_with(self, node: nodes.With) -> None:
        values = [self.value(value) for value in node.values]
        with self.within(Scope(self.scope)):
            for target, value in zip(node.targets, values, strict=True):
                self.touch(value, node)
                self.bind(target, value, node)
            self.run(node.body)

    def _run_filterblock(self, node: nodes.FilterBlock) -> None:
        self.use(node.filter)
        with self.within(Scope(self.scope)):
            self.run(node.body)

    def _run_macro(self, node: nodes.Macro) -> None:
        self.scope.names[node.name] = (Macro(node, self.scope, self.file),)

    def _run_callblock(self, node: nodes.CallBlock) -> None:
        body = Macro(node, self.scope, self.file)
        with self.within(Scope(self.scope)):
            self.scope.names[" caller"] = (body,)  # no name that a template can write
            self.value(node.call)

    def _run_block(self, node: nodes.Block) -> None:
        if self.blocks is None:
            return
        scope = self.scope if node.scoped else self.blocks.scope
        self._body(BlockBody(self.blocks, node.name), scope)

    def _body(self, body: BlockBody, scope: Scope) -> None:
        bodies = body.blocks.bodies.get(body.name, [])
        if body.place >= len(bodies) or body in self.active:
            return
        node, file = bodies[body.place]
        above = BlockBody(body.blocks, body.name, body.place + 1)
        self.active.append(body)
        with self.within(Scope(scope, {"super": (above,), "self": (body.blocks,)}), file):
            self.run(node.body)
        self.active.pop()

    def _run_include(self, node: nodes.Include) -> None:
        self.use(node.template)
        for name in self._names(node.template):
            if (name, "template") not in self.active:
                self.template(name, Scope(self.scope) if node.with_context else Scope(closed=True))

    def _module(self, node: nodes.Import | nodes.FromImport) -> Module:
        self.use(node.template)
        scope = Scope(self.scope) if node.with_context else Scope(closed=True)
        for name in self._names(node.template):
            if (name, "template") not in self.active:
                self.template(name, scope)
        return Module(scope)

    def _run_import(self, node: nodes.Import) -> None:
        self.scope.names[node.target] = (self._module(node),)

    def _run_fromimport(self, node: nodes.FromImport) -> None:
        module = self._module(node)
        for name in node.names:
            theirs, ours = name if isinstance(name, tuple) else (name, name)
            self.scope.names[ours] = module.scope.names.get(theirs, ())

    def member(self, defined: Any, name: str) -> Value:
        """A macro of an imported template, or a block."""
        if isinstance(defined, Module):
            return defined.scope.names.get(name, ())
        if isinstance(defined, Blocks):
            return (BlockBody(defined, name),)
        if isinstance(defined, BlockBody) and name == "super":
            return (BlockBody(defined.blocks, defined.name, defined.place + 1),)
        raise LostError

    def called(self, value: Value, node: nodes.Call) -> Value:
        """The macro's body with the arguments, or the block."""
        if self.quiet:
            return ()
        for one in value:
            if isinstance(one, Macro):
                self._expand(one, node)
            elif isinstance(one, BlockBody):
                self._body(one, one.blocks.scope)
            else:
                self.read((one,), node)
        if not any(isinstance(one, Macro) for one in value):
            self._arguments(node)
        return ()

    def _expand(self, macro: Macro, node: nodes.Call) -> None:
        if macro in self.active or node.dyn_args is not None or node.dyn_kwargs is not None:
            self._arguments(node)
            if macro not in self.active:
                raise LostError
            return
        names = [argument.name for argument in macro.node.args]
        given = dict(zip(names, node.args, strict=False)) | {pair.key: pair.value for pair in node.kwargs}
        scope = Scope(macro.scope, {"varargs": (), "kwargs": (), "caller": self.scope.names.get(" caller", ())})
        for argument in node.args[len(names) :]:
            self.use(argument)
        for name, argument in given.items():
            value = self.value(argument)
            self.touch(value, argument)
            scope.names[name] = value
        self.active.append(macro)
        with self.within(scope, macro.file):
            defaults = dict(zip(names[::-1], macro.node.defaults[::-1], strict=False))
            for name in names:
                if name not in given:
                    scope.names[name] = self.value(defaults[name]) if name in defaults else ()
            self.run(macro.node.body)
        self.active.pop()

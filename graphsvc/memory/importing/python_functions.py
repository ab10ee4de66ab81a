"""The functions of a module, and what each calls, read from its source."""

from __future__ import annotations

import ast
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from graphsvc.memory.importing.python_modules import NoSourceError, Source

Def = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Function:
    """A function or method.

    Attributes:
        module: its module. qualname: its name there, `Class.method` for a method.
        signature, description (its docstring), code: texts.
        calls: what it calls, as written but for imports, which are followed: `.name` is a name of its own module,
            `self.name` a method of its class, `super.name` one of the classes above, others are absolute.
    """

    module: str
    qualname: str
    signature: str
    description: str
    code: str
    calls: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """Its full name."""
        return f"{self.module}.{self.qualname}"

    @property
    def private(self) -> bool:
        """Whether a part of its name says that it isn't for others."""
        return any(part.startswith("_") for part in self.qualname.split("."))


@dataclass(slots=True)
class Outline:
    """What names mean in a module.

    Attributes:
        name: of the module.
        functions: qualified names. classes: the bases of each, as in `Function.calls`.
        imports: what an imported name stands for, absolute. stars: modules that all is imported from.
    """

    name: str
    functions: set[str] = field(default_factory=set)
    classes: dict[str, list[str]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Contents:
    """What a module holds: functions by qualified name, those that a later one replaces, and what names mean."""

    outline: Outline
    functions: dict[str, Function]
    replaced: list[str]


def contents(source: Source) -> Contents:
    """Read a module's source.

    Raises:
        NoSourceError: it is not the Python that runs here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the module's own code: not this program's to mend
            tree = ast.parse(source.text)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise NoSourceError("syntax_error", f"is no Python: {error.msg} ({source.file}{line})") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NoSourceError("syntax_error", f"is no Python: {error} ({source.file})") from None
    reader = _Reader(source)
    reader.read(tree)
    return Contents(reader.outline, reader.functions, reader.replaced)


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block and of the blocks under if, try, with and loops in it."""
    for statement in body:
        yield statement
        if not isinstance(statement, Def | ast.ClassDef):
            for block in ("body", "handlers", "orelse", "finalbody"):
                for inner in getattr(statement, block, ()):
                    yield from statements(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def dotted(node: ast.expr) -> list[str] | None:
    """The names of `a.b.c`; `super().name` as `super`, `name`; None if it is anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
        node = node.func
    if not isinstance(node, ast.Name):
        return None
    return [node.id, *reversed(names)]


class _Reader:
    """Goes through one module."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lines = source.text.split("\n")
        self.outline = Outline(source.name)
        self.functions: dict[str, Function] = {}
        self.replaced: list[str] = []

    def read(self, tree: ast.Module) -> None:
        self.outline.imports, self.outline.stars = self._imported(statements(tree.body))
        self._block(tree.body, "")
        self.outline.functions = set(self.functions)

    def _block(self, body: list[ast.stmt], owner: str) -> None:
        for statement in statements(body):
            if isinstance(statement, ast.ClassDef):
                name = f"{owner}{statement.name}"
                bases = (dotted(base) for base in statement.bases)
                self.outline.classes[name] = [self._meant(base, {}) for base in bases if base]
                self._block(statement.body, f"{name}.")
            elif isinstance(statement, Def):
                self._function(statement, owner)

    def _function(self, node: Def, owner: str) -> None:
        qualname = f"{owner}{node.name}"
        if _is_secondary(node):
            self.replaced.append(qualname)
            return
        if qualname in self.functions:
            self.replaced.append(qualname)
        self.functions[qualname] = Function(
            self.source.name, qualname, _signature(node, qualname), ast.get_docstring(node) or "", self._code(node),
            self._calls(node, owner.rstrip(".")),
        )  # fmt: skip

    def _code(self, node: Def) -> str:
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return textwrap.dedent("\n".join(self.lines[first - 1 : node.end_lineno]))

    def _imported(self, found: Iterable[ast.AST]) -> tuple[dict[str, str], list[str]]:
        names: dict[str, str] = {}
        stars: list[str] = []
        for node in found:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    names[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                module = self._absolute(node)
                for alias in node.names:
                    if alias.name == "*":
                        stars.append(module)
                    else:
                        names[alias.asname or alias.name] = f"{module}.{alias.name}"
        return names, stars

    def _absolute(self, node: ast.ImportFrom) -> str:
        """The module that is imported from; `from .. import x` counts from the module's own package."""
        if not node.level:
            return node.module or ""
        parts = self.source.name.split(".")
        up = node.level - 1 if self.source.package else node.level
        package = parts[: len(parts) - up] if up else parts
        return ".".join([*package, *([node.module] if node.module else [])])

    def _calls(self, node: Def, owner: str) -> frozenset[str]:
        inside = list(ast.walk(node))
        imports, _ = self._imported(inside)
        hidden = _bound(inside, node) - imports.keys()
        self_name = _self_name(node) if owner else None
        calls = set()
        for part in inside:
            if not isinstance(part, ast.Call) or not (names := dotted(part.func)) or names == ["super"]:
                continue
            if names[0] in (self_name, "super"):
                root = "super" if names[0] == "super" else "self"
                calls.add(".".join([root, *(names[1:] or ["__init__" if _makes(node) else "__call__"])]))
            elif names[0] not in hidden:
                calls.add(self._meant(names, imports))
        return frozenset(calls)

    def _meant(self, names: list[str], local: dict[str, str]) -> str:
        """A dotted name with its first part's import put in; `.name` if it is the module's own."""
        target = local.get(names[0]) or self.outline.imports.get(names[0])
        return ".".join([target, *names[1:]]) if target else "." + ".".join(names)


def _is_secondary(node: Def) -> bool:
    """Whether it declares types, or is the setter or deleter of a property: not the function itself."""
    for decorator in node.decorator_list:
        names = dotted(decorator)
        if names and (names[-1] == "overload" or names[1:] in (["setter"], ["deleter"])):
            return True
    return False


def _self_name(node: Def) -> str | None:
    """What a method calls its object or class; None if it gets neither."""
    if any(dotted(decorator) == ["staticmethod"] for decorator in node.decorator_list):
        return None
    first = [*node.args.posonlyargs, *node.args.args][:1]
    return first[0].arg if first else None


def _makes(node: Def) -> bool:
    """Whether calling its first argument makes an object: it is a class method."""
    return node.name == "__new__" or any(dotted(decorator) == ["classmethod"] for decorator in node.decorator_list)


def _bound(inside: list[ast.AST], function: Def) -> set[str]:
    """Names that stand for something of the function's own: arguments, variables, functions in it."""
    names: set[str] = set()
    for node in inside:
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, Def | ast.ClassDef) and node is not function:
            names.add(node.name)
    return names


def _signature(node: Def, qualname: str) -> str:
    try:
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
        return f"{prefix}{qualname}({ast.unparse(node.args)}){returns}"
    except RecursionError:
        return f"{qualname}(…)"

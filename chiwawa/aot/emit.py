"""Statements to source, by astor, and which line stands for which Wasm instruction."""

from __future__ import annotations

import ast

import astor.code_gen

from chiwawa.meanings.expressions import text


class Writer(astor.code_gen.SourceGenerator):  # type: ignore[misc]
    """astor's generator, which also notes the lines of statements that are ``located``."""

    def __init__(self) -> None:
        super().__init__("    ")
        #: (line from the start of what is written, counted from 0; code offset).
        self.lines: list[tuple[int, int]] = []
        self.line = 0

    def begin(self, node: ast.stmt) -> str:
        """Start a line, and give its indent."""
        self.line += 1
        offset = getattr(node, "wasm", None)
        if offset is not None:
            self.lines.append((self.line, offset))
        indent: int = self.indentation
        return "\n" + "    " * indent

    def visit_Assign(self, node: ast.Assign) -> None:
        start = self.begin(node)
        lefts = []
        for target in node.targets:
            parts = target.elts if isinstance(target, ast.Tuple) else [target]
            lefts.append(", ".join(map(text, parts)))
        self.result.append(f"{start}{' = '.join(lefts)} = {self.value(node.value)}")

    def visit_Expr(self, node: ast.Expr) -> None:
        self.result.append(self.begin(node) + self.value(node.value))

    def value(self, node: ast.expr) -> str:
        if isinstance(node, ast.YieldFrom):
            return f"yield from {text(node.value)}"
        if isinstance(node, ast.Yield):
            return "yield"
        return text(node)

    def visit_Return(self, node: ast.Return) -> None:
        start = self.begin(node)
        if isinstance(node.value, ast.YieldFrom):
            self.result.append(f"{start}return ({self.value(node.value)})")
            return
        self.result.append(
            start + ("return" if node.value is None else f"return {text(node.value)}")
        )

    def visit_Break(self, node: ast.Break) -> None:
        self.result.append(self.begin(node) + "break")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.result.append(self.begin(node) + "continue")

    def visit_Pass(self, node: ast.Pass) -> None:
        self.result.append(self.begin(node) + "pass")

    def visit_While(self, node: ast.While) -> None:
        self.result.append(f"{self.begin(node)}while {text(node.test)}:")
        self.suite(node.body)

    def visit_If(self, node: ast.If, word: str = "if") -> None:
        self.result.append(f"{self.begin(node)}{word} {text(node.test)}:")
        self.suite(node.body)
        if not node.orelse:
            return
        if len(node.orelse) == 1 and type(node.orelse[0]) is ast.If:
            self.visit_If(node.orelse[0], "elif")
            return
        self.line += 1
        self.result.append("\n" + "    " * self.indentation + "else:")
        self.suite(node.orelse)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.result.append(self.begin(node) + "raise")

    def visit_Try(self, node: ast.Try) -> None:
        self.result.append(self.begin(node) + "try:")
        self.suite(node.body)
        (handler,) = node.handlers
        assert handler.type is not None
        self.line += 1
        indent = "    " * self.indentation
        self.result.append(f"\n{indent}except {text(handler.type)} as {handler.name}:")
        self.suite(handler.body)

    def suite(self, body: list[ast.stmt]) -> None:
        self.indentation += 1
        for statement in body or [ast.Pass()]:
            self.visit(statement)
        self.indentation -= 1

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        params = [argument.arg for argument in node.args.args]
        defaults = [text(default) for default in node.args.defaults]
        bare = len(params) - len(defaults)
        shown = params[:bare] + [f"{p}={d}" for p, d in zip(params[bare:], defaults, strict=True)]
        self.result.append(f"def {node.name}({', '.join(shown)}):")
        self.suite(node.body)

    def write_function(self, function: ast.FunctionDef) -> tuple[str, list[tuple[int, int]]]:
        """A function's source without a final newline, and (line, code offset) of located
        statements; the ``def`` is line 0."""
        self.result.clear()
        self.lines = []
        self.line = 0
        self.visit(function)
        return "".join(self.result), self.lines

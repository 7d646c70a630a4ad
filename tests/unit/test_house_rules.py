"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
#: Where packages of ours are.
FOLDERS = (ROOT, ROOT / "runtime")
OURS = sorted(
    path
    for folder in ("chiwawa", "runtime/chiwawa_runtime", "tests", "benchmarks", "samples")
    for path in (ROOT / folder).rglob("*.py")
)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[tuple[str, str | None]]:
    """The full name of all that a file imports, wherever in the file, and what it calls it, where
    that is another name."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            yield from ((f"{package}.{name.name}", name.asname) for name in node.names)
        elif isinstance(node, ast.Import):
            yield from ((name.name, name.asname) for name in node.names)


def is_helper(path: Path) -> bool:
    return path.stem.endswith("_helpers")


def is_program(path: Path) -> bool:
    """Whether the file is one that is run as a process: it ends with a main guard."""
    last = tree_of(path).body[-1]
    return isinstance(last, ast.If) and ast.unparse(last.test) == "__name__ == '__main__'"


def test_what_is_no_test_is_named_as_a_helper_or_is_a_program() -> None:
    named = [path for path in TESTS if path.stem.startswith("test_") or path.stem == "conftest"]
    others = [path for path in TESTS if path not in named and not is_helper(path)]
    assert [str(path.relative_to(ROOT)) for path in others if not is_program(path)] == []


def test_what_tests_share_is_imported_by_its_full_name_and_is_a_helper() -> None:
    modules = {path.stem: path for path in TESTS}
    wrong = []
    for path in TESTS:
        for name, _ in imports_of(path):
            parts = name.split(".")
            if parts[0] == "tests":
                shared = next(modules[part] for part in reversed(parts) if part in modules)
                if not is_helper(shared):
                    wrong.append(f"{path.relative_to(ROOT)}: {name} is no helper")
            elif not parts[0] or parts[0] in modules:
                wrong.append(f"{path.relative_to(ROOT)}: {name}, without its folders")
    assert wrong == []


def test_a_module_of_ours_has_one_name_wherever_it_is_imported() -> None:
    aliased = [(path, name) for path in OURS for name, alias in imports_of(path) if alias]
    assert [
        f"{path.relative_to(ROOT)}: {name}"
        for path, name in aliased
        for place in (folder.joinpath(*name.split(".")) for folder in FOLDERS)
        if place.is_dir() or place.with_suffix(".py").is_file()
    ] == []


def sections_of(document: Path) -> list[str]:
    return re.split(r"^#+ ", document.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_modules_that_the_documents_name_are_there() -> None:
    """From the root, from a package or from a room; a bare name stands beside one that the section
    has named in full."""
    wrong = []
    places = (*FOLDERS, ROOT / "chiwawa", ROOT / "runtime" / "chiwawa_runtime")
    for document in DOCUMENTS:
        for section in sections_of(document):
            named: list[Path] = []
            # What ``chiwawa compile`` writes is called ``x_aot.py``.
            for path in re.findall(r"`([a-z][\w/]*(?<!_aot)\.py)`", section):
                beside = () if "/" in path else named
                found = [place / path for place in (*places, *beside) if (place / path).is_file()]
                if not found:
                    wrong.append(f"{document.relative_to(ROOT)}: {path}")
                named += [file.parent for file in found]
    assert wrong == []


def test_each_walk_through_the_house_names_no_file_twice() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    _, _, walks = text.partition("## A walk through the house\n")
    named = [re.findall(r"`(chiwawa\w*/[\w/]+\.py)`", walk) for walk in walks.split("\n**A")[1:]]
    assert len(named) == 4
    for files in named:
        assert len(files) > 5
        assert sorted(files) == sorted(set(files))

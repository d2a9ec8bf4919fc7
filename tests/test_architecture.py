"""The house rules: who may import whom, how long modules and functions are, and that each module has a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support import ROOT

LONGEST_MODULE, LONGEST_FUNCTION = 400, 60
PACKAGES = ("chancrawl", "spiders", "pipelines")
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
}


def imports_of(file: Path, with_types: bool = False) -> set[str]:
    """The modules of the project that a file imports; those for type checkers alone only if asked for."""
    return set(_imports(ast.parse(file.read_text(encoding="utf-8")), with_types))


def _imports(node: ast.AST, with_types: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING" and not with_types:
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name in MODULES)
        elif isinstance(child, ast.ImportFrom) and child.module:
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            yield from (name if name in MODULES else child.module for name in names if child.module in MODULES)
        else:
            yield from _imports(child, with_types)


IMPORTS = {name: imports_of(file, with_types=True) for name, file in MODULES.items()}


def importers(package: str, imported: tuple[str, ...]) -> list[str]:
    """The imports from modules of a package into others."""
    return [
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        for other in sorted(others)
        if f"{name}.".startswith(f"{package}.") and f"{other}.".startswith(tuple(f"{each}." for each in imported))
    ]


@pytest.mark.parametrize("package, imported", [
    ("chancrawl.imageboards", ("chancrawl.x",)),
    ("chancrawl.x", ("chancrawl.imageboards",)),
    ("chancrawl.storage", ("chancrawl.imageboards", "chancrawl.x", "chancrawl.sources")),
    ("chancrawl.imageboards", ("chancrawl.sources", "chancrawl.commands")),
    ("chancrawl.x", ("chancrawl.sources", "chancrawl.commands")),
    ("chancrawl", ("spiders", "pipelines")),
    ("pipelines", ("spiders", "chancrawl.imageboards", "chancrawl.x")),
    ("spiders", ("pipelines",)),
])  # fmt: skip
def test_imports_run_one_way(package: str, imported: tuple[str, ...]) -> None:
    assert importers(package, imported) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter({name: others - {name} for name, others in IMPORTS.items()}).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_modules_and_functions_are_short() -> None:
    long = []
    for name, file in MODULES.items():
        text = file.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > LONGEST_MODULE:
            long.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{name}.{node.name}: {lines} lines")
    assert long == []


def test_every_module_has_a_test_that_imports_it() -> None:
    tested = set().union(*(imports_of(file) for file in (ROOT / "tests").rglob("*.py")))
    untested = {
        name for name in MODULES if name.startswith("chancrawl.") and MODULES[name].name != "__init__.py"
    } - tested
    assert sorted(untested) == []

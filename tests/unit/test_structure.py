"""The structure of the source: class names, the size of folders, and imports."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
APPLICATION = ("lengthwise", "api", "worker")
#: Folders with Python files: the application's, and those around it.
FOLDERS = (*APPLICATION, "tests", "benchmarks", "training", "examples", "migrations")

#: Class names that stand twice. ``Job`` is public in both places: the API's is a schema of the published OpenAPI
#: document, and the client's is what its users import.
TWICE = {"Job"}

#: The most modules of one folder, without its ``__init__.py``.
MAX_MODULES = 20


def class_names() -> dict[str, list[str]]:
    """The files of each class name in the application."""
    found = defaultdict(list)
    for package in APPLICATION:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


def test_no_class_name_stands_twice() -> None:
    repeated = {name: files for name, files in class_names().items() if len(files) > 1}
    assert repeated.keys() == TWICE, repeated


def test_no_folder_has_too_many_modules() -> None:
    modules = defaultdict(list)
    for top in FOLDERS:
        for path in (ROOT / top).rglob("*.py"):
            if path.name != "__init__.py":
                modules[path.parent.relative_to(ROOT).as_posix()].append(path.name)
    assert {"worker/generation", "tests/unit"} <= modules.keys()
    assert {folder: len(names) for folder, names in modules.items() if len(names) > MAX_MODULES} == {}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph(*APPLICATION, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert imports["worker.app"] >= {"worker.process"}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules of a circle

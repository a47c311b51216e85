"""Every path and every module that the documentation names is there, and docs/architecture.md shows all rooms."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

_TOP = "lengthwise|api|worker|migrations|tests|docs|benchmarks|training|examples|deploy"
#: A path that begins with a folder of this repository. URLs and paths below other folders have something before it.
_PATH = re.compile(rf"(?<![\w./:-])(?:{_TOP})/[\w./-]*\w/?|(?<![\w./:-])(?:{_TOP})/(?=`)")
#: A file at the top, in backticks.
_FILE = re.compile(r"`(\w[\w.-]*\.(?:md|toml|yml)|Makefile|Dockerfile)`")
#: A module, or what is in it. An entry point has a colon before its attribute.
_DOTTED = re.compile(rf"(?<![\w./:@-])(?:{_TOP})(?:[.:][A-Za-z_]\w*)+(?![\w/-])")

#: What the recipes of CONTRIBUTING.md make.
MADE_BY_RECIPES = {
    "CONTRIBUTING.md": {
        "lengthwise/kinds/shout.py",
        "tests/integration/jobs/test_shout.py",
        "api/admin/queue.py",
        "tests/integration/access/test_queue.py",
        "docs/decisions/NNNN-what-was-decided.md",
    }
}
#: A file of the operator, and files of a model's folder.
NOT_OURS = {"models.toml", "manifest.json"}


def paths_of(page: str) -> set[str]:
    text = (ROOT / page).read_text("utf-8")
    return set(_PATH.findall(text)) | (set(_FILE.findall(text)) - NOT_OURS)


def modules_of(page: str) -> set[str]:
    found = _DOTTED.findall((ROOT / page).read_text("utf-8"))
    return {dotted for dotted in found if not dotted.endswith((".md", ".py"))}


def exists(path: str, page: str) -> bool:
    return (ROOT / path).exists() or ((ROOT / page).parent / path).exists()


def is_there(dotted: str) -> bool:
    """Whether it is a module, a name in one, or a group of entry points. Imports nothing: some modules need servers."""
    if dotted in PYPROJECT["project"]["entry-points"]:
        return True
    place, names = ROOT, re.split(r"[.:]", dotted)
    while names and (place / names[0]).is_dir():
        place /= names.pop(0)
    if names and (place / f"{names[0]}.py").is_file():
        place /= f"{names.pop(0)}.py"
    elif names:
        place /= "__init__.py"
    return not names or all(re.search(rf"\b{name}\b", place.read_text("utf-8")) for name in names)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_is_there(page: str) -> None:
    made = MADE_BY_RECIPES.get(page, set())
    named = paths_of(page)
    assert sorted(path for path in named - made if not exists(path, page)) == []
    assert sorted(made - named) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_module_is_there(page: str) -> None:
    made = {path.removesuffix(".py").replace("/", ".") for path in MADE_BY_RECIPES.get(page, set())}
    named = {dotted for dotted in modules_of(page) if not dotted.startswith(tuple(made) or ("\0",))}
    assert sorted(dotted for dotted in named if not is_there(dotted)) == []


def test_the_patterns_find_what_they_are_for() -> None:
    assert len(paths_of("docs/architecture.md")) > 60
    assert {"worker.app", "worker.engine.conformance"} <= modules_of("docs/decisions/0037-engines-step.md")
    assert is_there("worker.engine.protocol.Engine")
    assert not is_there("worker.engine.protocl")
    assert not is_there("worker.engine.protocol.Engin")
    assert not exists("worker/engine/protocl.py", "README.md")


@pytest.mark.parametrize(
    "parent", ["lengthwise", "api", "worker", "worker/engine", "worker/engine/transformer", "tests"]
)
def test_the_architecture_shows_every_room(parent: str) -> None:
    rooms = {f"{found.parent.relative_to(ROOT).as_posix()}/" for found in (ROOT / parent).glob("*/__init__.py")}
    shown = set(re.findall(r"^\| (.+?) \|", ARCHITECTURE, re.MULTILINE))
    assert rooms - {name for cell in shown for name in re.findall(r"`([^`]+)`", cell)} == set()


def test_the_architecture_shows_the_layers_that_are_enforced() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    enforced = {tuple(each["layers"]) for each in contracts if each["type"] == "layers"}
    bullets = re.findall(r"^- \*\*\w+\*\*: (`.+?)\.$", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    shown = {tuple(layer.strip().strip("`") for layer in re.split("→", bullet)) for bullet in bullets}
    assert shown == enforced

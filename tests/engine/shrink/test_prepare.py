"""``lengthwise model prepare``, from its command line to the folder it makes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lengthwise import settings
from lengthwise.cli import main as cli
from lengthwise.errors import ConfigurationError, LengthwiseError
from lengthwise.models import manifest
from lengthwise.models.catalog import DEMO_CATALOG, Catalog
from tests.engine import tiny
from tests.engine.conftest import Written
from tests.engine.decode.test_generation import run as answers
from worker.engine.transformer.engine import TorchEngine
from worker.prepare import comparison

EXAMPLES = Path(__file__).parents[3] / "examples"
#: For each demo model, the item and the parameters of a small sample.
HEAD_OF = {
    "demo-translate": ({"kind": "translate", "source": "zh", "target": "en"}, "translate.ndjson"),
    "demo-moderate": ({"kind": "moderate"}, "moderate.ndjson"),
}
N_ITEMS = 100

#: Runs the command and returns what it printed.
Prepare = Callable[..., str]


@pytest.fixture
def prepare() -> Prepare:
    """Raises the error that the command line would print as one line."""

    def invoke(*arguments: object) -> str:
        ran = CliRunner().invoke(cli.app, ["model", "prepare", *map(str, arguments)])
        if ran.exception is not None:
            raise ran.exception
        return ran.output

    return invoke


def sample_for(model: str, folder: Path, n_items: int = N_ITEMS) -> Path:
    head, name = HEAD_OF[model]
    lines = (EXAMPLES / name).read_text("utf-8").splitlines()[:n_items]
    path = folder / "sample.ndjson"
    path.write_text("\n".join([json.dumps(head), *lines]), "utf-8")
    return path


def tiny_sample(folder: Path) -> Path:
    """Prompts of one token each, as a tiny model's tokenizer knows only its own words."""
    path = folder / "sample.ndjson"
    texts = [tiny.text([token]) for token in range(10, 30)]
    lines = [{"kind": "generate", "max_new_tokens": 8}, *texts]
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return path


def report_of(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_bytes())


@pytest.mark.parametrize("model", sorted(HEAD_OF))
def test_int8_gives_ninety_nine_of_a_hundred_answers(model: str, prepare: Prepare, tmp_path: Path) -> None:
    printed = prepare(model, tmp_path / "small", "--sample", sample_for(model, tmp_path))
    found = report_of(tmp_path / "small")
    assert found["agreement"]["items"] == N_ITEMS
    assert found["agreement"]["identical"] >= 0.99
    if model == "demo-moderate":
        assert found["agreement"]["labels"] >= 0.99
        assert 0 < found["agreement"]["largest_difference"] < 0.1
    else:
        assert found["agreement"]["tokens"] >= 0.99
        assert 0.99 <= found["agreement"]["forced_top1"] <= 1
    assert (found["before"]["runs_as"], found["after"]["runs_as"]) == ("fp32, cpu", "int8, cpu")
    assert min(found["before"]["items_per_second"], found["after"]["items_per_second"]) > 0
    assert f"identical of {N_ITEMS} items" in printed


def test_a_prepared_folder_is_whole_and_its_manifest_holds(prepare: Prepare, written: Written, tmp_path: Path) -> None:
    _, source = written("llama")
    small = tmp_path / "models" / "small"
    prepare(source, small)
    assert [path.name for path in small.parent.iterdir()] == ["small"], "nothing half-made is left beside it"
    listed = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    assert {path.name for path in small.iterdir()} == listed | {"manifest.json", "report.json"}
    manifest.verify(small, listed)
    found = report_of(small)
    assert found["before"]["weights_bytes"] == (source / "model.safetensors").stat().st_size
    assert found["after"]["weights_bytes"] == (small / "model.safetensors").stat().st_size
    assert found["after"]["weights_bytes"] < 0.4 * found["before"]["weights_bytes"]
    assert answers(tiny.load(small, "int8"), tiny.requests()).keys() == set(range(7))


def test_not_quantized_it_is_the_source_bit_for_bit(prepare: Prepare, written: Written, tmp_path: Path) -> None:
    _, source = written("llama")
    prepare(source, tmp_path / "same", "--quantize", "none", "--sample", tiny_sample(tmp_path))
    found = report_of(tmp_path / "same")["agreement"]
    assert (found["identical"], found["tokens"], found["forced_top1"]) == (1, 1, 1)
    assert answers(tiny.load(tmp_path / "same"), tiny.requests()) == answers(tiny.load(source), tiny.requests())


@pytest.mark.parametrize("kind", ["bart", "llama"])
def test_what_pruning_costs_is_measured(kind: str, prepare: Prepare, written: Written, tmp_path: Path) -> None:
    _, source = written(kind)
    sample = tiny_sample(tmp_path)
    if kind == "bart":
        sample.write_text("\n".join(sample.read_text("utf-8").splitlines()[1:]), "utf-8")
    options = ["--quantize", "none", "--prune-layers", 1, "--sparsity", "2:4", "--sample", sample]
    printed = prepare(source, tmp_path / "small", *options)
    found = report_of(tmp_path / "small")
    stacks = {"bart": ["encoder", "decoder"], "llama": ["layers"]}[kind]
    assert found["layers"] == {stack: [0] for stack in stacks}
    assert (found["sparsity"], found["quantize"]) == ("2:4", "none")
    assert 0 <= found["agreement"]["identical"] < 1
    assert 0 <= found["agreement"]["forced_top1"] < 1
    assert found["after"]["weights_bytes"] < found["before"]["weights_bytes"]
    assert "next token, teacher-forced" in printed


def test_an_architecture_without_steps_of_ours_is_compared_by_its_answers(
    prepare: Prepare, written: Written, tmp_path: Path
) -> None:
    prepare(written("gpt2")[1], tmp_path / "small", "--sample", tiny_sample(tmp_path))
    found = report_of(tmp_path / "small")["agreement"]
    assert found["forced_top1"] is None
    assert 0 < found["tokens"] <= 1


@pytest.mark.parametrize("options", [(), ("--quantize", "none"), ("--prune-layers", "1", "--sparsity", "2:4")])
def test_preparing_twice_gives_the_same_bytes(
    options: tuple[str, ...], prepare: Prepare, written: Written, tmp_path: Path
) -> None:
    _, source = written("marian")
    (tmp_path / "sample.ndjson").write_text(json.dumps("w005 w006"), "utf-8")
    for name in "abcd":
        prepare(source, tmp_path / name, *options, "--sample", tmp_path / "sample.ndjson")
    made = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abcd"]
    for each in made:
        del each["report.json"]  # speeds differ
    assert all(each == made[0] for each in made)
    assert "model.safetensors" in made[0]


def test_what_is_printed_at_the_end_names_the_model_in_a_catalog(prepare: Prepare, tmp_path: Path) -> None:
    printed = prepare("demo-translate", tmp_path / "small one")
    path = tmp_path / "models.toml"
    path.write_text(printed[printed.index("[models.") :], "utf-8")
    known, made = Catalog.read(DEMO_CATALOG).models["demo-translate"], Catalog.read(path).models["small one"]
    same = {"translate", "moderate", "chat", "generate", "batch_tokens", "batch_rows", "max_new_tokens", "device"}
    assert made.model_dump(include=same) == known.model_dump(include=same)
    assert (made.quantization, made.folder) == ("int8", tmp_path / "small one")
    assert TorchEngine.load(made).capabilities().quantization == "int8"


def test_a_folder_that_the_catalog_names_is_spoken_to_as_it_says(prepare: Prepare, tmp_path: Path) -> None:
    folder = Catalog.read(DEMO_CATALOG).models["demo-translate"].folder
    printed = prepare(folder, tmp_path / "small")
    assert 'source_prefix = ">>{target}<<"' in printed


def test_failing_midway_leaves_nothing(
    prepare: Prepare, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = tiny_sample(tmp_path)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "teacher_forced_agreement", fail)
    with pytest.raises(SystemExit):
        prepare(written("llama")[1], tmp_path / "small", "--sample", sample)
    assert [path.name for path in tmp_path.iterdir()] == ["sample.ndjson"]


def test_a_model_that_is_not_what_its_manifest_says_is_refused_and_nothing_is_left(
    prepare: Prepare, llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tiny.edit_config(llama, num_hidden_layers=3)
    out = tmp_path_factory.mktemp("out")
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        prepare(llama, out / "small")
    (llama / "manifest.json").unlink()
    with pytest.raises(ConfigurationError, match="do not fit its config"):
        prepare(llama, out / "small")
    tiny.edit_config(llama, num_hidden_layers=2, auto_map={"AutoModel": "modeling.Evil"}, model_type="evil")
    with pytest.raises(ConfigurationError, match="own code is never run"):
        prepare(llama, out / "small")
    tiny.edit_config(llama, auto_map=None, model_type="llama", quantization_config={"quant_method": "gptq"})
    with pytest.raises(ConfigurationError, match="quantized by GPTQ"):
        prepare(llama, out / "small")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--prune-layers", "1"), "--sample: pruning costs accuracy"),
        (("--sparsity", "2:4"), "--sample: pruning costs accuracy"),
        (("--sparsity", "1:2"), "--sparsity: the only pattern is 2:4"),
        (("--quantize", "int3"), "--quantize: must be int8 or none"),
        (("--prune-layers", "encoder=1,encoder=2"), "--prune-layers: must be a number"),
        (("--prune-layers", "-1"), "--prune-layers: must be a number"),
        (("--prune-layers", ""), "--prune-layers: must be a number"),
        (("--prune-layers", "3", "--sample", "SAMPLE"), "cannot keep 3 layers: the model has 2"),
        (("--sample", "none.ndjson"), "none.ndjson cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(
    options: tuple[str, ...], message: str, prepare: Prepare, written: Written, tmp_path: Path
) -> None:
    sample = str(tiny_sample(tmp_path))
    with pytest.raises(ConfigurationError, match=message):
        prepare(written("llama")[1], tmp_path / "small", *(sample if each == "SAMPLE" else each for each in options))
    assert [path.name for path in tmp_path.iterdir()] == ["sample.ndjson"]


def test_a_target_in_use_is_left_alone(prepare: Prepare, written: Written, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(ConfigurationError, match="is not empty: name a new folder"):
        prepare(written("llama")[1], tmp_path)
    with pytest.raises(ConfigurationError, match="is there and is no folder"):
        prepare(written("llama")[1], tmp_path / "kept")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kept", "kept")]


def test_an_empty_target_is_filled(prepare: Prepare, written: Written, tmp_path: Path) -> None:
    prepare(written("llama")[1], tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing-of-this-name", "not in models.toml, and neither a folder, nor a .gguf file"),
        ("../elsewhere", "not in models.toml"),
        ("nobody/nothing", "at revision v1 is not on this machine as a whole"),
    ],
)
def test_a_source_that_is_not_here_is_refused_with_the_way_to_it(
    source: str, message: str, prepare: Prepare, tmp_path: Path
) -> None:
    with pytest.raises(LengthwiseError, match=message):
        prepare(source, tmp_path / "small", "--revision", "v1")


def test_a_model_of_another_engine_is_refused(
    prepare: Prepare, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models.toml"
    path.write_text(f'[models.fast]\npath = "{written("llama")[1]}"\nengine = "echo"\n[models.fast.generate]\n')
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    settings.get.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match="only those of torch are prepared"):
            prepare("fast", tmp_path / "small")
    finally:
        settings.get.cache_clear()


def test_a_model_without_a_tokenizer_is_refused(prepare: Prepare, llama: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(llama, bare, ignore=shutil.ignore_patterns("bare"))
    (bare / "tokenizer.json").unlink()
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json cannot be read"):  # its manifest lists it
        prepare(bare, tmp_path / "small")
    (bare / "manifest.json").unlink()
    with pytest.raises(ConfigurationError, match="has no tokenizer"):
        prepare(bare, tmp_path / "small")

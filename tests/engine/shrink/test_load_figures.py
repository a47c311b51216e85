"""What ``model prepare``, ``model add`` and ``model check`` measure of a loaded model, and where they write it."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from lengthwise.cli import main as cli
from lengthwise.models import manifest
from lengthwise.models.listing import load_report
from tests.engine import tiny
from tests.engine.conftest import Load, Written
from tests.engine.shrink.test_prepare import Prepare, prepare, report_of
from worker.engine.completions import completions
from worker.engine.protocol import Request
from worker.engine.transformer.engine import TorchEngine
from worker.prepare import measure

__all__ = ["prepare"]

#: Runs ``lengthwise model`` with these arguments and returns what it printed.
Model = Callable[..., str]


@pytest.fixture
def model(catalog: Path) -> Model:
    def invoke(*arguments: object) -> str:
        ran = CliRunner().invoke(cli.app, ["model", *map(str, arguments)], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    return invoke


@pytest.mark.parametrize("kind", ["llama", "marian", "bert", "embed-bert", "gpt2"])
def test_what_is_prepared_has_its_figures_in_its_report(
    kind: str, prepare: Prepare, written: Written, tmp_path: Path
) -> None:
    labels = ("--harmless", "LABEL_0") if kind == "bert" else ()
    printed = prepare(written(kind)[1], tmp_path / "small", *labels)
    found = load_report.read(tmp_path / "small")
    assert found is not None
    assert (found.device, found.threads) == ("cpu", 1)
    assert found.precision == ("fp32" if kind == "gpt2" else "int8")
    assert 0 < found.items_per_second <= found.tokens_per_second
    assert f"loaded: {found.line}\n" in printed
    assert not manifest.lists(tmp_path / "small", "report.json"), "speeds differ from run to run"


@pytest.mark.parametrize("kind", ["llama", "t5", "bert", "embed-roberta", "gpt2"])
def test_memory_is_that_of_all_tensors_in_the_form_in_which_they_are_held(kind: str, written: Written) -> None:
    folder = written(kind)[1]
    exact = TorchEngine.load(tiny.spec(folder))
    assert exact.capabilities().memory_bytes == exact.memory_bytes
    stored = (folder / "model.safetensors").stat().st_size
    assert 0.8 * stored < exact.memory_bytes < 1.5 * stored
    if kind != "gpt2":
        assert TorchEngine.load(tiny.spec(folder, "int8")).memory_bytes < 0.7 * exact.memory_bytes


@pytest.mark.parametrize(
    ("seconds", "rows"), [(0.0001, [1, 1, 2, 4, 8, 16, 32, 32, 32]), (0.1, [1, 1, 2, 4]), (9, [1, 1])]
)
def test_the_trial_of_a_slow_model_ends_with_a_smaller_batch(
    seconds: float, rows: list[int], load: Load, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, asked = [0.0], list[int]()

    def slow(_: TorchEngine, requests: Sequence[Request]) -> Iterator[object]:
        asked.append(len(requests))
        clock[0] += seconds * len(requests)
        return iter(())

    monkeypatch.setattr(measure, "completions", slow)
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    found = measure.figures(load("llama", "int8"), tiny.spec(written("llama")[1], "int8"))
    assert asked == rows
    assert found.items_per_second == pytest.approx(1 / seconds, rel=0.01, abs=0.01)


def test_the_fastest_of_the_largest_batches_counts(
    load: Load, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, took = [0.0], iter([0.2, 0.01, 0.01, 0.01, 0.01, 0.01, 0.5, 0.1, 0.4])

    def uneven(_: TorchEngine, requests: Sequence[Request]) -> Iterator[object]:
        clock[0] += next(took)
        return iter(())

    monkeypatch.setattr(measure, "completions", uneven)
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    found = measure.figures(load("llama", "int8"), tiny.spec(written("llama")[1], "int8"))
    assert found.items_per_second == 32 / 0.1


def test_a_batch_of_the_trial_is_no_larger_than_the_models_own(
    load: Load, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[int]()
    real = completions

    def counted(engine: TorchEngine, requests: Sequence[Request]) -> Iterator[object]:
        asked.append(len(requests))
        return real(engine, requests)

    monkeypatch.setattr(measure, "completions", counted)
    spec = tiny.spec(written("llama")[1], "int8").model_copy(update={"batch_rows": 3})
    measure.figures(load("llama", "int8"), spec)
    assert max(asked) <= 3


def test_what_is_added_is_listed_and_checking_it_renews_its_figures(
    model: Model, written: Written, catalog: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(written("llama")[1], tmp_path / "source")
    (source / "README.md").write_text("---\nlicense: other\nlicense_name: tiny\n---\n")
    (source / "LICENSE.md").write_text("Do as you like.")
    printed = model("add", source, "--as", "own")
    folder = tmp_path / "models" / "own"
    assert {"README.md", "LICENSE.md"} <= json.loads((folder / "manifest.json").read_bytes())["files"].keys()
    assert "licence: other (tiny)\n" in printed
    [row] = [line for line in map(str.strip, model("list").splitlines()) if line.startswith("own ")]
    assert "int8, cpu, 1 thread" in row
    assert "other (tiny)" in row
    old = report_of(folder)
    (folder / "report.json").write_text(json.dumps(old | {"load": None}))
    model("check", "own")
    assert report_of(folder) | {"load": None} == old | {"load": None}
    assert load_report.read(folder) is not None
    manifest.verify(folder)


def test_checking_somebody_elses_folder_writes_nothing_into_it(
    model: Model, written: Written, catalog: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(written("llama")[1], tmp_path / "source")
    catalog.write_text(f'[models.own]\npath = "{source}"\n[models.own.generate]\n')
    before = sorted(path.name for path in source.iterdir())
    assert "load and answer" in model("check", "own")
    assert sorted(path.name for path in source.iterdir()) == before

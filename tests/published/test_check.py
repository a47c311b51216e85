"""``lengthwise model check``: a whole model is right in every row; the first wrong thing ends the table, and the exit
status says it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lengthwise import settings
from lengthwise.cli.main import main
from lengthwise.models import manifest
from tests.engine import tiny
from tests.engine.importing_weights.published import changed
from tests.published.families.refused import CANARY, Code

TABLES = {
    "llama": "[models.m.generate]",
    "marian": '[models.m.translate]\npairs = [["zh", "en"]]',
    "distilbert": '[models.m.moderate]\nharmless = ["LABEL_0"]',
    "embed-bert": "[models.m.embed]",
}

#: Checks the model of the folder, and returns the exit status and the rows, their blanks joined.
Checked = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Checked:
    def call(folder: Path, table: str = TABLES["llama"]) -> tuple[int, list[str]]:
        catalog = tmp_path / "models.toml"
        catalog.write_text(f'[models.m]\npath = "{folder}"\ndevice = "cpu"\n{table}\n')
        monkeypatch.setenv("LENGTHWISE_MODELS", str(catalog))
        monkeypatch.setenv("COLUMNS", "1000")
        monkeypatch.setattr(sys, "argv", ["lengthwise", "model", "check", "m"])
        settings.get.cache_clear()
        with pytest.raises(SystemExit) as ended:
            main()
        settings.get.cache_clear()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert "\x1b[2J" not in out + err
        assert isinstance(ended.value.code, int)
        return ended.value.code, [" ".join(line.split()) for line in out.splitlines() if line.strip()[:1] in ("✓", "✗")]

    return call


def written(kind: str, folder: Path) -> Path:
    """A model whose files may be changed."""
    tiny.write(kind, folder)
    (folder / manifest.MANIFEST).unlink()
    return folder


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_a_whole_model_is_right_in_every_row(kind: str, checked: Checked, tmp_path: Path) -> None:
    tiny.write(kind, tmp_path / "m")
    status, rows = checked(tmp_path / "m", TABLES[kind])
    assert status == 0
    assert all(row.startswith("✓ ") for row in rows)
    looked_at = " ".join(rows)
    for what in ("folder", "config.json", "tokenizer", "weights", "kinds", "load and answer"):
        assert f"✓ {what} " in looked_at
    assert ("✓ labels " in looked_at, "✓ pooling " in looked_at) == (kind == "distilbert", kind == "embed-bert")


def _shortened(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _with_nan(folder: Path) -> None:
    changed(folder, lambda state: state["model.norm.weight"].fill_(float("nan")))


def _with_infinity(folder: Path) -> None:
    changed(folder, lambda state: state["model.layers.1.mlp.up_proj.weight"][3, 5].fill_(float("inf")))


def _without_a_tensor(folder: Path) -> None:
    changed(folder, lambda state: state.pop("model.norm.weight"))


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": Code()}, folder / "pytorch_model.bin")


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _with_text(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        (_without("tokenizer.json"), "tokenizer", "tokenizer.json"),
        (_with_text("tokenizer.json", "../other/tokenizer.json"), "tokenizer", "tokenizer.json"),
        (lambda folder: tiny.edit_config(folder, vocab_size=100), "tokenizer", "does not fit the model"),
        (_with_text("config.json", "{"), "", "config.json"),
        (_without("model.safetensors"), "weights", "neither model.safetensors nor"),
        (_with_text("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"), "weights", "cannot be read"),
        (_shortened, "weights", "cannot be read"),
        (_with_nan, "weights", "model.norm.weight has values that are NaN or infinite"),
        (_with_infinity, "weights", "model.layers.1.mlp.up_proj.weight has values that are NaN or infinite"),
        (_pickled, "weights", "pickled weights, which can run code"),
        (_without_a_tensor, "", "model.norm.weight"),
    ],
)
def test_the_first_wrong_thing_ends_the_table(
    change: Callable[[Path], None], what: str, said: str, checked: Checked, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    folder = written("llama", tmp_path / "m")
    change(folder)
    status, [*before, last] = checked(folder)
    assert status == 2
    assert all(row.startswith("✓ ") for row in before)
    assert last.startswith(f"✗ {what}") and said in last
    assert not Path(CANARY).exists()


def test_a_folder_that_is_gone_is_the_first_wrong_thing(checked: Checked, tmp_path: Path) -> None:
    status, [row] = checked(tmp_path / "gone")
    assert status == 2
    assert row.startswith("✗ folder ") and "does not exist" in row


@pytest.mark.parametrize(
    ("name", "said"),
    [("openai/whisper-tiny", "sound"), ("google/vit-base-patch16-224", "images"), ("dslim/bert-base-NER", "words")],
)
def test_a_model_of_another_kind_is_named(
    name: str, said: str, checked: Checked, published: Callable[[str], Path]
) -> None:
    status, rows = checked(published(name))
    assert status == 2
    assert rows[-1].startswith("✗ config.json ") and said in rows[-1]


@pytest.mark.parametrize(
    ("label", "is_right"), [("[red]bad[/red]", True), ("[/]", True), ("[link=x]", True), ("\x1b[2Jbad", False)]
)
def test_markup_in_labels_stays_text(label: str, is_right: bool, checked: Checked, tmp_path: Path) -> None:
    folder = written("bert", tmp_path / "m")
    tiny.edit_config(folder, id2label={"0": label, "1": "worse", "2": "ok"}, label2id={label: 0, "worse": 1, "ok": 2})
    status, rows = checked(folder, '[models.m.moderate]\nharmless = ["ok"]')
    assert status == (0 if is_right else 2)
    assert any(label in row for row in rows) is is_right


@pytest.mark.parametrize("has_file", [True, False])
def test_a_model_that_is_not_named_is_said_in_one_line(
    has_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "models.toml"
    if has_file:
        catalog.write_text(f"[models.m]\npath = {json.dumps(str(tmp_path))}\n[models.m.generate]\n")
    monkeypatch.setenv("LENGTHWISE_MODELS", str(catalog))
    monkeypatch.setattr(sys, "argv", ["lengthwise", "model", "check", "nobody\x1b[2J"])
    settings.get.cache_clear()
    with pytest.raises(SystemExit) as ended:
        main()
    settings.get.cache_clear()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith("lengthwise: ") and line.isprintable() and str(catalog) in line

"""``lengthwise model prepare`` of models that give vectors or labels, and of those that nothing could serve."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.models import manifest
from lengthwise.models.catalog import Catalog
from tests.engine import tiny
from tests.engine.conftest import Written
from tests.engine.decode.test_generation import run
from tests.engine.shrink.test_prepare import Prepare, prepare, report_of
from worker.engine.transformer.shrink.agreement import vector_agreement

__all__ = ["prepare"]

#: The files of sentence-transformers.
FILES = {
    "modules.json": [
        {"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling", "Normalize")
    ],
    "1_Pooling/config.json": {"pooling_mode_cls_token": True},
    "sentence_bert_config.json": {"max_seq_length": 128},
    "config_sentence_transformers.json": {"prompts": {"query": "query: "}},
}


@pytest.fixture
def embedder(written: Written, tmp_path: Path) -> Path:
    """A folder whose vectors are the first token's, of length 1."""
    folder = shutil.copytree(written("embed-bert")[1], tmp_path / "source")
    (folder / manifest.MANIFEST).unlink()
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.ndjson"
    path.write_text("\n".join(json.dumps(tiny.text([token, token + 1])) for token in range(5, 45)), "utf-8")
    return path


def vectors(folder: Path, quantization: str) -> torch.Tensor:
    found = run(tiny.load(folder, quantization, "embed"), tiny.requests())
    return torch.tensor([found[number].vector for number in sorted(found)])


def test_an_embedder_keeps_its_pooling(prepare: Prepare, embedder: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    prepare(embedder, small)
    for name, content in FILES.items():
        assert json.loads((small / name).read_bytes()) == content
    manifest.verify(small, FILES)
    after = vectors(small, "int8")
    assert torch.allclose(after.norm(dim=1), torch.ones(len(after)), atol=1e-5)
    assert torch.cosine_similarity(vectors(embedder, "none"), after).min() > 0.97


def test_the_report_compares_vectors(prepare: Prepare, embedder: Path, sample: Path, tmp_path: Path) -> None:
    printed = prepare(embedder, tmp_path / "small", "--sample", sample)
    found = report_of(tmp_path / "small")["agreement"]
    assert 0.95 < found["least_cosine"] <= found["mean_cosine"] < 1
    assert 0.5 <= found["neighbours"] <= 1
    assert (found["items"], found["identical"], found["labels"]) == (40, None, None)
    assert "cosine, least" in printed
    assert "same nearest neighbour" in printed


def test_unchanged_vectors_agree_whole(prepare: Prepare, embedder: Path, sample: Path, tmp_path: Path) -> None:
    prepare(embedder, tmp_path / "same", "--quantize", "none", "--sample", sample)
    found = report_of(tmp_path / "same")["agreement"]
    assert found["neighbours"] == 1
    assert (found["least_cosine"], found["mean_cosine"]) == pytest.approx((1, 1), abs=1e-6)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]], (1, 1, 3)),
        ([[1.0, 0.0], [-2.0, -0.1], [0.0, 1.0]], (1 / 3, -1, 0)),
    ],
)
def test_vectors_are_compared_by_direction_and_neighbours(
    after: list[list[float]], expected: tuple[float, float, int]
) -> None:
    found = vector_agreement([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]], after)
    assert (found.mean_cosine, found.least_cosine) == pytest.approx(expected[:2], abs=1e-6)
    assert (found.same_neighbours, found.total) == (expected[2], 3)


def test_a_single_vector_has_no_neighbours() -> None:
    assert vector_agreement([[3.0, 4.0]], [[3.0, 4.0]]).total == 0


def labelled(written: Written, folder: Path, *labels: str, **config: Any) -> Path:
    shutil.copytree(written("bert")[1], folder)
    (folder / manifest.MANIFEST).unlink()
    tiny.edit_config(
        folder, id2label=dict(enumerate(labels)), label2id={name: n for n, name in enumerate(labels)}, **config
    )
    return folder


def test_harmless_labels_are_proposed_and_measured_without(
    prepare: Prepare, written: Written, sample: Path, tmp_path: Path
) -> None:
    source = labelled(written, tmp_path / "source", "toxic", "neutral", "hate")
    printed = prepare(source, tmp_path / "small", "--sample", sample)
    table = printed[printed.index("[models.") :]
    assert 'harmless = ["neutral"]' in table
    assert "# Proposed from the model's files" in table
    path = tmp_path / "models.toml"
    path.write_text(table, "utf-8")
    made = Catalog.read(path).models["small"]
    assert made.kind_options["moderate"].ignored_labels == ("neutral",)
    assert report_of(tmp_path / "small")["agreement"]["labels"] >= 0.9


def test_what_serving_would_refuse_is_refused_before_anything_is_written(
    prepare: Prepare, written: Written, embedder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "small"
    with pytest.raises(ModelUnusable, match="LABEL_0, LABEL_1, LABEL_2"):
        prepare(written("bert")[1], out)
    with pytest.raises(ModelUnusable, match="inference"):
        prepare(labelled(written, tmp_path / "nli", "entailment", "neutral", "contradiction"), out)
    with pytest.raises(ConfigurationError, match="token classifier"):
        prepare(written("token-bert")[1], out)
    with pytest.raises((ConfigurationError, ModelUnusable), match="fills in masked words"):
        prepare(written("masked-roberta")[1], out)
    (embedder / "1_Pooling" / "config.json").write_text('{"pooling_mode_middle_token": true}')
    with pytest.raises(ConfigurationError, match="asks for something other than one of mean"):
        prepare(embedder, out)
    assert not out.parent.exists()

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest
from lengthwise.models.pooling import Pooling
from tests.engine import tiny
from tests.engine.conftest import Load, Written, same_bits
from tests.engine.decode.test_generation import run
from worker.engine.protocol import Architecture, Completion, FinishReason
from worker.engine.transformer.decode.encoder_only import decimals
from worker.engine.transformer.weights.pooling import VectorHead

KINDS = sorted(tiny.EMBEDDERS)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """An embedder's folder without a manifest, for a test to damage."""
    tiny.write("embed-bert", tmp_path)
    (tmp_path / manifest.MANIFEST).unlink()
    return tmp_path


def pool(folder: Path, *types: str, **config: Any) -> None:
    """Writes the files of sentence-transformers."""
    modules = [{"type": f"sentence_transformers.models.{name}", "path": ""} for name in ("Transformer", *types)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 64} | config))


def vectors(found: dict[int, Completion]) -> torch.Tensor:
    return torch.tensor([found[number].vector for number in sorted(found)])


@pytest.mark.parametrize("kind", sorted(tiny.EMBEDDERS | tiny.UNFITTING_EMBEDDERS))
@torch.inference_mode()
def test_a_vector_is_the_mean_of_those_of_transformers(kind: str, written: Written, load: Load) -> None:
    model, _ = written(kind)
    expected = [model(torch.tensor([request.tokens])).last_hidden_state[0].mean(dim=0) for request in tiny.requests()]
    found = run(load(kind, "none"), tiny.requests())
    assert torch.allclose(vectors(found), torch.stack(expected), rtol=0, atol=1e-5)
    assert {(completion.tokens, completion.finish_reason) for completion in found.values()} == {
        ((), FinishReason.VECTOR)
    }


@pytest.mark.parametrize("kind", KINDS)
@same_bits
def test_a_vector_is_the_same_bits_alone_and_in_a_batch(kind: str, precision: str, load: Load) -> None:
    engine, requests = load(kind, precision), tiny.requests(lengths=tuple(range(3, 23)))
    assert engine.capabilities().quantization == precision
    together = run(engine, requests)
    assert len({completion.vector for completion in together.values()}) == len(requests)
    assert together == {request.id: run(engine, [request])[request.id] for request in requests}


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_in_int8_point_where_the_exact_ones_do(kind: str, load: Load) -> None:
    exact, int8 = (vectors(run(load(kind, precision), tiny.requests())) for precision in ("none", "int8"))
    assert torch.cosine_similarity(exact, int8).min() > 0.97


@torch.inference_mode()
def test_the_files_of_sentence_transformers_say_how_it_is_pooled(bert: Path) -> None:
    pool(bert, "Pooling", "Normalize", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    engine = tiny.load(bert, kind="embed")
    assert engine.capabilities().architecture is Architecture.EMBEDDER
    model = tiny.hub.BertModel.from_pretrained(bert).eval()
    first = [model(torch.tensor([request.tokens])).last_hidden_state[0, 0] for request in tiny.requests()]
    expected = torch.nn.functional.normalize(torch.stack(first))
    assert torch.allclose(vectors(run(engine, tiny.requests())), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("types", "config", "expected"),
    [
        (("Pooling",), {"pooling_mode_mean_tokens": True, "include_prompt": True}, Pooling("mean", False)),
        (("Pooling", "Normalize"), {"pooling_mode": "cls"}, Pooling("cls", True)),
    ],
)
def test_both_forms_of_a_pooling_are_read(
    tmp_path: Path, types: tuple[str, ...], config: dict[str, Any], expected: Pooling
) -> None:
    pool(tmp_path, *types, **config)
    assert Pooling.read(tmp_path) == expected


def test_an_empty_batch_has_no_vectors(load: Load) -> None:
    assert run(load("embed-bert", "none"), []) == {}


def test_a_pooled_vector_is_of_its_own_tokens() -> None:
    hidden = torch.tensor([[3.0, 0.0], [5.0, 8.0]])
    assert VectorHead().vector(hidden).tolist() == [4.0, 4.0]
    assert VectorHead("cls").vector(hidden).tolist() == [3.0, 0.0]
    assert VectorHead("cls", normalizes=True).vector(hidden).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("types", "config", "named"),
    [
        (("Pooling", "Dense"), {"pooling_mode_mean_tokens": True}, r"modules\.json"),
        (("Pooling",), {"pooling_mode_middle_token": True}, "one of mean, cls"),
        (("Pooling",), {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "one of mean, cls"),
        (("Pooling",), {"pooling_mode": ["lasttoken"]}, "one of mean, cls"),
        (("Pooling",), {}, "one of mean, cls"),
    ],
)
def test_another_pooling_is_refused(tmp_path: Path, types: tuple[str, ...], config: dict[str, Any], named: str) -> None:
    pool(tmp_path, *types, **config)
    with pytest.raises(ConfigurationError, match=named):
        Pooling.read(tmp_path)


@pytest.mark.parametrize("written", [b"{", b"[1]", b"{}"])
def test_broken_files_of_a_pooling_are_refused(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "modules.json").write_bytes(written)
    with pytest.raises(ConfigurationError, match=r"modules\.json"):
        Pooling.read(tmp_path)


def test_files_of_a_pooling_are_checked_against_the_manifest(bert: Path) -> None:
    pool(bert, "Pooling", pooling_mode_mean_tokens=True)
    manifest.write(bert, [str(path.relative_to(bert)) for path in sorted(bert.rglob("*")) if path.is_file()])
    tiny.load(bert, kind="embed")
    pool(bert, "Pooling", pooling_mode_mean_token=True)
    with pytest.raises(ConfigurationError, match="1_Pooling"):
        tiny.load(bert, kind="embed")


def test_a_folder_may_lack_the_pooler_and_hold_old_position_ids(bert: Path) -> None:
    whole = run(tiny.load(bert, kind="embed"), tiny.requests())
    state = load_file(bert / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith("pooler.")}
    assert len(kept) == len(state) - 2
    kept["embeddings.position_ids"] = torch.arange(128)[None]
    save_file(kept, bert / "model.safetensors", {"format": "pt"})
    assert run(tiny.load(bert, kind="embed"), tiny.requests()) == whole


@pytest.mark.parametrize(("model", "kind"), [("embed-bert", "generate"), ("llama", "embed"), ("bert", "embed")])
def test_a_model_that_cannot_serve_a_kind_is_refused(model: str, kind: str, written: Written) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot serve {kind}"):
        tiny.load(written(model)[1], kind=kind)


def test_numbers_are_as_short_as_their_precision() -> None:
    assert decimals(torch.tensor([[0.1, -0.25, 0.0, 1234.5]])) == [[0.1, -0.25, 0.0, 1234.5]]
    drawn = torch.randn(20, 64, generator=torch.Generator().manual_seed(1)) * torch.logspace(-10, 8, 64)
    found = decimals(drawn)
    assert torch.equal(torch.tensor(found), drawn)
    written = [number for row in found for number in row]
    assert max(len(repr(abs(number)).partition("e")[0].replace(".", "").strip("0")) for number in written) <= 9

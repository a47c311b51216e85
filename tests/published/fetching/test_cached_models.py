"""Models that ``models.toml`` names by ``hub``: what ``lengthwise model add`` fetched of a repository is enough to
serve it, and what is missing of it is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lengthwise.errors import ModelUnusable
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.usable import unusable
from tests.published.loopback.hub import Hub
from tests.published.small import WEIGHTS
from worker.engine.transformer.engine import TorchEngine
from worker.importing.fetch import fetch

CHAT, EMBEDDER, SHARDED = "Qwen/Qwen3-0.6B", "sentence-transformers/all-MiniLM-L6-v2", "HuggingFaceTB/SmolLM3-3B"

#: Fetches a repository as ``lengthwise model add`` does, and returns its folder in the cache.
Fetched = Callable[[str], Path]


@pytest.fixture
def fetched(model_hub: Hub, published: Callable[[str], Path], catalog: Path) -> Fetched:
    def call(name: str) -> Path:
        model_hub.serve(name, published(name))
        folder = fetch(name).folder
        model_hub.is_down = True
        return folder

    return call


def served(name: str, kind: str, revision: str = "main") -> ModelSpec:
    return ModelSpec.from_table("m", {"hub": name, "revision": revision, "device": "cpu", kind: {}})


def refusal(name: str, kind: str, *, is_local: bool = True) -> ModelUnusable:
    found = unusable(served(name, kind), is_local=is_local)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "kind"), [(CHAT, "chat"), (EMBEDDER, "embed"), (SHARDED, "chat")])
@pytest.mark.parametrize("is_named_by_commit", [True, False])
def test_what_was_fetched_serves_although_it_is_not_the_whole_repository(
    name: str, kind: str, is_named_by_commit: bool, fetched: Fetched, published: Callable[[str], Path]
) -> None:
    folder = fetched(name)
    spec = served(name, kind, folder.name if is_named_by_commit else "main")
    assert unusable(spec, is_local=True) is None
    assert (spec.folder, spec.made_by) == (folder, folder.name)
    assert TorchEngine.load(spec).memory_bytes > 0
    n_files = [sum(path.is_file() for path in each.rglob("*")) for each in (folder, published(name))]
    assert n_files[0] < n_files[1] or name != EMBEDDER, "of one of them, files for other programs stay on the hub"


@pytest.mark.parametrize(
    ("name", "kind", "lost"),
    [
        (CHAT, "chat", "config.json"),
        (CHAT, "chat", "generation_config.json"),
        (CHAT, "chat", "tokenizer.json"),
        (CHAT, "chat", "tokenizer_config.json"),
        (EMBEDDER, "embed", "modules.json"),
        (EMBEDDER, "embed", "1_Pooling/config.json"),
        (EMBEDDER, "embed", "sentence_bert_config.json"),
        (SHARDED, "chat", "model.safetensors.index.json"),
    ],
)
@pytest.mark.parametrize("is_local", [True, False])
def test_a_small_file_that_did_not_arrive_is_not_overlooked(
    name: str, kind: str, lost: str, is_local: bool, fetched: Fetched
) -> None:
    (fetched(name) / lost).unlink()
    found = refusal(name, kind, is_local=is_local)
    assert (found.code, found.remedy) == ("not_fetched", f"hf download {name} --revision main")


@pytest.mark.parametrize(
    ("name", "kind", "lost"),
    [(CHAT, "chat", WEIGHTS), (EMBEDDER, "embed", WEIGHTS), (SHARDED, "chat", "model-00002-of-00003.safetensors")],
)
def test_weights_that_did_not_arrive_are_missed_where_workers_run(
    name: str, kind: str, lost: str, fetched: Fetched
) -> None:
    (fetched(name) / lost).unlink()
    found = refusal(name, kind)
    assert (found.code, found.remedy) == ("weights_missing", f"hf download {name} --revision main")
    assert lost in found.reason
    assert unusable(served(name, kind), is_local=False) is None


@pytest.mark.parametrize("name", ["a/b/c", "../own", "own model", "https://hub.example/a/b", "\x1b[2Ja/b"])
def test_a_hub_that_is_no_hub_id_is_named(name: str) -> None:
    found = refusal(name, "chat")
    assert found.code == "not_fetched"
    assert found.reason.endswith(" is no hub id") and found.reason.isprintable()
    assert found.remedy.startswith("correct hub in models.toml")

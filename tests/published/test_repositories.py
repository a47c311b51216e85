"""The repositories: they have the published forms, transformers loads them, and their answers tell mistakes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.published import reference, repositories
from tests.published.families.refused import CANARY
from tests.published.forms import texts
from tests.published.published import Published
from tests.published.repositories import PUBLISHED

LOADING = [name for name, published in PUBLISHED.items() if published.loads]
#: A repository of each form of tokenizer and weights.
OF_EACH_FORM = (
    "Helsinki-NLP/opus-mt-zh-en", "facebook/nllb-200-distilled-600M", "google/gemma-3-4b-it", "Qwen/Qwen3-0.6B-FP8",
    "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "openai/gpt-oss-20b", "BAAI/bge-m3", "KoalaAI/Text-Moderation",
    "unsloth/Llama-3.2-1B-Instruct-bnb-4bit",
)  # fmt: skip

Build = Callable[[str], Path]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def answers(published: Published, folder: Path, base: Path | None) -> list[Any]:
    """What the model answers to each text, as transformers says."""
    given = texts.INPUTS[published.direction.inputs if published.direction else "en"]
    kind = published.kinds[0]
    if kind == "translate":
        return reference.translated(published, folder, given, 8)
    if kind == "chat":
        asked = [[{"role": "user", "content": text}] for text in given]
        return reference.answered(published, folder, asked, 8, base)
    if kind == "generate":
        return reference.continued(published, folder, given, 8)
    if kind == "moderate":
        return reference.scores(published, folder, given)
    return reference.vectors(published, folder, given)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_table_has_every_sort_of_repository() -> None:
    served = Counter(published.kinds[0] for published in PUBLISHED.values() if published.kinds)
    assert sum(served.values()) >= 44
    assert served["translate"] >= 10 and served["chat"] >= 20 and served["embed"] >= 8 and served["moderate"] >= 6
    refused = [published for published in PUBLISHED.values() if not published.kinds]
    assert len(refused) >= 6
    assert all(published.refused_for for published in refused)
    assert all(published.base is None or published.base in PUBLISHED for published in PUBLISHED.values())


@pytest.mark.parametrize("name", [name for name in LOADING if PUBLISHED[name].kinds])
def test_transformers_answers_with_it(name: str, published: Build) -> None:
    repository = PUBLISHED[name]
    found = answers(repository, published(name), published(repository.base) if repository.base else None)
    assert len({str(answer) for answer in found}) > 1, "its answers are the same for every text"


@pytest.mark.parametrize("name", OF_EACH_FORM)
def test_a_build_gives_the_same_bytes_each_time(name: str, published: Build, tmp_path: Path) -> None:
    first, second = published(name), repositories.build(name, tmp_path / "again")
    assert files(first) == files(second)
    assert [file for file in files(first) if (first / file).read_bytes() != (second / file).read_bytes()] == []


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("Helsinki-NLP/opus-mt-zh-en", {"source.spm", "target.spm", "vocab.json", "pytorch_model.bin"}),
        ("facebook/m2m100_418M",
         {"sentencepiece.bpe.model", "vocab.json", "special_tokens_map.json", "pytorch_model.bin"}),
        ("google/mt5-small", {"spiece.model", "special_tokens_map.json", "pytorch_model.bin"}),
        ("unitary/toxic-bert", {"vocab.txt", "pytorch_model.bin"}),
        ("HuggingFaceTB/SmolLM3-3B", {"tokenizer.json", "chat_template.jinja", "model.safetensors.index.json",
                                      *(f"model-{shard:05d}-of-00003.safetensors" for shard in (1, 2, 3))}),
    ],
)  # fmt: skip
def test_its_files_are_those_that_are_published(name: str, own: set[str], published: Build) -> None:
    common = {"config.json", "generation_config.json", "tokenizer_config.json", "README.md", ".gitattributes"}
    assert files(published(name)) - common == own


@pytest.mark.parametrize(
    ("name", "missing", "unexpected"),
    [
        ("cardiffnlp/twitter-roberta-base-sentiment-latest", set(),
         {"roberta.pooler.dense.weight", "roberta.pooler.dense.bias"}),
        ("example/layer-missing", {f"bert.encoder.layer.0.output.{rest}" for rest in (
            "dense.weight", "dense.bias", "LayerNorm.weight", "LayerNorm.bias")}, set()),
        ("unitary/toxic-bert", set(), set()),
    ],
)  # fmt: skip
def test_weights_have_more_or_less_than_the_model(
    name: str, missing: set[str], unexpected: set[str], published: Build
) -> None:
    _, report = reference.loaded(PUBLISHED[name], published(name), "AutoModelForSequenceClassification")
    assert (set(report["missing_keys"]), set(report["unexpected_keys"])) == (missing, unexpected)


@pytest.mark.parametrize("name", [name for name in LOADING if "Helsinki" in name or "m2m100" in name])
def test_these_tokenizers_have_no_fast_form(name: str, published: Build) -> None:
    assert not reference.tokenizer(PUBLISHED[name], published(name)).is_fast


def test_the_pickle_with_code_is_one(published: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = published("example/pickle-with-code") / "pytorch_model.bin"
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)
    assert not Path(CANARY).exists()
    torch.load(path, weights_only=False)  # our own bytes
    assert Path(CANARY).exists()

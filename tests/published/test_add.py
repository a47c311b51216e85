"""``lengthwise model add``: every public repository is added from the hub and answers as transformers does, or is
refused by one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.kinds.translate import TranslateOptions
from lengthwise.models.catalog import Catalog, ModelSpec
from tests.published import repositories, verdict
from tests.published.hub import Hub
from tests.published.published import Published
from worker.engine.transformer.shrink.prepare import Recipe
from worker.prepare.add import add

#: What does not answer as transformers does yet, and why as far as it is known.
UNEQUAL = {
    "facebook/m2m100_418M": "its SentencePiece model is BPE, from which no tokenizer is built",
    "facebook/mbart-large-50-many-to-many-mmt": "the prompt of a text with blanks at its ends",
    "google/flan-t5-base": "it names no languages, so that no translation is proposed",
    "google/mt5-small": "it names no languages, so that no translation is proposed",
    "Qwen/Qwen3-0.6B-FP8": "one answer of four, after the weights became bf16",
    "BAAI/bge-small-en-v1.5": "vectors differ by a little more than 1e-6",
    "Snowflake/snowflake-arctic-embed-xs": "vectors differ by a little more than 1e-6",
}
#: One of each form is added in every run; ``make test-models`` adds them all.
ALWAYS = {
    *("Helsinki-NLP/opus-mt-zh-en", "Helsinki-NLP/opus-mt-tc-big-en-de", "facebook/nllb-200-distilled-600M"),
    *("google/madlad400-3b-mt", "Qwen/Qwen3-0.6B", "google/gemma-3-4b-it", "openai/gpt-oss-20b"),
    *("sentence-transformers/all-MiniLM-L6-v2", "google/embeddinggemma-300m", "unitary/toxic-bert"),
}
SERVED = [each for each in repositories.PUBLISHED.values() if each.kinds]
REFUSED = [each for each in repositories.PUBLISHED.values() if not each.kinds]

Added = Callable[[Published], ModelSpec]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    found = [] if name in ALWAYS else [pytest.mark.slow]
    return [*found, pytest.mark.xfail(reason=UNEQUAL[name], strict=True)] if name in UNEQUAL else found


@pytest.fixture
def added(model_hub: Hub, published: Callable[[str], Path], catalog: Path) -> Added:
    """Adds a repository from the hub, in fp32, and returns the model that ``models.toml`` names then."""

    def call(wanted: Published) -> ModelSpec:
        for name in filter(None, (wanted.name, wanted.base)):
            model_hub.serve(name, published(name))
        if wanted.base:
            snapshot_download(wanted.base)
        origin = str(published(wanted.name) / wanted.gguf) if wanted.gguf else wanted.name
        add(origin, name="model", folder=None, revision=None, recipe=Recipe(quantize="none"), sample=None, is_dry=False)
        return Catalog.read(catalog).models["model"]

    return call


@pytest.mark.parametrize(
    "wanted",
    [pytest.param(each, id=each.name, marks=_marks(each.name)) for each in SERVED],
)
def test_what_is_added_answers_as_transformers_does(
    added: Added, published: Callable[[str], Path], wanted: Published
) -> None:
    spec = added(wanted)
    kind = next(each for each in wanted.kinds if each in spec.kinds)
    spec = spec.model_copy(update={"max_new_tokens": verdict.NEW_TOKENS, "device": "cpu"})
    base = published(wanted.base) if wanted.base else None
    assert verdict.differences(wanted, published(wanted.name), base, kind, spec, languages(wanted, spec)) == []


def languages(wanted: Published, spec: ModelSpec) -> tuple[str, str]:
    """The pair of the table that the repository's direction is."""
    options = spec.kind_options.get("translate")
    if not isinstance(options, TranslateOptions) or wanted.direction is None:
        return ("", "")
    direction, codes = wanted.direction, options.codes
    told = [
        (source, target)
        for source, target in options.pairs
        if codes.get(target, target) in (direction.target, *direction.text_prefix.strip("<>: 2").split())
        and (codes.get(source, source) == direction.source or not direction.needs_codes)
    ]
    return told[0] if told else options.pairs[0]


@pytest.mark.parametrize("wanted", REFUSED, ids=lambda each: each.name)
def test_what_cannot_be_served_is_refused_by_one_line_and_leaves_nothing(
    added: Added, tmp_path: Path, wanted: Published
) -> None:
    with pytest.raises((ConfigurationError, ModelUnusable)) as refusal:
        added(wanted)
    assert wanted.refused_for.lower() in str(refusal.value).lower()
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "models.toml").exists()
    assert list((tmp_path / "models").glob("*")) == []

"""``lengthwise model add``: every public repository is added from the hub and answers as transformers does, or is
refused by one line."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.kinds.translate import TranslateOptions
from lengthwise.models.architecture import class_name
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.published import licence
from tests.published import repositories, verdict
from tests.published.conftest import Publish
from tests.published.loopback.hub import TOKEN
from tests.published.pages import page
from tests.published.published import Published
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.shrink.prepare import Recipe
from worker.prepare.add import add

#: One of each form is added in every run; ``make test-models`` adds them all.
ALWAYS = {
    *("Helsinki-NLP/opus-mt-zh-en", "Helsinki-NLP/opus-mt-tc-big-gmw-gmw", "facebook/nllb-200-distilled-600M"),
    *("google/madlad400-3b-mt", "Qwen/Qwen3-0.6B", "google/gemma-3-4b-it", "openai/gpt-oss-20b"),
    *("sentence-transformers/all-MiniLM-L6-v2", "google/embeddinggemma-300m", "unitary/toxic-bert"),
}
SERVED = [each for each in repositories.PUBLISHED.values() if each.kinds]
REFUSED = [each for each in repositories.PUBLISHED.values() if not each.kinds]

Added = Callable[[Published], ModelSpec]
Tell = Callable[..., None]


@pytest.fixture
def added(catalog: Path, publish: Publish, published: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Added:
    """Adds a repository from the hub, in fp32, and returns the model that ``models.toml`` names then."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    def call(wanted: Published) -> ModelSpec:
        for name in filter(None, (wanted.name, wanted.base)):
            publish(name)
        if wanted.base:
            snapshot_download(wanted.base)
        origin = str(published(wanted.name) / wanted.gguf) if wanted.gguf else wanted.name
        add(origin, name="model", folder=None, revision=None, recipe=Recipe(quantize="none"), sample=None, is_dry=False)
        return Catalog.read(catalog).models["model"]

    return call


@pytest.fixture
def tell(request: pytest.FixtureRequest, published: Callable[[str], Path]) -> Tell:
    """Tells the page of the run what was found of a repository: first what it is, then fields of ``page.PageRow``."""

    def call(wanted: Published, **found: str) -> None:
        known = {"repository": wanted.name, "should_serve": (*wanted.kinds, "")[0]}
        known |= {"n_repositories": str(len(repositories.PUBLISHED))} | page.form(published(wanted.name))
        request.node.user_properties.extend((known | found).items())

    return call


def test_the_list_names_repositories_of_the_fixture() -> None:
    assert {each.name for each in SERVED} >= ALWAYS


@pytest.mark.parametrize(
    "wanted",
    [pytest.param(each, id=each.name, marks=[] if each.name in ALWAYS else pytest.mark.slow) for each in SERVED],
)
def test_what_is_added_answers_as_transformers_does(
    added: Added, published: Callable[[str], Path], wanted: Published, tell: Tell
) -> None:
    spec = added(wanted)
    assert set(spec.kinds) == set(wanted.kinds)
    kind = wanted.kinds[0]
    runs = TorchEngine.load(spec.model_copy(update={"quantization": "int8", "device": "cpu"})).capabilities()
    tell(
        wanted,
        answers=page.AS_TRANSFORMERS,
        class_name=page.form(published(wanted.name))["class_name"] or class_name(spec.config),
        kinds=", ".join([kind, *(each for each in spec.kinds if each != kind)]),
        int8="yes" if runs.quantization == "int8" else "no",
    )
    spec = spec.model_copy(update={"max_new_tokens": verdict.NEW_TOKENS, "device": "cpu"})
    base = published(wanted.base) if wanted.base else None
    assert verdict.differences(wanted, published(wanted.name), base, kind, spec, languages(wanted, spec)) == []
    assert wanted.gguf or licence.of(spec.folder) == wanted.licence, "of a .gguf file, the card stays behind"


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
    added: Added, tmp_path: Path, wanted: Published, tell: Tell
) -> None:
    with pytest.raises((ConfigurationError, ModelUnusable)) as refusal:
        added(wanted)
    reason = refusal.value.reason if isinstance(refusal.value, ModelUnusable) else str(refusal.value)
    tell(wanted, answers=page.gist(reason, (tmp_path, Path(tempfile.gettempdir()))))
    assert wanted.refused_for.lower() in str(refusal.value).lower()
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "models.toml").exists()
    assert list((tmp_path / "models").glob("*")) == []

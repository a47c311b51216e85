"""The counting tokenizer makes prompts of the same lengths as the real one."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import KindModel, Prompt
from lengthwise.models import tokenizer
from lengthwise.models.catalog import DEMO_CATALOG, Catalog, ModelSpec
from tests.fakes import write_catalog

PARAMS: dict[str, dict[str, Any]] = {"translate": {"source": "zh", "target": "en"}, "chat": {"system": "Be brief."}}
CHATML = "{% for m in messages %}</s>{{ m.role }}: {{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSpec]:
    """A model for each kind, a demo model if there is one."""
    folder: Path = tmp_path_factory.mktemp("models")
    demo, echo = Catalog.read(DEMO_CATALOG).models, Catalog.read(write_catalog(folder)).models["echo"]
    (echo.folder / "chat_template.jinja").write_text(CHATML)
    return dict.fromkeys(KINDS, echo) | {"translate": demo["demo-translate"], "moderate": demo["demo-moderate"]}


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60), max_size=4),
    name=st.sampled_from(sorted(KINDS)),
    retry=st.booleans(),
)
def test_both_tokenizers_count_the_same_lengths(
    specs: dict[str, ModelSpec], texts: list[str], name: str, retry: bool
) -> None:
    kind, spec = KINDS[name], specs[name]
    params = kind.params_type.model_validate(PARAMS.get(name, {}))
    items = [kind.item_type.model_validate({"text": text}) for text in [*texts, "Ein {name}. 你好！ Bye </s>"]]

    def shape(made: tokenizer.ModelTokenizer) -> list[list[Prompt]]:
        prompts = kind.prompts(KindModel(spec, made), params, items, int(retry))
        return [[prompt._replace(tokens=[0] * len(prompt.tokens)) for prompt in each] for each in prompts]

    assert shape(tokenizer.load_counting(spec)) == shape(tokenizer.load(spec))


def test_texts_are_tokenized_the_same_alone_or_together(specs: dict[str, ModelSpec]) -> None:
    loaded = tokenizer.load(specs["generate"])
    texts = ["x" * (number % 7) for number in range(1000)]
    assert loaded.encode(texts) == [loaded.encode([text])[0] for text in texts]
    assert list(map(len, loaded.encode(texts))) == list(map(len, texts))

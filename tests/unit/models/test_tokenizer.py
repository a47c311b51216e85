"""The counting tokenizer makes prompts of the same lengths as the real one."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lengthwise.errors import Unanswerable
from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import KindModel, Prompt
from lengthwise.models import tokenizer
from lengthwise.models.catalog import DEMO_CATALOG, Catalog, ModelSpec
from lengthwise.models.prompts.marked import Marked
from tests.fakes import write_catalog
from tests.panics import panic_on

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


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=4), size=st.integers(8, 40))
def test_windows_cover_each_text_and_are_no_longer_than_the_model_reads(
    specs: dict[str, ModelSpec], texts: list[str], size: int
) -> None:
    spec = specs["moderate"]
    found = tokenizer.load(spec).windows(texts, size)
    whole = tokenizer.load(spec).encode(texts, framed=True)
    for windows, ids in zip(found, whole, strict=True):
        first, last = ids[0], ids[-1]
        assert all(len(window.ids) <= size and window.ids[0] == first and window.ids[-1] == last for window in windows)
        assert windows[0].ids[:-1] == ids[: len(windows[0].ids) - 1]
        assert windows[-1].ids[1:] == ids[len(ids) - len(windows[-1].ids) + 1 :]
        for before, after in pairwise(windows):
            overlap = int((size - 2) / 4)
            assert before.ids[-1 - overlap : -1] == after.ids[1 : 1 + overlap]
    counted = tokenizer.load_counting(spec).windows(texts, size)
    assert [[len(window.ids) for window in each] for each in counted] == [
        [len(window.ids) for window in each] for each in found
    ]


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=4), size=st.integers(3, 40))
@pytest.mark.parametrize("name", ["moderate", "generate"])
def test_a_text_is_cut_as_the_library_truncates_it(
    specs: dict[str, ModelSpec], name: str, texts: list[str], size: int
) -> None:
    spec = specs[name]
    library = Tokenizer.from_file(str(spec.folder / "tokenizer.json"))
    library.encode_special_tokens = True
    library.enable_truncation(size)
    expected = [library.encode(text).ids for text in texts]
    for made in (tokenizer.load(spec), tokenizer.load_counting(spec)):
        found = made.cut(texts, made.encode(texts, framed=True), size)
        assert list(map(len, found)) == list(map(len, expected))
        assert found == expected or isinstance(made, tokenizer.CountingTokenizer)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_text_is_never_cut_to_less_than_its_frame_and_one_token(specs: dict[str, ModelSpec], size: int) -> None:
    made = tokenizer.load(specs["moderate"])
    frame, whole = made.encode(["", "two words"], framed=True)
    assert len(frame) == 2 and len(whole) > 3
    assert made.cut(["", "two words"], [frame, whole], size) == [frame, [*whole[:2], whole[-1]]]
    assert [[window.ids for window in each] for each in made.windows([""], size)] == [[frame]]


#: Everything that takes a text of a caller's or a model's.
READS: dict[str, Callable[[Any, str], Any]] = {
    "encode": lambda made, text: made.encode(["fine", text]),
    "encode framed": lambda made, text: made.encode(["fine", text], framed=True),
    "encode_after": lambda made, text: made.encode_after([("</s>", "fine"), ("</s>", text)]),
    "windows": lambda made, text: made.windows(["fine", text], 8),
    "cut": lambda made, text: made.cut(["fine", text], [[1], [1] * 20], 8),
    "encode_answer": lambda made, text: made.encode_answer(text),
    "encode_marked": lambda made, text: made.encode_marked(Marked(text)),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_panic_of_the_library_is_an_error_of_its_text_and_quotes_nothing(
    specs: dict[str, ModelSpec], read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tokenizer.ModelTokenizer(specs["generate"].folder)
    panic_on(monkeypatch, made, "CaNaRy")
    read(made, "harmless and long enough to be cut")
    with pytest.raises(Unanswerable) as caught:
        read(made, "a CaNaRy that is long enough to be cut")
    assert caught.value.code == "untokenizable"
    assert "canary" not in str(caught.value).lower()
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, ValueError])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_other_errors_stay_what_they_are(
    specs: dict[str, ModelSpec], read: Any, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tokenizer.ModelTokenizer(specs["generate"].folder)
    panic_on(monkeypatch, made, "CaNaRy", error)
    with pytest.raises(error):
        read(made, "a CaNaRy that is long enough to be cut")

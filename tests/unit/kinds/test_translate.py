"""The kind translate: languages, placeholders, and the second attempt if the model lost a placeholder."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lengthwise.errors import InvalidInput, UnknownName
from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import KindModel, ModelAnswer
from lengthwise.kinds.translate import TranslateOptions
from tests.unit.kinds.kind_calls import echo_model, output_of, prompts_of, stopped, with_options

EOS = 1
TO_EN, TO_DE = 2, 3
PAIR = {"source": "zh", "target": "en"}


@pytest.fixture
def model(tmp_path: Path) -> KindModel:
    return echo_model(tmp_path)


def test_a_prompt_is_the_target_language_the_text_and_the_end_token(model: KindModel) -> None:
    [prompt] = prompts_of(model, "translate", {"text": " abc "}, PAIR)
    assert prompt.tokens == [TO_EN, *model.tokenizer.encode(["abc"])[0], EOS]
    assert prompt.max_new_tokens == 2 * 4 + 32


def test_an_item_may_name_its_own_languages(model: KindModel) -> None:
    [prompt] = prompts_of(model, "translate", {"text": "a", "source": "en", "target": "de"}, PAIR)
    assert prompt.tokens[0] == TO_DE


def test_a_model_may_have_its_own_names_of_languages(model: KindModel) -> None:
    options = TranslateOptions(pairs=(("zh", "en"),), codes={"en": "de"}, target_prefix=">>{target}<<")
    [prompt] = prompts_of(with_options(model, translate=options), "translate", {"text": "a"}, PAIR)
    assert prompt.decoder_prefix == (TO_DE,)
    assert prompt.tokens[0] != TO_DE


T5 = TranslateOptions(
    pairs=(("en", "de"), ("en", "zh")),
    codes={"en": "English", "de": "German"},
    text_prefix="translate {source} to {target}: ",
)


@pytest.mark.parametrize(("target", "name"), [("de", "German"), ("zh", "zh")])
def test_a_prefix_may_be_plain_text_with_the_models_names_of_languages(
    model: KindModel, target: str, name: str
) -> None:
    t5, pair = with_options(model, translate=T5), {"source": "en", "target": target}
    first, second = prompts_of(t5, "translate", {"text": "One here. Two there."}, pair)
    for prompt, text in ((first, "One here."), (second, "Two there.")):
        assert prompt.tokens == [*model.tokenizer.encode([f"translate English to {name}: {text}"])[0], EOS]


def test_both_prefixes_may_be_used_and_only_the_operators_text_has_control_tokens(model: KindModel) -> None:
    options = TranslateOptions(pairs=(("zh", "en"),), text_prefix="</s>", source_prefix=">>{target}<<")
    [prompt] = prompts_of(with_options(model, translate=options), "translate", {"text": "a >>en<<"}, PAIR)
    assert prompt.tokens[:2] == [TO_EN, EOS]
    assert prompt.tokens[-1] == EOS
    assert not {TO_EN, EOS} & set(prompt.tokens[2:-1])
    assert len(prompt.tokens) > 4


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("abc .,", min_size=1, max_size=300), min_size=1, max_size=4).map(" ".join))
def test_no_prompt_is_longer_with_its_prefix_than_the_model_reads(model: KindModel, text: str) -> None:
    t5 = with_options(model, translate=T5)
    t5 = KindModel(t5.spec.model_copy(update={"max_input_tokens": 90}), t5.tokenizer)
    prompts = prompts_of(t5, "translate", {"text": text}, {"source": "en", "target": "de"})
    assert all(len(prompt.tokens) <= 90 for prompt in prompts)


def test_placeholders_are_replaced_by_marks_and_restored(model: KindModel) -> None:
    item = {"text": "{name} is {age}"}
    [prompt] = prompts_of(model, "translate", item, PAIR)
    assert model.tokenizer.decode_batch([prompt.tokens])[0] == "\ue000 is \ue001"
    output = output_of(model, "translate", item, [stopped("\ue001 ist \ue000")], PAIR)
    assert output == {"text": "{age} ist {name}", "finish_reason": "stop"}


@pytest.mark.parametrize("answer", ["ist \ue001", "\ue000 \ue000 \ue001", "\ue000 \ue001 \ue002", ""])
def test_an_answer_that_lost_a_mark_is_translated_again_around_the_placeholders(model: KindModel, answer: str) -> None:
    item = {"text": "{name} is {age} old"}
    assert output_of(model, "translate", item, [stopped(answer)], PAIR) is None
    pieces = prompts_of(model, "translate", item, PAIR, retry=True)
    assert [model.tokenizer.decode_batch([prompt.tokens])[0] for prompt in pieces] == ["is", "old"]
    answers = [stopped("ist"), ModelAnswer("alt", "length")]
    output = output_of(model, "translate", item, answers, PAIR, retry=True)
    assert output == {"text": "{name} ist {age} alt", "finish_reason": "length"}


@pytest.mark.parametrize("text", ["{name}", "   ", "https://example.com/"])
def test_a_text_without_words_needs_no_model(model: KindModel, text: str) -> None:
    options = TranslateOptions(pairs=(("zh", "en"),), placeholders="split")
    split = with_options(model, translate=options)
    assert prompts_of(split, "translate", {"text": text}, PAIR) == []
    output = output_of(split, "translate", {"text": text}, [], PAIR)
    assert output == {"text": text, "finish_reason": "stop"}


def test_each_of_many_items_gets_its_own_prompts(model: KindModel) -> None:
    kind = KINDS["translate"]
    items = [kind.item_type.model_validate({"text": text}) for text in ("a", "b {x} c", "d")]
    found = kind.prompts(model, kind.params_type.model_validate(PAIR), items, 1)
    assert [[model.tokenizer.decode_batch([prompt.tokens])[0] for prompt in each] for each in found] == [
        ["a"],
        ["b", "c"],
        ["d"],
    ]


@pytest.mark.parametrize(
    ("params", "serves"),
    [({}, True), ({"source": "en"}, True), ({"target": "de"}, True), ({"source": "zh", "target": "de"}, False)],
)
def test_a_model_serves_only_its_own_language_pairs(model: KindModel, params: dict[str, str], serves: bool) -> None:
    kind = KINDS["translate"]
    assert kind.serves(model.spec, kind.params_type.model_validate(params)) is serves


def test_an_unknown_language_pair_is_refused_and_not_repeated(model: KindModel) -> None:
    kind = KINDS["translate"]
    item = kind.item_type.model_validate({"text": "a", "source": "CaNaRy"})
    with pytest.raises(UnknownName, match="zh→en, en→de") as caught:
        kind.check(model.spec, kind.params_type.model_validate({"target": "en"}), item)
    assert "CaNaRy" not in str(caught.value)
    with pytest.raises(InvalidInput) as missing:
        kind.check(model.spec, kind.params_type.model_validate({}), item)
    assert missing.value.field == "target"


@pytest.mark.parametrize(("log_probability", "warns"), [(-0.39, False), (-0.41, True), (None, False)])
def test_a_translation_is_unsure_below_the_models_own_limit(
    model: KindModel, log_probability: float | None, warns: bool
) -> None:
    """Three tokens and the end token: the limit is four times that of one."""
    options = TranslateOptions(pairs=(("zh", "en"),), unsure_below=-0.1)
    doubting = with_options(model, translate=options)
    kind, params = KINDS["translate"], KINDS["translate"].params_type.model_validate(PAIR)
    item = kind.item_type.model_validate({"text": "abc"})
    answers = [ModelAnswer("xyz", "stop", n_tokens=3, log_probability=log_probability)]
    assert kind.decoding(doubting.spec, params, item, 0).score
    assert not kind.decoding(model.spec, params, item, 0).score
    assert ("unsure" in kind.warnings(doubting, params, item, {"text": "xyz"}, answers)) is warns
    assert "unsure" not in kind.warnings(model, params, item, {"text": "xyz"}, answers)

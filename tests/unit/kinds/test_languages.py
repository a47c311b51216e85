"""The languages of a translation model, from its name, its tokens and its config."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.kinds.languages import proposed

NLLB = {"eng_Latn", "zho_Hans", "zho_Hant", "deu_Latn", "srp_Cyrl", "ace_Arab", "arb_Arab", "<unk>", "▁the"}
MANY = {f"{first}{second}_Latn" for first in "abcdefghij" for second in ("ra", "na", "la", "ma", "ka", "ta")}


def found(name: str, model_type: str, *tokens: str, **config: Any) -> dict[str, Any]:
    table = proposed(name, {"model_type": model_type} | config, set(tokens))
    assert table is not None
    return table


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("opus-mt-zh-en", ["zh", "en"]),
        ("opus-mt-en-de", ["en", "de"]),
        ("opus-mt-tc-big-deu-eng", ["de", "en"]),
        ("opus-mt-jap-en", None),
        ("opus-mt-mul-en", None),
        ("opus-mt-ROMANCE-en", None),
        ("my-own-model", None),
    ],
)
def test_the_name_of_a_pair_model_is_its_pair(name: str, pair: list[str] | None) -> None:
    assert proposed(name, {"model_type": "marian"}, {"▁the", "</s>"}) == (pair and {"pairs": [pair]})


def test_a_marian_model_of_several_targets_is_told_by_a_token() -> None:
    table = found("opus-mt-tc-big-en-zle", "marian", ">>ukr<<", ">>rus<<", ">>bel<<", "▁the")
    assert table == {
        "pairs": [["en", "be"], ["en", "ru"], ["en", "uk"]],
        "codes": {"be": "bel", "ru": "rus", "uk": "ukr"},
        "source_prefix": ">>{target}<<",
    }


def test_a_language_in_two_scripts_has_two_codes_and_the_usual_one_is_short() -> None:
    table = found("nllb-200-distilled-600M", "m2m_100", *NLLB)
    assert table["codes"] == {
        "ace-Arab": "ace_Arab", "ar": "arb_Arab", "de": "deu_Latn", "en": "eng_Latn", "sr": "srp_Cyrl",
        "zh": "zho_Hans", "zh-Hant": "zho_Hant",
    } | {}  # fmt: skip
    assert len(table["pairs"]) == 7 * 6
    assert (table["source_prefix"], table["target_prefix"]) == ("{source}", "{target}")


def test_m2m_and_mbart_have_names_of_their_own() -> None:
    m2m = found("m2m100_418M", "m2m_100", "__en__", "__zh__", "__madeupword0__")
    assert (m2m["pairs"], m2m["codes"]) == ([["en", "zh"], ["zh", "en"]], {})
    assert (m2m["source_prefix"], m2m["target_prefix"]) == ("__{source}__", "__{target}__")
    mbart = found("mbart-large-50-many-to-many-mmt", "mbart", "en_XX", "zh_CN", "de_DE")
    assert mbart["codes"] == {"de": "de_DE", "en": "en_XX", "zh": "zh_CN"}


def test_the_first_t5_models_are_told_in_words() -> None:
    tasks = {
        "summarization": {"prefix": "summarize: "},
        "translation_en_to_de": {"prefix": "translate English to German: "},
        "translation_en_to_ro": {"prefix": "translate English to Romanian: "},
    }
    assert found("t5-small", "t5", task_specific_params=tasks) == {
        "pairs": [["en", "de"], ["en", "ro"]],
        "codes": {"en": "English", "de": "German", "ro": "Romanian"},
        "text_prefix": "translate {source} to {target}: ",
    }
    assert proposed("flan-t5-base", {"model_type": "t5", "task_specific_params": None}, {"▁the"}) is None


def test_madlad_is_told_the_target_only() -> None:
    table = found("madlad400-3b-mt", "t5", "<2de>", "<2en>", "<2zh>", "<2zh_Latn>")
    assert ["en", "zh"] in table["pairs"] and ["zh", "en"] in table["pairs"] and ["zh", "de"] not in table["pairs"]
    assert table["text_prefix"] == "<2{target}> "
    assert table["codes"]["zh-Latn"] == "zh_Latn"


def test_of_very_many_languages_the_pairs_with_english_are_proposed() -> None:
    table = found("nllb-200-3.3B", "m2m_100", "eng_Latn", *MANY)
    assert all("en" in pair for pair in table["pairs"])
    assert 2 * (len(table["codes"]) - 1) == len(table["pairs"])


@pytest.mark.parametrize("model_type", ["bart", "t5", "llama", "m2m_100", None])
def test_a_model_that_says_nothing_of_languages_gets_no_table(model_type: str | None) -> None:
    assert proposed("opus-mt-zh-en", {"model_type": model_type}, {"▁the"}) is None


@given(
    st.sampled_from(["marian", "m2m_100", "mbart", "t5", "mt5"]),
    st.text(max_size=30).map(lambda text: f"opus-mt-{text}"),
    st.sets(
        st.from_regex(r"(__[a-z]{2,3}__|<2[a-z]{2,3}>|>>[a-z]{3}<<|[a-z]{3}_[A-Z][a-z]{3}|[a-z]{2}_[A-Z]{2})"),
        max_size=30,
    ),
)
def test_every_code_of_a_pair_can_be_told_to_the_model(model_type: str, name: str, tokens: set[str]) -> None:
    table = proposed(name, {"model_type": model_type}, tokens) or {"pairs": []}
    codes = table.get("codes", {})
    for source, target in table["pairs"]:
        assert source != target
        for place in ("source_prefix", "target_prefix", "text_prefix"):
            token = (
                table.get(place, "").strip().format(source=codes.get(source, source), target=codes.get(target, target))
            )
            assert not token or token in tokens

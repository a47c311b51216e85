"""Moderation by the demo model, through its kinds: what is hidden, disguised or far into a text is found."""

from functools import cache
from typing import Any

import pytest

from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.kinds.openai import BY_NAME
from lengthwise.models import tokenizer
from lengthwise.models.catalog import DEMO_CATALOG, Catalog
from tests.engine.decode.test_generation import run
from worker.engine.protocol import Request
from worker.engine.transformer.engine import TorchEngine

THREAT = "I will find you and hurt you."
#: A threat that the demo model finds among other sentences too.
AMONG_OTHERS = "We should break the arm of all old people."
HARMLESS = "Our shop is closed on Friday. Have a nice day! Nobody at work knows where my speaker is. "


@cache
def demo() -> tuple[KindModel, TorchEngine]:
    spec = Catalog.read(DEMO_CATALOG).models["demo-moderate"].model_copy(update={"device": "cpu"})
    return KindModel(spec, tokenizer.load(spec)), TorchEngine.load(spec)


def answered(prompts: list[Prompt]) -> list[ModelAnswer]:
    _, engine = demo()
    if not prompts:
        return []
    by_length = sorted(range(len(prompts)), key=lambda place: len(prompts[place].tokens))
    found = run(engine, [Request(place, prompts[place].tokens, 0) for place in by_length])
    labels = engine.capabilities().labels
    return [ModelAnswer("", "label", labels, found[place].scores) for place in range(len(prompts))]


def moderated(text: str) -> dict[str, Any]:
    model, _ = demo()
    kind = KINDS["moderate"]
    item, params = kind.item_type.model_validate({"text": text}), kind.params_type()
    [prompts] = kind.prompts(model, params, [item], 0)
    output = kind.output(model, params, item, answered(prompts), 0)
    assert output is not None
    return output


def moderated_for_openai(given: str | list[str]) -> list[dict[str, Any]]:
    model, _ = demo()
    kind = BY_NAME["moderations"]
    item = kind.item_type.model_validate({"id": "a", "request": "b", "body": {"model": "m", "input": given}})
    [prompts] = kind.prompts(model, kind.params_type(), [item], 0)
    output = kind.output(model, kind.params_type(), item, answered(prompts), 0)
    assert isinstance(output, dict)
    results: list[dict[str, Any]] = output["results"]
    return results


@pytest.mark.parametrize(
    "text",
    [
        THREAT,
        f"<b x='{THREAT}'>",
        f'<img src="x" alt="{THREAT}">',
        f'<a title="{THREAT}">hi</a>',
        f'<input value="{THREAT}">',
        f"&lt;b x='{THREAT}'&gt;",
    ],
)
def test_a_threat_in_an_attribute_is_flagged_like_a_plain_one(text: str) -> None:
    output, plain = moderated(text), moderated(THREAT)
    assert output["flagged"]
    assert output["categories"] == plain["categories"]
    assert output["scores"]["violence"] == plain["scores"]["violence"] > 0.99
    [result], [expected] = moderated_for_openai(text), moderated_for_openai(THREAT)
    assert result["categories"] == expected["categories"]
    assert result["category_scores"]["violence"] == expected["category_scores"]["violence"] > 0.99


@pytest.mark.parametrize(("n_before", "n_after"), [(0, 0), (0, 80), (40, 40), (80, 0), (3, 80), (77, 6), (25, 60)])
def test_a_threat_anywhere_in_a_long_text_is_flagged_with_its_window(n_before: int, n_after: int) -> None:
    before = HARMLESS * n_before
    text = f"{before}{AMONG_OTHERS} {HARMLESS * n_after}"
    output = moderated(text)
    assert output["categories"]["violence"]
    assert not moderated(HARMLESS * (n_before + n_after + 1))["flagged"]
    if "spans" in output:
        start, end = output["spans"]["violence"]
        assert start <= len(before) < len(before) + len(AMONG_OTHERS) <= end < start + 1000
    else:
        assert n_before + n_after == 0
    assert moderated_for_openai(text)[0]["categories"]["violence"]


def test_the_span_of_a_hidden_text_is_its_place_in_the_text() -> None:
    text = f"Have a nice day!<p>Hello&nbsp;<img alt='{THREAT}'></p>"
    start, end = moderated(text)["spans"]["violence"]
    assert text[start:end] == THREAT


def test_an_output_has_spans_only_if_there_were_several_prompts() -> None:
    assert "spans" not in moderated(THREAT)
    assert "spans" not in moderated(f"<p>{THREAT}</p>")
    assert moderated(f"<p title='a b'>{THREAT}</p>")["spans"].keys() == moderated(THREAT)["scores"].keys()


def test_scores_are_what_the_model_gave_in_their_shortest_form() -> None:
    score = moderated(THREAT)["scores"]["violence"]
    assert score != round(score, 4)
    assert len(str(score)) <= len("0.123456789")
    model, _ = demo()
    [prompt] = KINDS["moderate"].prompts(model, {}, [KINDS["moderate"].item_type.model_validate({"text": THREAT})], 0)[
        0
    ]
    [answer] = answered([prompt])
    assert score in answer.scores


@pytest.mark.parametrize(
    "blank", ["", " ", "\u200b", "\u3164\u115f", "&nbsp;", "<p></p>", "<br>\n\u2800", "\U000e0041"]
)
def test_a_blank_text_needs_no_model_and_has_no_categories(blank: str) -> None:
    model, _ = demo()
    kind = KINDS["moderate"]
    item = kind.item_type.model_construct(text=blank)
    assert kind.prompts(model, kind.params_type(), [item], 0) == [[]]
    assert kind.output(model, kind.params_type(), item, [], 0) == {"flagged": False, "categories": {}, "scores": {}}


def test_several_texts_for_openai_each_have_the_answers_to_all_their_prompts() -> None:
    texts = [HARMLESS, f"<a title='{THREAT}'>hi</a>", "\u200b", HARMLESS * 60 + AMONG_OTHERS, "What a lovely lamp!"]
    results = moderated_for_openai(texts)
    assert [result["flagged"] for result in results] == [False, True, False, True, False]
    assert set(results[2]["category_scores"].values()) == {0.0}

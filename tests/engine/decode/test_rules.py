"""What a model's own files say of its answers holds as in transformers' generate, in fp32, alone and in a batch."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.models import manifest
from tests.engine import tiny
from tests.engine.conftest import Load
from tests.engine.decode.test_generation import run
from worker.engine.protocol import FinishReason, Request, Sampling
from worker.engine.transformer.decode.history import History, applied
from worker.engine.transformer.decode.rules import Rules

#: An encoder–decoder and a decoder of our own loop, and one that transformers' generate runs.
KINDS = ["mbart", "marian", "llama", "gpt2"]
#: Each changes some answers of each of these models, or the test says so.
RULES: list[dict[str, Any]] = [
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 1.1},
    {"min_new_tokens": 18},
    {"min_length": 20},
    {"begin_suppress_tokens": list(range(3, 70))},
    {"suppress_tokens": list(range(60, tiny.VOCABULARY)), "repetition_penalty": 1.2},
]


def settings_of(model: Any, folder: Path, end: int, **rules: Any) -> None:
    """Writes these rules, and nothing else, into the model's files and the model in memory."""
    start = model.config.decoder_start_token_id if model.config.is_encoder_decoder else None
    model.generation_config = tiny.hub.GenerationConfig(
        eos_token_id=end, pad_token_id=tiny.PAD, decoder_start_token_id=start, **rules
    )
    model.generation_config.save_pretrained(folder)
    manifest.write(folder, sorted(path.name for path in folder.iterdir() if path.name != manifest.MANIFEST))


def reference(model: Any, request: Request, end: int) -> tuple[int, ...]:
    """What transformers' generate writes for one request, up to the end token."""
    tokens = torch.tensor([request.tokens])
    ids = model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=request.max_new_tokens,
        num_beams=request.beams,
        do_sample=False,
    )
    written = ids[0, 1 if model.config.is_encoder_decoder else len(request.tokens) :].tolist()
    return tuple(written[: written.index(end)] if end in written else written)


def answers(folder: Path, requests: Sequence[Request]) -> dict[int, tuple[int, ...]]:
    """Ours, in one batch, which must be those that each request gets alone."""
    engine = tiny.load(folder)
    found = {number: answer.tokens for number, answer in run(engine, list(requests)).items()}
    assert found == {request.id: run(engine, [request])[request.id].tokens for request in requests}
    return found


def check(model: Any, folder: Path, end: int, requests: Sequence[Request], **rules: Any) -> None:
    """The answers with these rules are transformers', and others than without them."""
    settings_of(model, folder, end)
    before = answers(folder, requests)
    settings_of(model, folder, end, **rules)
    found = answers(folder, requests)
    assert found == {request.id: reference(model, request, end) for request in requests}
    assert found != before, "the rule must change answers to prove anything"


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_answers_follow_the_models_rules_as_in_transformers(
    kind: str, rules: dict[str, Any], tmp_path: Path
) -> None:
    model = tiny.write(kind, tmp_path)
    end = tiny.choose_end(tmp_path, tiny.requests())
    check(model, tmp_path, end, tiny.requests(20), **rules)


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_beams_follow_the_models_rules_as_in_transformers(rules: dict[str, Any], tmp_path: Path) -> None:
    model = tiny.write("mbart", tmp_path)
    requests = [request._replace(beams=4) for request in tiny.requests(20)]
    end = tiny.choose_end(tmp_path, requests)
    check(model, tmp_path, end, requests, **rules)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", ["mbart", "marian"])
def test_forced_tokens_come_where_transformers_puts_them(kind: str, beams: int, tmp_path: Path) -> None:
    model = tiny.write(kind, tmp_path)
    requests = [request._replace(beams=beams) for request in tiny.requests(12)]
    end = tiny.choose_end(tmp_path, requests)
    for rules in ({"forced_bos_token_id": 77}, {"forced_eos_token_id": end}):
        check(model, tmp_path, end, requests, **rules)
    check(model, tmp_path, end, requests, forced_bos_token_id=77, begin_suppress_tokens=list(range(3, 70)))


@pytest.mark.parametrize("kind", KINDS)
def test_runs_of_tokens_that_must_not_be_written_are_not(kind: str, tmp_path: Path) -> None:
    model = tiny.write(kind, tmp_path)
    requests = tiny.requests(12)
    settings_of(model, tmp_path, tiny.END)
    plain = [list(answer) for answer in answers(tmp_path, requests).values()]
    words = [answer[at : at + length] for answer in plain for at, length in ((0, 2), (1, 3), (3, 1))]
    words = [word for word in words if word and word != [tiny.END]]
    check(model, tmp_path, tiny.END, requests, bad_words_ids=words)


@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_whose_end_was_forced_at_its_limit_says_that_it_was_cut(beams: int, tmp_path: Path) -> None:
    model = tiny.write("marian", tmp_path)
    asked = [request._replace(beams=beams, is_scored=True) for request in tiny.requests(6)]
    settings_of(model, tmp_path, tiny.END, forced_eos_token_id=tiny.END)
    for answer in run(tiny.load(tmp_path), asked).values():
        assert len(answer.tokens) == 5 and answer.finish_reason is FinishReason.LENGTH
        assert answer.log_probability is not None


def test_the_target_language_comes_before_the_models_own_first_token(tmp_path: Path) -> None:
    model = tiny.write("mbart", tmp_path)
    asked = [request._replace(decoder_prefix=(90,)) for request in tiny.requests(12)]
    settings_of(model, tmp_path, tiny.END)
    plain = answers(tmp_path, asked)
    settings_of(model, tmp_path, tiny.END, forced_bos_token_id=77)
    assert answers(tmp_path, asked) == plain


@pytest.mark.parametrize("kind", KINDS)
def test_a_requests_penalty_comes_before_the_models_own(kind: str, tmp_path: Path) -> None:
    model = tiny.write(kind, tmp_path)
    requests = tiny.requests(20)
    settings_of(model, tmp_path, tiny.END)
    plain = answers(tmp_path, requests)
    settings_of(model, tmp_path, tiny.END, repetition_penalty=1.3)
    penalized = answers(tmp_path, requests)
    assert penalized != plain
    without = [request._replace(sampling=Sampling(repetition_penalty=1.0)) for request in requests]
    assert answers(tmp_path, without) == plain


@pytest.mark.parametrize("precision", ["none", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_penalty_changes_no_neighbour(kind: str, precision: str, load: Load) -> None:
    engine, greedy = load(kind, precision), tiny.requests(20)
    punished = [request._replace(sampling=Sampling(repetition_penalty=1.5)) for request in greedy]
    plain, alone = run(engine, greedy), {each.id: run(engine, [each])[each.id] for each in punished}
    mixed = [pair[number % 2] for number, pair in enumerate(zip(greedy, punished, strict=True))]
    found = run(engine, mixed)
    assert found == {number: (alone if number % 2 else plain)[number] for number in found}
    assert any(alone[number] != plain[number] for number in found if number % 2), "to prove anything"


def test_a_rule_that_is_not_applied_is_named_when_the_model_is_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny.write("mbart", tmp_path)
    settings_of(model, tmp_path, tiny.END, encoder_repetition_penalty=1.3, repetition_penalty=1.1)
    with caplog.at_level(logging.WARNING):
        tiny.load(tmp_path)
    assert "asks for encoder_repetition_penalty, which is not applied" in caplog.text


ROWS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=30), min_size=1, max_size=4)


@given(ROWS, st.sampled_from([0.5, 0.99, 1.0, 1.05, 2.0]), st.integers(0, 4), st.integers(0, 2**31))
def test_scores_are_those_of_transformers_processors(
    rows: list[list[int]], penalty: float, size: int, seed: int
) -> None:
    words = [[rows[0][-1], 3], [*rows[-1][-2:], 5], [1, 2, 4]]
    scores = torch.randn(len(rows), 8, generator=torch.Generator().manual_seed(seed))  # 8 and 9 are in no output
    expected = []
    for row, given_scores in zip(rows, scores, strict=True):
        ids, each = torch.tensor([row]), given_scores[None].clone()
        each = tiny.hub.RepetitionPenaltyLogitsProcessor(penalty)(ids, each)
        if size:
            each = tiny.hub.NoRepeatNGramLogitsProcessor(size)(ids, each)
        expected.append(tiny.hub.NoBadWordsLogitsProcessor(bad(words), 7)(ids, each))
    rules = Rules(no_repeat_ngram_size=size, bad_words=by_beginning(words))
    histories = [History.begun(rules, row, 0, penalty) for row in rows]
    assert applied(scores, histories).equal(torch.cat(expected))


def bad(words: Sequence[list[int]]) -> list[list[int]]:
    """Those whose last id has a score: transformers refuses others."""
    return [word for word in words if max(word) < 8]


def by_beginning(words: Sequence[list[int]]) -> dict[tuple[int, ...], frozenset[int]]:
    found: dict[tuple[int, ...], frozenset[int]] = {}
    for *beginning, last in bad(words):
        found[tuple(beginning)] = found.get(tuple(beginning), frozenset()) | {last}
    return found


@given(ROWS, st.lists(st.integers(0, 7), max_size=5))
def test_a_history_that_goes_on_is_the_one_that_was_so_from_the_start(rows: list[list[int]], more: list[int]) -> None:
    rules = Rules(no_repeat_ngram_size=2)
    for row in rows:
        begun = History(rules, row, 0, 1.2)
        scores = torch.ones(2, 10)
        together = applied(scores, [begun.continued(more), History(rules, [*row, *more], 0, 1.2)])
        assert together[0].equal(together[1])
        assert list(begun.seen) == list(dict.fromkeys(row)), "it stays as it is"


def test_rows_without_rules_keep_their_scores_and_their_type() -> None:
    scores = torch.ones(2, 10, dtype=torch.bfloat16)
    assert History.begun(Rules(), [1, 2], 0, None) is None
    assert applied(scores, [None, None]) is scores
    found = applied(scores, [None, History(Rules(), [3], 0, 2.0)])
    assert found[0].equal(torch.ones(10))
    assert found[1, 3] == 0.5

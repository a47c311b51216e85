"""Beam search, compared with a plain reference and with an exhaustive search."""

from itertools import product
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.transformer.decode.beam import (
    BeamRules,
    BeamSearch,
    Candidate,
    FinishedHypothesis,
    candidates_per_step,
)

END = 0


class SeededModel:
    """Log-probabilities of the next id, a pure function of the ids before. The probabilities need not sum to 1."""

    def __init__(self, seed: int, vocabulary: int) -> None:
        self.seed, self.vocabulary = seed, vocabulary

    def after(self, tokens: tuple[int, ...]) -> list[float]:
        draw = Random(repr((self.seed, tokens)))
        return [-3 * draw.random() - 0.01 for _ in range(self.vocabulary)]

    def score(self, tokens: tuple[int, ...]) -> float:
        return sum(self.after(tokens[:place])[token] for place, token in enumerate(tokens))


def searched(
    model: SeededModel, beams: int, limit: int, rules: BeamRules, prefix: tuple[int, ...] = ()
) -> FinishedHypothesis:
    search = BeamSearch(beams, limit, {END}, rules, prefix)
    while search.running:
        if search.forced is not None:
            search.force()
            continue
        candidates = [
            Candidate(each.score + more, parent, token)
            for parent, each in enumerate(search.running)
            for token, more in enumerate(model.after((*prefix, *each.tokens)))
        ]
        search.take(sorted(candidates, reverse=True))
    return search.best


def every_answer(model: SeededModel, limit: int) -> list[tuple[int, ...]]:
    """Every answer that ends within the limit or is cut at it."""
    others = range(1, model.vocabulary)
    ended = [(*ids, END) for length in range(limit) for ids in product(others, repeat=length)]
    return ended + list(product(others, repeat=limit))


MODELS = st.builds(SeededModel, st.integers(0, 10**6), st.integers(2, 4))
PENALTIES = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])


@given(MODELS, st.integers(1, 4), PENALTIES)
def test_with_enough_beams_the_best_of_all_answers_is_found(model: SeededModel, limit: int, penalty: float) -> None:
    beams = model.vocabulary**limit
    best = searched(model, beams, limit, BeamRules(penalty, "never"))
    worth = max(model.score(tokens) / len(tokens) ** penalty for tokens in every_answer(model, limit))
    assert best.worth == pytest.approx(worth)
    assert best.score == pytest.approx(model.score(best.tokens if best.is_cut else (*best.tokens, END)))


def reference(model: SeededModel, beams: int, limit: int, rules: BeamRules) -> tuple[int, ...]:
    """The same search with plain lists: every step scores whole sequences from scratch."""
    live: list[tuple[int, ...]] = [()]
    done: list[tuple[int, ...]] = []

    def worth(tokens: tuple[int, ...], length: int | None = None) -> float:
        return float(model.score(tokens) / (length or len(tokens)) ** rules.length_penalty)

    for length in range(1, limit + 1):
        grown = sorted(
            ((*tokens, token) for tokens in live for token in range(model.vocabulary)), key=model.score, reverse=True
        )
        is_end = {tokens: tokens[-1] == END or length == limit for tokens in grown}
        done = sorted(done + [tokens for tokens in grown[:beams] if is_end[tokens]], key=worth, reverse=True)[:beams]
        live = [tokens for tokens in grown[: 2 * beams] if not is_end[tokens]][:beams]
        if not live or (len(done) == beams and rules.early_stopping is True):
            break
        at = limit if rules.early_stopping == "never" and rules.length_penalty > 0 else length
        if len(done) == beams and worth(live[0], at) <= worth(done[-1]):
            break
    return done[0]


@given(MODELS, st.integers(1, 4), st.integers(1, 9), PENALTIES, st.sampled_from([True, False, "never"]))
def test_the_search_agrees_with_a_plain_reference_search(
    model: SeededModel, beams: int, limit: int, penalty: float, early: bool | str
) -> None:
    rules = BeamRules(penalty, early)  # type: ignore[arg-type] # the three that there are
    best = searched(model, beams, limit, rules)
    assert (best.tokens if best.is_cut else (*best.tokens, END)) == reference(model, beams, limit, rules)


@given(MODELS, st.integers(1, 4), st.integers(1, 6), st.lists(st.integers(1, 3), max_size=3))
def test_a_forced_prefix_comes_first_and_is_not_part_of_the_answer(
    model: SeededModel, beams: int, limit: int, prefix: list[int]
) -> None:
    best = searched(model, beams, limit, BeamRules(length_penalty=0.0), tuple(prefix))

    class Continued(SeededModel):
        def after(self, tokens: tuple[int, ...]) -> list[float]:
            return super().after((*prefix, *tokens))

    assert best == searched(Continued(model.seed, model.vocabulary), beams, limit, BeamRules(length_penalty=0.0))


def test_the_length_counts_the_prefix_and_the_end() -> None:
    search = BeamSearch(1, 5, {END}, BeamRules(), prefix=(7,))
    search.force()
    assert search.running[0].token == 7
    search.take([Candidate(-1.0, 0, 3), Candidate(-2.0, 0, 4)])
    search.take([Candidate(-6.0, 0, END), Candidate(-9.0, 0, 4)])
    assert search.best == FinishedHypothesis(-2.0, -6.0, (3,), is_cut=False)


def test_a_candidate_that_ends_ranked_below_the_beams_is_dropped() -> None:
    search = BeamSearch(2, 5, {END}, BeamRules())
    search.take([Candidate(-1.0, 0, 3), Candidate(-2.0, 0, 4), Candidate(-3.0, 0, END), Candidate(-4.0, 0, 5)])
    assert [each.token for each in search.running] == [3, 4]
    search.take([Candidate(-2.0, 0, END), Candidate(-3.0, 1, 6), Candidate(-4.0, 1, END), Candidate(-5.0, 0, 5)])
    assert [(each.parent, each.tokens) for each in search.running] == [(1, (4, 6)), (0, (3, 5))]


@pytest.mark.parametrize(("n_ends", "n"), [(0, 8), (1, 8), (2, 12)])
def test_a_step_has_enough_candidates_to_keep_all_beams_however_many_end(n_ends: int, n: int) -> None:
    assert candidates_per_step(4, n_ends) == n


def test_if_there_are_fewer_candidates_all_are_taken() -> None:
    search = BeamSearch(8, 5, {END}, BeamRules())
    search.take([Candidate(-1.0, 0, 3)])
    search.take([Candidate(-inf, 0, END)])
    assert search.running == []
    assert search.best.tokens == (3,)

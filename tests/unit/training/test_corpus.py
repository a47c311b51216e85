"""The training corpora: seeded, with held-out sentences, placeholders and labels that are consistent."""

from itertools import islice
from random import Random

import pytest

from training import comment, corpus
from training.grammar.clause import Action
from training.grammar.determiner import OWNED, SHOWN, A, Determiner
from training.grammar.lexicon import NOUNS, VERBS
from training.grammar.person import PRONOUNS
from training.grammar.phrase import Phrase, build
from training.grammar.sentence import capitalised
from training.grammar.tense import in_past

PAIRS = 1500
MARKS = set(corpus.PLACEHOLDERS)


@pytest.fixture(scope="module")
def pairs() -> list[corpus.Pair]:
    return list(islice(corpus.training_pairs(11), PAIRS))


def noun(kind: str, en: str) -> Phrase:
    found = next(noun for noun in NOUNS[kind] if noun.en == en)
    return build(found, A, [])


def test_the_same_seed_gives_the_same_texts(pairs: list[corpus.Pair]) -> None:
    assert list(islice(corpus.training_pairs(11), PAIRS)) == pairs


def test_another_seed_gives_other_texts(pairs: list[corpus.Pair]) -> None:
    assert list(islice(corpus.training_pairs(12), 20)) != pairs[:20]


def test_a_source_has_one_translation(pairs: list[corpus.Pair]) -> None:
    known: dict[tuple[str, str], str] = {}
    for pair in pairs:
        assert known.setdefault((pair.direction, pair.source), pair.target) == pair.target


@pytest.mark.parametrize("direction", corpus.DIRECTIONS)
def test_a_held_out_sentence_is_not_in_the_training_set(pairs: list[corpus.Pair], direction: corpus.Direction) -> None:
    texts = corpus.held_out_texts(5, direction, 50)
    held_out = {pair.source for text in texts for pair in text if not pair.is_fixed}
    assert len(texts) == 50
    assert not held_out & {pair.source for pair in pairs}


def test_texts_of_set_phrases_alone_are_never_held_out() -> None:
    assert not any(all(pair.is_fixed for pair in text) for text in corpus.held_out_texts(3, "en-de", 100))


def test_source_and_target_have_the_same_placeholders(pairs: list[corpus.Pair]) -> None:
    for pair in pairs:
        source, target = ([letter for letter in text if letter in MARKS] for text in (pair.source, pair.target))
        assert sorted(source) == sorted(target)
        assert not corpus.MARKER.search(pair.source + pair.target)


def test_placeholders_are_numbered_through_the_whole_text() -> None:
    for text in corpus.held_out_texts(5, "zh-en", 60):
        order = list(dict.fromkeys(letter for pair in text for letter in pair.source if letter in MARKS))
        assert order == corpus.PLACEHOLDERS[: len(order)]


def test_some_texts_repeat_a_placeholder_and_some_have_three() -> None:
    rng = Random(1)
    texts = ["".join(sentence.zh for sentence in corpus.draw_text(rng)) for _ in range(500)]
    counts = [corpus.MARKER.findall(text) for text in texts]
    assert any(len(marks) > len(set(marks)) for marks in counts)
    assert any(len(set(marks)) >= 3 for marks in counts)


def test_texts_are_of_very_mixed_lengths() -> None:
    rng = Random(1)
    lengths = [corpus.draw_text(rng) for _ in range(200)]
    assert {len(text) for text in lengths} == set(range(1, 9))
    assert min(len(text[0].en) for text in lengths) < 10
    assert max(sum(len(sentence.en) for sentence in text) for text in lengths) > 300


def test_i_ate_an_apple() -> None:
    clause = in_past(PRONOUNS[0], Action(VERBS["food"][0], noun("food", "apple")))
    assert "".join(clause.zh) == "我吃了一个苹果"
    assert clause.en == "I ate an apple"
    assert clause.de.main() == "ich habe einen Apfel gegessen"
    assert clause.de.verb_first() == "habe ich einen Apfel gegessen"
    assert clause.de.verb_last() == "ich einen Apfel gegessen habe"


@pytest.mark.parametrize(
    ("determiner", "en", "cases"),
    [
        (A, "lamp", ("eine Lampe", "eine Lampe", "einer Lampe")),
        (SHOWN[0], "chair", ("dieser Stuhl", "diesen Stuhl", "diesem Stuhl")),
        (OWNED[1], "bed", ("Ihr Bett", "Ihr Bett", "Ihrem Bett")),
    ],
)
def test_german_articles_agree_in_gender_and_case(determiner: Determiner, en: str, cases: tuple[str, str, str]) -> None:
    found = next(noun for noun in NOUNS["furniture"] if noun.en == en)
    phrase = build(found, determiner, [])
    assert (phrase.nom, phrase.acc, phrase.dat) == cases


def test_capitalisation_skips_a_leading_placeholder() -> None:
    assert capitalised("\ue000red lamps") == "\ue000Red lamps"
    assert capitalised("\ue000 is red") == "\ue000 is red"


def test_comments_are_the_same_for_the_same_seed_and_hold_known_labels() -> None:
    comments = list(islice(comment.training_comments(4), 300))
    assert comments == list(islice(comment.training_comments(4), 300))
    assert set().union(*(one.labels for one in comments)) == set(comment.LABELS)
    assert any(not one.labels for one in comments)


def test_a_held_out_comment_is_not_in_the_training_set() -> None:
    seen = {one.text for one in islice(comment.training_comments(4), 600)}
    assert not seen & {one.text for one in comment.held_out_comments(5, 30)}


def test_a_comment_has_one_set_of_labels() -> None:
    known: dict[str, frozenset[str]] = {}
    for one in islice(comment.training_comments(4), 600):
        assert known.setdefault(one.text, one.labels) == one.labels

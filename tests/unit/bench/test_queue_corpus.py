"""The benchmark's check of results: measuring wrong answers would be worthless."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.queue.corpus import Corpus, WrongResults, reversed_words, texts

TEXTS = ["ba be bi", "bo bu", "da"]


def check(folder: Path, answers: Sequence[tuple[int, str]]) -> int:
    path = folder / "results.ndjson"
    lines = [json.dumps({"index": index, "output": {"text": text}}) for index, text in answers]
    path.write_text("".join(f"{line}\n" for line in lines))
    return Corpus.write(TEXTS, folder / "body.ndjson").check(path)


def right() -> list[tuple[int, str]]:
    return list(enumerate(map(reversed_words, TEXTS)))


def test_all_correct_answers_are_counted(tmp_path: Path) -> None:
    assert check(tmp_path, right()) == 3


def test_a_missing_answer_is_found(tmp_path: Path) -> None:
    with pytest.raises(WrongResults, match="2 results of 3"):
        check(tmp_path, right()[:2])


def test_a_duplicate_answer_is_found(tmp_path: Path) -> None:
    with pytest.raises(WrongResults, match="index 2"):
        check(tmp_path, [*right(), right()[2]])


def test_swapped_answers_are_found(tmp_path: Path) -> None:
    first, second, third = right()
    with pytest.raises(WrongResults, match="index 0"):
        check(tmp_path, [(0, second[1]), (1, first[1]), third])


def test_the_same_seed_gives_the_same_texts() -> None:
    assert texts(50, seed=3) == texts(50, seed=3) != texts(50, seed=4)

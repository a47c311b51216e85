"""What is read of a model's rules of decoding, from which file, and what is said of those that are not applied."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.engine.transformer.decode.rules import OF_HISTORY, Rules, unapplied

ENDS = {1}


def written(folder: Path, **settings: Any) -> Path:
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


def test_a_model_that_asks_for_nothing_has_no_rules(tmp_path: Path) -> None:
    assert Rules.read(tmp_path, {}, ENDS) == Rules(frozenset(ENDS))
    assert not Rules.read(tmp_path, {}, ENDS).needs_history
    assert unapplied(tmp_path, {}, ENDS, OF_HISTORY) == []


def test_all_rules_are_read(tmp_path: Path) -> None:
    folder = written(
        tmp_path, repetition_penalty=1.1, no_repeat_ngram_size=3, bad_words_ids=[[5], [6, 7], [6, 8], [9, 9, 9]],
        begin_suppress_tokens=[4], min_length=2, min_new_tokens=3, forced_bos_token_id=0, forced_eos_token_id=[7, 1],
    )  # fmt: skip
    words = {(6,): frozenset({7, 8}), (9, 9): frozenset({9})}
    assert Rules.read(folder, {}, ENDS) == Rules(frozenset(ENDS), 1.1, 3, words, frozenset({4}), 2, 3, 0, True)


def test_the_models_configuration_counts_only_where_no_other_file_is(tmp_path: Path) -> None:
    config = {"repetition_penalty": 1.5, "forced_eos_token_id": 1, "guidance_scale": 2.0}
    assert Rules.read(tmp_path, config, ENDS) == Rules(frozenset(ENDS), 1.5, forces_end=True)
    assert unapplied(tmp_path, config, ENDS) == ["guidance_scale"]
    folder = written(tmp_path, max_length=20)
    assert Rules.read(folder, config, ENDS) == Rules(frozenset(ENDS))
    assert unapplied(folder, config, ENDS) == []


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"repetition_penalty": 1.1, "forced_eos_token_id": 1, "bad_words_ids": [[3, 4]]}, []),
        ({"encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0, "sequence_bias": None}, []),
        ({"encoder_repetition_penalty": 1.2, "stop_strings": ["x"]}, ["encoder_repetition_penalty", "stop_strings"]),
        ({"forced_eos_token_id": 9}, ["forced_eos_token_id"]),
        ({"do_sample": True, "temperature": 0.7, "num_beams": 5}, []),
    ],
)
def test_what_is_not_applied_is_named(settings: dict[str, Any], names: list[str], tmp_path: Path) -> None:
    assert unapplied(written(tmp_path, **settings), {}, ENDS) == names


def test_an_engine_names_what_it_does_not_apply_either(tmp_path: Path) -> None:
    folder = written(tmp_path, repetition_penalty=1.1, min_length=0, forced_bos_token_id=3, no_repeat_ngram_size=0)
    assert unapplied(folder, {}, ENDS, OF_HISTORY) == ["forced_bos_token_id", "repetition_penalty"]


def test_ids_that_stand_for_none_are_left_out(tmp_path: Path) -> None:
    folder = written(
        tmp_path, forced_bos_token_id=-1, forced_eos_token_id=-1, begin_suppress_tokens=[-1], bad_words_ids=[[-1, 2]]
    )
    assert Rules.read(folder, {}, ENDS) == Rules(frozenset(ENDS))
    assert unapplied(folder, {}, ENDS, OF_HISTORY) == []

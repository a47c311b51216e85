"""Templates and tokenizers that would take all time or memory are refused, and this process never evaluates them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.models import template
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.template import ChatTemplate
from lengthwise.models.tokenizer import ModelTokenizer
from lengthwise.models.usable import unusable
from tests.fakes import write_config

#: Changes the content of a ``tokenizer.json``.
Change = Callable[[dict[str, Any]], None]

#: Templates that need time or memory without end.
ENDLESS = {
    "a loop": "{% for i in range(10 ** 9) %}{% endfor %}",
    "loops in loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loops over a text": "{% for i in 'x' * 99999 %}{% for j in 'x' * 99999 %}{% endfor %}{% endfor %}",
    "loops with a condition": "{% for i in range(9999) if i < 0 %}{% endfor %}" * 200,
    "a product of a text": "{{ 'x' * 10 ** 10 }}",
    "a power": "{{ 9 ** 9 ** 9 }}",
    "squares": "{% set n = namespace(v=9) %}{% for i in range(999) %}{% set n.v = n.v * n.v %}{% endfor %}",
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(99) }}"
    ),
    "a macro that calls itself": "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "a text without end": "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
    "doubling": "{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "joining": "{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "replacing": (
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s.replace('x', 'xx') %}{% endfor %}"
    ),
    "doubling what is asked": (
        "{% set n = namespace(s=messages[0].content) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}"
    ),
    "centering": "{{ 'x'.center(10 ** 11) }}",
    "a width": "{{ '%99999999999d' % 1 }}",
    "a width in a long conversation": "{% if messages | length > 900 %}{{ 'x'.ljust(10 ** 11) }}{% endif %}",
}


def chat_model(folder: Path, source: str) -> ModelSpec:
    write_config(folder, "LlamaForCausalLM")
    (folder / "chat_template.jinja").write_text(source)
    return ModelSpec.from_table("m", {"path": folder, "chat": {}})


@pytest.mark.parametrize("source", ENDLESS.values(), ids=list(ENDLESS))
def test_an_endless_template_is_refused_or_refuses_each_conversation(source: str, tmp_path: Path) -> None:
    began = time.monotonic()
    found = unusable(chat_model(tmp_path, source))
    if found is not None:
        assert found.code == "template_missing"
        return
    with pytest.raises(InvalidInput):
        template.load(tmp_path).render([{"role": "user", "content": "x"}] * 1000)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("source", [ENDLESS["doubling"], "{% for i in range(9) %}{% endfor"])
def test_a_template_that_fails_its_trial_makes_the_model_unusable(source: str, tmp_path: Path) -> None:
    found = unusable(chat_model(tmp_path, source))
    assert found is not None
    assert found.code == "template_missing"


def test_a_long_conversation_is_rendered() -> None:
    source = "{% for m in messages if m.role %}{{ loop.index }}/{{ loop.length }}{{ m.content }}{% endfor %}"
    found = ChatTemplate(source, {}).render([{"role": "user", "content": "x"}] * 20_000)
    assert found.endswith("20000/20000x")


def test_a_conversation_that_costs_too_much_is_told_so_and_a_short_one_is_rendered(tmp_path: Path) -> None:
    source = "{% for m in messages %}{% for i in range(900) %}x{% endfor %}{% endfor %}"
    assert unusable(chat_model(tmp_path, source)) is None
    loaded, message = template.load(tmp_path), {"role": "user", "content": "x"}
    assert loaded.render([message]) == "x" * 900
    with pytest.raises(InvalidInput, match="send fewer messages"):
        loaded.render([message] * 1000)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(?:(?:a*)*)*c"])
def test_a_tokenizer_whose_pattern_backtracks_without_end_is_refused(pattern: str, tmp_path: Path) -> None:
    write_config(tmp_path, "LlamaForCausalLM")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["pre_tokenizer"]["pattern"] = {"Regex": pattern}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    try:
        loaded = ModelTokenizer(tmp_path)
    except ConfigurationError as error:
        assert "needs too much" in str(error) or "cannot be used" in str(error)
    else:  # the library has limits of its own for some patterns
        began = time.monotonic()
        loaded.encode(["a" * 3000 + "!"])
        assert time.monotonic() - began < 20


def test_a_tokenizer_is_tried_once_for_each_content(tmp_path: Path) -> None:
    write_config(tmp_path, "LlamaForCausalLM")
    ModelTokenizer(tmp_path)
    began = time.monotonic()
    for _ in range(30):
        ModelTokenizer(tmp_path)
    assert time.monotonic() - began < 3


def test_filters_and_formats_of_usual_widths_work() -> None:
    source = "{{ 'a\nb' | indent(2) }}|{{ 'x' | center(3) }}|{{ '%s-%5.2f' % ('y', 1.5) }}|{{ '%d' | format(7) }}"
    source += "|{{ '=' * 3 }}"
    assert ChatTemplate(source, {}).render([]) == "a\n  b| x |y- 1.50|7|==="


def with_part(name: str, part: Any) -> Change:
    return lambda content: content.update({name: part})


def with_words(words: Any) -> Change:
    return lambda content: content["model"].update(vocab=words)


def with_token(**given: Any) -> Change:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return with_part("added_tokens", [{"id": 0, "content": "x", "special": True, **flags, **given}])


REPLACE = {"type": "Replace", "content": "x"}
#: Files that the library refuses, or that make it panic, which raises no ``Exception``, when it loads or uses them.
BROKEN: dict[str, Change] = {
    "no words": with_words({}),
    "no word for the unknown": with_words({"a": 0}),
    "an id of 34 bits": with_words({"a": 2**33}),
    "a negative id": with_words({"a": -1}),
    "a special token's id of 34 bits": with_token(id=2**33),
    "a pattern that is none": with_part("normalizer", REPLACE | {"pattern": {"Regex": "("}}),
    "a map that is too short": with_part("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "a map of another length": with_part("normalizer", {"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="}),
    "an empty map": with_part("normalizer", {"type": "Precompiled", "precompiled_charsmap": ""}),
    "parts of no length": with_part("pre_tokenizer", {"type": "FixedLength", "length": 0}),
    "a special token that is none": with_part(
        "post_processor",
        {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "none", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        },
    ),
    "an unknown id that is none": with_part("model", {"type": "Unigram", "unk_id": 7, "vocab": [["a", 0.0]]}),
    "no pieces": with_part("model", {"type": "Unigram", "unk_id": None, "vocab": []}),
    "pieces without the unknown": with_part("model", {"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]]}),
    "merges of no words": with_part("model", {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}),
    "a type of two million letters": with_part("normalizer", {"type": "N" * 2_000_000}),
    "a model's type of two million letters": lambda content: content["model"].update(type="W" * 2_000_000),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=list(BROKEN))
def test_a_tokenizer_that_the_library_cannot_use_makes_the_model_unusable(change: Change, tmp_path: Path) -> None:
    write_config(tmp_path, "LlamaForCausalLM")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    change(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    began = time.monotonic()
    found = unusable(ModelSpec.from_table("m", {"path": tmp_path, "generate": {}}))
    assert found is not None
    assert found.code == "tokenizer_unreadable"
    assert len(str(found)) < 1000
    with pytest.raises(ConfigurationError):
        ModelTokenizer(tmp_path)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "change",
    [
        with_words({"<unk>": 0, "a": 2**32 - 1}),
        with_token(id=2**32 - 1),
        with_token(content=""),
        with_part("normalizer", REPLACE | {"pattern": {"Regex": ""}}),
        with_part("normalizer", REPLACE | {"pattern": {"String": ""}}),
        with_part("decoder", {"type": "Strip", "content": "x", "start": 10**9, "stop": 10**9}),
        with_part("truncation", {"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 5}),
    ],
)
def test_a_strange_tokenizer_that_can_be_used_takes_neither_time_nor_memory(change: Change, tmp_path: Path) -> None:
    write_config(tmp_path, "LlamaForCausalLM")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    change(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    began = time.monotonic()
    loaded = ModelTokenizer(tmp_path)
    loaded.encode(["a text", "", "\U0010ffff"], framed=True)
    loaded.windows(["a text " * 50], 8)
    loaded.decode_batch([[0, 1], [2**31 - 1], [2**32 - 1]])
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "name",
    [
        "A" * 2_000_000 + "ForCausalLM",
        "ForCausalLM" * 400_000,
        "_" * 2_000_000,
        "aA" * 1_000_000,
        "aA" * 4_000 + "ForCausalLM",
    ],
    ids=["one word", "many words", "no words", "many humps", "below the longest text"],
)
def test_a_class_name_of_any_length_is_refused_at_once(name: str, tmp_path: Path) -> None:
    write_config(tmp_path, name)
    began = time.monotonic()
    found = unusable(ModelSpec.from_table("m", {"path": tmp_path, "generate": {}}))
    assert found is not None
    assert found.code in ("wrong_architecture", "config_unreadable")
    assert len(str(found)) < 1000
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize(
    "more",
    [
        {"tokenizer_class": "aA" * 1_000_000},
        {"model_type": "a" * 4_000_000},
        {"text_config": [{"processor_class": "aA" * 10_000}]},
        {"a" * 20_000: 1},
    ],
    ids=["a class", "a type", "an inner class", "a key"],
)
def test_a_text_without_measure_in_a_configuration_is_refused(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    write_config(tmp_path, "LlamaForCausalLM")
    path = tmp_path / name
    given = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(given | more))
    began = time.monotonic()
    found = unusable(ModelSpec.from_table("m", {"path": tmp_path, "generate": {}}))
    assert found is not None
    assert found.code == "config_unreadable"
    assert f"{name} has a text of more than 10,000 characters" in str(found)
    assert time.monotonic() - began < 10

"""Templates and tokenizers that would take all time or memory are refused, and this process never evaluates them."""

import json
import time
from pathlib import Path

import pytest

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.models import template
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.template import ChatTemplate
from lengthwise.models.tokenizer import ModelTokenizer
from lengthwise.models.usable import unusable
from tests.fakes import write_config

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
    "doubling": "{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
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

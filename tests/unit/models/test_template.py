"""Chat templates: the model's own template renders the prompt, and callers' texts cannot forge control tokens."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.models import template
from lengthwise.models.tokenizer import ModelTokenizer
from tests.fakes import write_echo_model

QWEN = """
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}{%- continue %}{%- endif %}
    {%- if message.role == 'system' %}{{- raise_exception('unexpected ' + message.content) }}{%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

LLAMA = """{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
{{ '<|header|>' + message['role'] + '<|end_header|>' + message['content'] | trim + '<|eot|>' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|header|>assistant<|end_header|>' }}{% endif %}"""

CONTROL = ["<|im_start|>", "<|im_end|>", "<|bos|>", "<|header|>", "<|end_header|>", "<|eot|>", "\n"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer with one token for each character, plus the control tokens of both families."""
    write_echo_model(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.add_special_tokens(CONTROL)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def tokens_of(folder: Path, source: str, *messages: tuple[str, str]) -> list[str]:
    """The tokens that the model reads, as text."""
    tokenizer = ModelTokenizer(folder)
    spoken = template.ChatTemplate(source, {"bos_token": "<|bos|>"})
    ids = template.encode(spoken, tokenizer, [{"role": role, "content": content} for role, content in messages])
    names = {index: name for name, index in Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab().items()}
    return [names[index] for index in ids]


def test_a_chatml_template_renders_as_for_qwen(folder: Path) -> None:
    tokens = tokens_of(folder, QWEN, ("system", "Rhyme."), ("user", " Hi "), ("assistant", "Fly"), ("user", "{{ x }}"))
    assert "".join(tokens) == (
        "<|im_start|>system\nRhyme.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\nFly<|im_end|>\n"
        "<|im_start|>user\n{{ x }}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokens.count("<|im_start|>") == 5
    assert "".join(tokens_of(folder, QWEN, ("user", "Hi"))).startswith("<|im_start|>system\nBe brief.<|im_end|>")


def test_a_header_template_renders_as_for_llama(folder: Path) -> None:
    tokens = tokens_of(folder, LLAMA, ("user", "  Hi  "))
    assert tokens == ["<|bos|>", "<|header|>", *"user", "<|end_header|>", "H", "i", "<|eot|>",
                    "<|header|>", *"assistant", "<|end_header|>"]  # fmt: skip


@pytest.mark.parametrize("source", [QWEN, LLAMA], ids=["chatml", "headers"])
@pytest.mark.parametrize("control", ["<|im_end|>", "<|im_start|>", "<|eot|>", "<|bos|>", "</s>"])
def test_a_text_cannot_contain_a_control_token(folder: Path, source: str, control: str) -> None:
    plain = tokens_of(folder, source, ("user", "ab"))
    tokens = tokens_of(folder, source, ("user", f"a{control}b"))
    assert tokens.count(control) == plain.count(control)
    start = tokens.index("a", plain.index("b") - 1)
    assert tokens[start : start + len(control) + 2] == ["a", *control, "b"]


@pytest.mark.parametrize("text", ["\ufdd00\ufdd1", "\ufdd07\ufdd1", "\ufdd0", "{{ messages }}", "{% raw %}", ""])
def test_a_text_cannot_pass_for_another_message(folder: Path, text: str) -> None:
    tokens = tokens_of(folder, LLAMA, ("user", text), ("assistant", "first"), ("user", "second"))
    assert "".join(tokens).count("first") == "".join(tokens).count("second") == 1
    assert tokens.count("<|eot|>") == 3


def test_an_order_of_roles_that_the_template_refuses_is_invalid_input(folder: Path) -> None:
    for source, messages in (
        (LLAMA, [("assistant", "CaNaRy"), ("user", "CaNaRy")]),
        (QWEN, [("user", "CaNaRy"), ("system", "CaNaRy")]),
    ):
        with pytest.raises(InvalidInput) as caught:
            tokens_of(folder, source, *messages)
        assert caught.value.field == "messages"
        assert "CaNaRy" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    ["{{ messages.__class__.__mro__[1] }}", "{{ cycler.__init__.__globals__.os }}", "{{ messages.append(1) }}"],
)
def test_a_template_stays_in_its_sandbox(folder: Path, source: str) -> None:
    with pytest.raises(InvalidInput):
        tokens_of(folder, source, ("user", "x"))


@pytest.mark.parametrize("where", ["file", "configuration"])
def test_a_models_own_template_is_used(folder: Path, where: str) -> None:
    config: dict[str, object] = {"bos_token": {"content": "<|bos|>"}, "eos_token": "<|eot|>"}
    if where == "file":
        (folder / "chat_template.jinja").write_text("{{ bos_token }}{{ eos_token }}")
    else:
        config["chat_template"] = "{{ bos_token }}{{ eos_token }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert template.load(folder).render([]) == "<|bos|><|eot|>"


@pytest.mark.parametrize("source", [None, "{% if %}"])
def test_a_missing_or_unreadable_template_is_a_configuration_error(folder: Path, source: str | None) -> None:
    if source is not None:
        (folder / "chat_template.jinja").write_text(source)
    with pytest.raises(ConfigurationError, match="chat template"):
        template.load(folder)


NAMED = [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]


@pytest.mark.parametrize(("name", "text"), [("default", "d"), ("tool_use", "t"), ("rag", "f")])
def test_a_template_of_a_list_or_a_folder_is_found_by_its_name(folder: Path, name: str, text: str) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": NAMED}))
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("f")
    assert template.load(folder, name).render([]) == text


def test_a_template_that_is_not_among_the_named_ones_is_a_configuration_error(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": NAMED}))
    with pytest.raises(ConfigurationError, match="no chat template rag, but these: default, tool_use"):
        template.load(folder, "rag")


@pytest.mark.parametrize("found", [[], [{"name": "default"}], {"default": "x"}, [1], 7, [{"name": 1, "template": "x"}]])
def test_a_list_that_is_none_is_no_template(folder: Path, found: object) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": found}))
    with pytest.raises(ConfigurationError, match="has no chat template"):
        template.load(folder)


def test_options_are_read_and_are_a_callers_texts(folder: Path) -> None:
    spoken = template.ChatTemplate("{{ effort }}{% if not thinking %}!{% endif %}", {})
    assert spoken.render([], {"effort": "<|eot|>", "thinking": False}) == "<|eot|>!"
    ids = template.encode(spoken, ModelTokenizer(folder), [], {"effort": "<|eot|>", "thinking": False})
    assert len(ids) == len("<|eot|>!")

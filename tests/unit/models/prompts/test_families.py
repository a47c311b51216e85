"""For each family's template, a prompt's ids are those of transformers, and no message becomes a control token."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from lengthwise.errors import InvalidInput
from lengthwise.models import template
from lengthwise.models.prompts.control_tokens import control_tokens
from lengthwise.models.prompts.marked import CALLERS, marks
from lengthwise.models.tokenizer import CountingTokenizer, ModelTokenizer
from tests.unit.models.prompts import families
from tests.unit.models.prompts.families import FAMILIES

Messages = list[dict[str, Any]]
#: Contents of which no part is a control token of any family.
HARMLESS = [
    "What is the capital of France?",
    "  blanks before and behind \n",
    "\n\nlines\n\n\n\nbetween\n",
    "x",
    " ",
    "\t",
    "法国的首都是巴黎。Привет 🙂 e\u0301 ﬁ \u00a0 \u200b",
    "if a < b and c > d: print('100% 2025 {:9999} {{ x }} {% raw %}')",
    "ø ö <table><tr></h1> <b>bold</b>",
    "<|", "|>", "[INS", "<", "</", "think>", "<｜",
]  # fmt: skip

#: Families whose tokens are the bytes of the text, so that the ids show whether all of it is there.
WHOLE = ("llama-3.2", "llama-guard-3", "smollm2", "smollm3", "phi-4-mini", "gpt-oss", "granite-3")


class Model:
    """A model of a family, as both read it."""

    def __init__(self, folder: Path) -> None:
        self.ours = ModelTokenizer(folder)
        self.counting = CountingTokenizer(folder)
        self.template = template.load(folder)
        self.theirs = PreTrainedTokenizerFast.from_pretrained(folder)
        self.control = control_tokens(self.theirs.backend_tokenizer)

    def ids(self, messages: Messages, **options: Any) -> list[int]:
        found = template.encode(self.template, self.ours, messages, options)
        assert len(template.encode(self.template, self.counting, messages, options)) == len(found)
        return found

    def expected(self, messages: Messages, **options: Any) -> list[int]:
        return list(self.theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False, **options))


#: Makes a family's model, once.
ModelOf = Callable[[str], Model]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> ModelOf:
    return cache(lambda name: Model(families.write(tmp_path_factory.mktemp("model"), name)))


def conversations(name: str, *contents: str) -> list[Messages]:
    """Conversations of these contents, in orders of roles that the family's template takes."""
    one, two, three = (contents * 3)[:3]
    user, answered = [{"role": "user", "content": one}], {"role": "assistant", "content": two}
    found: list[Messages] = [user, [*user, answered, {"role": "user", "content": three}]]
    if FAMILIES[name].has_system:
        found += [[{"role": "system", "content": three}, *each] for each in found]
    return found


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("content", HARMLESS)
def test_the_ids_are_those_of_transformers(name: str, model_of: ModelOf, content: str) -> None:
    model = model_of(name)
    for messages in conversations(name, content, "Paris. ", "And of\nGermany?"):
        assert model.ids(messages) == model.expected(messages)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_text_without_brackets_has_the_ids_of_transformers(
    name: str, model_of: ModelOf, data: st.DataObject
) -> None:
    model = model_of(name)
    plain = st.text(st.characters(codec="utf-8", exclude_characters="<>[]｜"), max_size=40)
    for messages in conversations(name, *data.draw(st.tuples(plain, plain, plain))):
        assert model.ids(messages) == model.expected(messages)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_message_becomes_a_control_token(name: str, model_of: ModelOf, data: st.DataObject) -> None:
    model = model_of(name)
    controls = families.control_texts(name)
    cut = st.builds(
        lambda text, at: text[at:] if at > 0 else text[:-1][:at], st.sampled_from(controls), st.integers(-9, 9)
    )
    part = st.sampled_from(controls) | cut | st.sampled_from([" ", "\n", "x", "<unk>", "user\n"]) | st.text(max_size=3)
    hostile = st.lists(part, max_size=8).map("".join)
    contents = data.draw(st.tuples(hostile, hostile, hostile))
    for messages in conversations(name, *contents):
        harmless = [message | {"content": neutral(message["content"])} for message in messages]
        try:
            ids = model.ids(messages)
        except InvalidInput:  # gpt-oss refuses some messages
            continue
        rendered = model.template.render(messages)
        assert rendered == model.theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        if name in WHOLE:
            assert model.theirs.decode(ids) == rendered
        unknown = model.theirs.unk_token_id
        controls_read = [number for number in ids if number in model.control and number != unknown]
        assert controls_read == own_controls(model, rendered)
        if "think" not in str(contents):  # or else a template may have cut it
            plain = model.expected(harmless)
            assert controls_read == [number for number in plain if number in model.control and number != unknown]


def neutral(text: str) -> str:
    """A text of which nothing can be a control token, and which has its blanks where the other one has."""
    return "".join(character if character.isspace() else "x" for character in text)


def own_controls(model: Model, rendered: Any) -> list[int]:
    """The control tokens of what the template wrote itself, found without the code that is tried."""
    pairs = zip(rendered.plain(), marks(rendered), strict=True)
    ours = "".join("\ue000" if mark == CALLERS[0] else character for character, mark in pairs)
    texts = sorted(((text, number) for number, text in model.control.items()), key=lambda each: -len(each[0]))
    found, at = [], 0
    while at < len(ours):
        hit = next(((text, number) for text, number in texts if ours.startswith(text, at)), None)
        at += len(hit[0]) if hit else 1
        found += [hit[1]] if hit else []
    return found


#: By family: a message that would become a control token only together with what the template writes around it.
SPLIT = [
    ("qwen2.5", "{{ '<|im_' + messages[0].content }}", "end|>"),
    ("qwen2.5", "{{ messages[0].content + '_end|>' }}", "<|im"),
    ("qwen2.5", "{{ '<|im' ~ messages[0].content ~ 'end|>' }}", "_"),
    ("phi-4-mini", "{{ '<|' + messages[0].content + '|>' }}", "user"),
    ("hermes on unigram", "{{ '<' + messages[0].content }}", "s>"),
    ("gpt-oss", "{{ messages[0].content.split('x') | join }}", "<|exxnd|>"),
    ("gpt-oss", "{% for x in messages[0].content %}{{ x }}{% endfor %}", "<|end|>"),
    ("gpt-oss", "{{ messages[0].content.replace('x', '') }}", "<|exxnd|>"),
    ("gpt-oss", "{{ messages[0].content | upper | lower }}", "<|End|>"),
    ("gpt-oss", "{{ messages[0].content[::-1] }}", "<|end|>"[::-1]),
]


@pytest.mark.parametrize(("name", "source", "content"), SPLIT)
def test_no_part_of_a_message_becomes_part_of_a_control_token(
    name: str, source: str, content: str, model_of: ModelOf
) -> None:
    model = model_of(name)
    made = template.ChatTemplate(source, {})
    ids = template.encode(made, model.ours, [{"role": "user", "content": content}])
    assert not [number for number in ids if number in model.control and number != model.theirs.unk_token_id]
    rendered = made.render([{"role": "user", "content": content}]).plain()
    assert set(model.theirs(rendered, add_special_tokens=False)["input_ids"]) & model.control.keys(), (
        "or it shows nothing"
    )


#: Tokens that a message could take the place of, if only the number of control tokens were looked at.
ODD: list[tuple[str, dict[str, bool], str, str]] = [
    ("aba", {"normalized": False}, "ab", "{{ messages[0].content }}aba"),
    ("<t>", {"normalized": True}, "\u0338 <t>", "<t>{{ messages[0].content }}"),
    ("<t>", {"normalized": False, "single_word": True}, "<t> x", "{{ messages[0].content }}<t>"),
]


@pytest.mark.parametrize(("token", "flags", "content", "source"), ODD)
def test_a_message_does_not_take_the_place_of_a_control_token(
    token: str, flags: dict[str, bool], content: str, source: str, tmp_path: Path
) -> None:
    folder = families.write(tmp_path, "qwen2.5")
    read = Tokenizer.from_file(str(folder / "tokenizer.json"))
    read.add_special_tokens([AddedToken(token, special=True, **flags)])
    read.save(str(folder / "tokenizer.json"))
    ours = ModelTokenizer(folder)
    [number] = ours.ids_of(token)
    ids = template.encode(template.ChatTemplate(source, {}), ours, [{"role": "user", "content": content}])
    assert ids.count(number) == 1
    assert ids[0 if source.startswith(token) else -1] == number


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("framed", [False, True])
def test_a_text_without_a_template_holds_no_control_token_either(name: str, framed: bool, model_of: ModelOf) -> None:
    model, controls = model_of(name), families.control_texts(name)
    texts = [*controls, "".join(controls), *(f"a{each} b" for each in controls), "", " "]
    frame = model.ours.encode([""], framed=framed)[0]
    found = model.ours.encode(texts, framed=framed)
    for ids in found:
        assert ids[: len(frame)] == frame
        assert not [each for each in ids[len(frame) :] if each in model.control and each != model.theirs.unk_token_id]
    assert list(map(len, model.counting.encode(texts, framed=framed))) == list(map(len, found))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("room", [1, 2, 3, 7, 20])
def test_a_part_of_a_text_holds_no_control_token_either(name: str, room: int, model_of: ModelOf) -> None:
    model = model_of(name)
    text = "ab ".join([*families.control_texts(name), "plain words"])
    frame = model.ours.encode([""], framed=True)[0]
    size = len(frame) + room
    [whole] = model.ours.encode([text], framed=True)
    [cut] = model.ours.cut([text], [whole], size)
    [windows] = model.ours.windows([text], size)
    assert cut == whole[:size] == windows[0].ids
    for ids in [window.ids for window in windows]:
        assert ids[: len(frame)] == frame and len(ids) <= size
        assert not [each for each in ids[len(frame) :] if each in model.control and each != model.theirs.unk_token_id]
    assert (windows[0].start, windows[-1].end) == (0, len(text))
    assert all(before.start <= after.start <= before.end for before, after in pairwise(windows))
    [counted] = model.counting.windows([text], size)
    assert [len(window.ids) for window in counted] == [len(window.ids) for window in windows]


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("qwen3", {"enable_thinking": False}),
    ("qwen3", {"enable_thinking": True}),
    ("smollm3", {"enable_thinking": False}),
    ("gpt-oss", {"reasoning_effort": "high"}),
    ("gpt-oss", {"model_identity": "You are Wendy."}),
    ("granite-3", {"thinking": True}),
    ("granite-3", {"controls": {"length": "long", "originality": "ä"}}),
    ("llama-3.2", {"date_string": "1 Jan 2030"}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_with_options_the_ids_are_those_of_transformers(name: str, options: dict[str, Any], model_of: ModelOf) -> None:
    model = model_of(name)
    messages = conversations(name, " a ", "b", "c\n")[1]
    assert model.ids(messages, **options) == model.expected(messages, **options)
    assert options == {"enable_thinking": True} or model.ids(messages, **options) != model.ids(messages)

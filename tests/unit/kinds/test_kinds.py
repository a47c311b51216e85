"""The kinds: the prompts of an item, and the output made of the model's answers."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lengthwise.errors import ConfigurationError
from lengthwise.kinds import KINDS
from lengthwise.kinds.embed import EmbedOptions
from lengthwise.kinds.generate import GenerateOptions
from lengthwise.kinds.kind import Decoding, KindModel, ModelAnswer
from lengthwise.kinds.moderate import ModerateOptions
from lengthwise.kinds.sampling import trimmed
from lengthwise.models.catalog import ModelSpec
from tests.unit.kinds.kind_calls import echo_model, output_of, prompts_of, stopped, with_options

TO_DE = 3


@pytest.fixture
def model(tmp_path: Path) -> KindModel:
    return echo_model(tmp_path)


class TestModerate:
    ANSWER = ModelAnswer("", "label", ("ok", "hate", "spam"), (0.1, 0.40004, 0.5))

    def output(self, model: KindModel, **params: Any) -> dict[str, Any]:
        options = ModerateOptions(threshold=0.5, harmless=("ok",))
        found = output_of(with_options(model, moderate=options), "moderate", {"text": "x"}, [self.ANSWER], params)
        assert found is not None
        return found

    def test_a_category_is_true_from_the_models_threshold(self, model: KindModel) -> None:
        assert self.output(model) == {
            "flagged": True,
            "categories": {"hate": False, "spam": True},
            "scores": {"hate": 0.40004, "spam": 0.5},
        }

    def test_a_job_may_set_its_own_threshold(self, model: KindModel) -> None:
        assert self.output(model, threshold=0.6)["flagged"] is False
        assert self.output(model, threshold=0.4)["categories"] == {"hate": True, "spam": True}

    def test_the_unrounded_score_decides(self, model: KindModel) -> None:
        assert self.output(model, threshold=0.40004)["categories"]["hate"] is True
        assert self.output(model, threshold=0.40005)["categories"]["hate"] is False

    def test_a_moderation_generates_nothing_and_drops_tags(self, model: KindModel) -> None:
        [prompt] = prompts_of(model, "moderate", {"text": "<b>bad</b>"})
        assert prompt.max_new_tokens == 0
        assert model.tokenizer.decode_batch([prompt.tokens])[0] == "bad"

    def test_each_category_has_its_greatest_score_and_where_it_was(self, model: KindModel) -> None:
        item = {"text": "<img alt='you all'>abc"}
        texts = [model.tokenizer.decode_batch([prompt.tokens])[0] for prompt in prompts_of(model, "moderate", item)]
        assert texts == ["abc", "you all"]
        answers = [ModelAnswer("", "label", ("hate", "spam"), scores) for scores in ((0.1, 0.7), (0.9, 0.7))]
        assert output_of(model, "moderate", item, answers) == {
            "flagged": True,
            "categories": {"hate": True, "spam": True},
            "scores": {"hate": 0.9, "spam": 0.7},
            "spans": {"hate": (10, 17), "spam": (19, 22)},
        }

    def test_no_text_is_too_long_and_every_character_is_in_a_window(self, model: KindModel) -> None:
        text = "abcdefghij" * 200
        prompts = prompts_of(model, "moderate", {"text": text})
        assert [len(prompt.tokens) for prompt in prompts] == [512, 512, 512, 512, 464]
        answers = [
            ModelAnswer("", "label", tuple("abcde"), tuple(float(label == place) for label in range(5)))
            for place in range(5)
        ]
        found = output_of(model, "moderate", {"text": text}, answers)
        assert found is not None
        spans = {"a": (0, 512), "b": (384, 896), "c": (768, 1280), "d": (1152, 1664), "e": (1536, 2000)}
        assert found["spans"] == spans
        for prompt, (start, end) in zip(prompts, spans.values(), strict=True):
            assert model.tokenizer.decode_batch([prompt.tokens])[0] == text[start:end]


class TestGenerate:
    def test_a_prompt_follows_the_models_prefix(self, model: KindModel) -> None:
        [plain] = prompts_of(model, "generate", {"text": "abc"})
        [framed] = prompts_of(
            with_options(model, generate=GenerateOptions(prefix=">>de<<")), "generate", {"text": "abc"}
        )
        assert framed.tokens == [TO_DE, *plain.tokens]

    @pytest.mark.parametrize(
        ("length", "params", "room"),
        [(3, {}, 509), (3, {"max_new_tokens": 5}, 5), (510, {"max_new_tokens": 5}, 2), (512, {}, 0), (600, {}, -88)],
    )
    def test_an_answer_may_fill_the_rest_of_the_context(
        self, model: KindModel, length: int, params: dict[str, int], room: int
    ) -> None:
        [prompt] = prompts_of(model, "generate", {"text": "x" * length}, params)
        assert (len(prompt.tokens), prompt.max_new_tokens) == (length, room)


class TestBlankTexts:
    @pytest.mark.parametrize(
        ("kind", "output"),
        [
            ("generate", {"text": "", "finish_reason": "stop"}),
            ("chat", {"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}),
            ("embed", {"embedding": None}),
        ],
    )
    def test_an_empty_text_needs_no_model(self, model: KindModel, kind: str, output: dict[str, Any]) -> None:
        (model.spec.folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
        assert prompts_of(model, kind, {"text": ""}) == []
        assert output_of(model, kind, {"text": ""}, []) == output

    def test_a_blank_prompt_is_a_prompt(self, model: KindModel) -> None:
        [prompt] = prompts_of(model, "generate", {"text": " "})
        assert len(prompt.tokens) == 1

    def test_an_empty_text_with_a_prefix_is_embedded(self, model: KindModel) -> None:
        prefixed = with_options(model, embed=EmbedOptions(prefix={"query": "q: "}))
        [prompt] = prompts_of(prefixed, "embed", {"text": ""})
        assert len(prompt.tokens) == 3


class TestChat:
    @pytest.mark.parametrize(
        ("item", "texts"),
        [
            ({"text": "hi"}, ["hi"]),
            ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, ["a", "b"]),
        ],
    )
    def test_an_item_may_be_a_text_or_messages(self, item: dict[str, Any], texts: list[str]) -> None:
        assert KINDS["chat"].item_type.model_validate(item).texts() == texts

    @pytest.mark.parametrize(
        "item",
        [
            {},
            {"text": "a", "messages": [{"role": "user", "content": "a"}]},
            {"messages": []},
            {"messages": [{"role": "tool", "content": "a"}]},
            {"messages": [{"role": "user"}]},
            {"messages": [{"role": "user", "content": "a\x00"}]},
            {"messages": [{"role": "user", "content": "a", "name": "b"}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        ],
    )
    def test_anything_else_is_refused(self, item: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            KINDS["chat"].item_type.model_validate(item)

    def test_the_system_message_comes_first_and_the_answer_has_the_role_assistant(self, model: KindModel) -> None:
        (model.spec.folder / "chat_template.jinja").write_text(
            "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
        )
        [prompt] = prompts_of(model, "chat", {"text": "hi"}, {"system": "rhyme"})
        assert model.tokenizer.decode_batch([prompt.tokens])[0] == "[system:rhyme][user:hi]"
        output = output_of(model, "chat", {"text": "hi"}, [stopped("fly END")], {"stop": [" END"]})
        assert output == {"message": {"role": "assistant", "content": "fly"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("stop", "left"), [((), "abcabc"), (("c",), "ab"), (("ca", "b"), "a"), (("x",), "abcabc"), (("a",), "")]
)
def test_an_answer_ends_before_the_first_stop_string(stop: tuple[str, ...], left: str) -> None:
    assert trimmed("abcabc", stop) == left


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_found_by_name_and_its_parameters_survive_storage(name: str, model: KindModel) -> None:
    kind = KINDS[name]
    params = kind.params_type()
    assert kind.name == name
    assert kind.params_type.model_validate(params.model_dump(mode="json", exclude_none=True)) == params
    assert isinstance(kind.decoding(model.spec, params, None, 0), Decoding)


def test_no_job_generates_more_tokens_than_the_models_limit(model: KindModel) -> None:
    spec: ModelSpec = model.spec.model_copy(update={"max_new_tokens": 7})
    for name, given, most in (("generate", 100, 7), ("chat", 3, 3)):
        params = KINDS[name].params_type.model_validate({"max_new_tokens": given})
        assert KINDS[name].decoding(spec, params, None, 0).max_new_tokens == most


class TestEmbed:
    E5 = EmbedOptions(prefix={"query": "q: ", "passage": "p: "})

    @pytest.mark.parametrize(
        ("options", "params", "text"),
        [
            (EmbedOptions(), {}, "a </s> b"),
            (E5, {}, "q: a </s> b"),
            (E5, {"prefix": "passage"}, "p: a </s> b"),
        ],
    )
    def test_a_text_is_not_changed_and_follows_the_chosen_prefix(
        self, model: KindModel, options: EmbedOptions, params: dict[str, str], text: str
    ) -> None:
        [prompt] = prompts_of(with_options(model, embed=options), "embed", {"text": "a </s> b"}, params)
        assert (prompt.max_new_tokens, prompt.tokens) == (0, model.tokenizer.encode([text], framed=True)[0])

    def test_a_model_serves_only_its_own_prefixes(self, model: KindModel) -> None:
        spec, embed = with_options(model, embed=self.E5).spec, KINDS["embed"]
        served = [embed.serves(spec, embed.params_type.model_validate({"prefix": name})) for name in ("query", "x")]
        assert served == [True, False]
        assert "known here: query, passage" in str(embed.unserved_error([spec]))

    def test_a_prefix_that_was_removed_meanwhile_is_an_error(self, model: KindModel) -> None:
        with pytest.raises(ConfigurationError, match="prefix"):
            prompts_of(with_options(model, embed=self.E5), "embed", {"text": "a"}, {"prefix": "x"})

    @pytest.mark.parametrize(("length", "is_cut"), [(511, False), (512, False), (513, True), (5000, True)])
    def test_a_text_that_is_too_long_is_cut_if_the_job_says_so(
        self, model: KindModel, length: int, is_cut: bool
    ) -> None:
        item = {"text": "ab" * (length // 2) + "c" * (length % 2)}
        [whole], [cut] = (prompts_of(model, "embed", item, {"truncate": each}) for each in (False, True))
        assert model.spec.context == 512
        assert (len(whole.tokens), cut.tokens) == (length, whole.tokens[:512])
        embed = KINDS["embed"]
        for truncate in (False, True):
            params = embed.params_type.model_validate({"truncate": truncate})
            codes = embed.warnings(model, params, embed.item_type.model_validate(item), {}, [])
            assert list(codes) == ["truncated"] * (truncate and is_cut)

    def test_what_is_cut_is_the_text_and_not_its_prefix(self, model: KindModel) -> None:
        """The prefix counts, so that a text of the whole context is too long with it."""
        e5, item = with_options(model, embed=self.E5), {"text": "a" * 512}
        [prompt] = prompts_of(e5, "embed", item, {"truncate": True})
        assert prompt.tokens == e5.tokenizer.encode(["q: " + "a" * 509])[0]
        embed = KINDS["embed"]
        params = embed.params_type.model_validate({"truncate": True})
        assert list(embed.warnings(e5, params, embed.item_type.model_validate(item), {}, [])) == ["truncated"]

    def test_texts_are_read_in_the_case_that_the_model_was_trained_on(self, model: KindModel) -> None:
        item = {"text": "Ein HUND"}
        [before] = prompts_of(model, "embed", item)
        (model.spec.folder / "sentence_bert_config.json").write_text('{"do_lower_case": true, "max_seq_length": 8}')
        model.spec.forget()
        [after] = prompts_of(model, "embed", item)
        assert (after.tokens, model.spec.context) == (model.tokenizer.encode(["ein hund"])[0], 8)
        assert before.tokens != after.tokens

    def test_the_output_is_the_vector(self, model: KindModel) -> None:
        answer = ModelAnswer("", "vector", vector=(0.1, -2.0))
        assert output_of(model, "embed", {"text": "a"}, [answer]) == {"embedding": (0.1, -2.0)}


@pytest.mark.parametrize(
    ("name", "item", "params"),
    [
        ("generate", {"text": "a"}, {}),
        ("chat", {"text": "a"}, {}),
        ("translate", {"text": "a"}, {"source": "zh", "target": "en"}),
    ],
)
def test_an_answer_has_a_score_if_the_job_asks_for_it(
    name: str, item: dict[str, Any], params: dict[str, Any], model: KindModel
) -> None:
    (model.spec.folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    decoding = [
        KINDS[name].decoding(model.spec, KINDS[name].params_type.model_validate(params | more), None, 0).score
        for more in ({}, {"score": True})
    ]
    assert decoding == [False, True]

    def output(log_probability: float | None, **more: Any) -> dict[str, Any]:
        answer = stopped("b")._replace(log_probability=log_probability)
        found = output_of(model, name, item, [answer], params | more)
        assert found is not None
        return found

    assert "score" not in output(-1.0)
    assert output(-1.00004, score=True)["score"] == -1.0
    assert output(None, score=True)["score"] is None


def test_the_score_of_a_translation_is_the_sum_over_its_sentences(model: KindModel) -> None:
    answers = [stopped(text)._replace(log_probability=score) for text, score in (("a.", -1.5), ("b.", -0.25))]
    params = {"source": "en", "target": "de", "score": True}
    found = output_of(model, "translate", {"text": "One here. Two there."}, answers, params)
    assert found is not None
    assert found["score"] == -1.75

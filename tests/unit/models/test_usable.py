"""Which models can serve which kinds, read from their small files, without torch."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from lengthwise.errors import ModelUnusable
from lengthwise.kinds.moderate import ModerateOptions
from lengthwise.models import architecture
from lengthwise.models.catalog import DEMO_CATALOG, Catalog, ModelSpec
from lengthwise.models.kind_options import ModelFacts
from lengthwise.models.labels import Labels
from lengthwise.models.usable import CODES, check, unusable
from tests.fakes import write_config, write_echo_model
from worker.engine.protocol import Architecture
from worker.engine.transformer.weights.families import FITTING

LABELS = {"problem_type": "multi_label_classification", "id2label": {"0": "toxic", "1": "threat"}}
PAIRS = {"pairs": [["zh", "en"]]}
TABLES: dict[str, dict[str, Any]] = {"translate": PAIRS, "moderate": {}, "chat": {}, "generate": {}, "embed": {}}

#: By the class of ``config.json``: the rest of it, and the kinds that such a model can serve.
CLASSES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "MarianMTModel": ({"is_encoder_decoder": True}, {"translate", "chat", "generate"}),
    "T5ForConditionalGeneration": ({"is_encoder_decoder": True}, {"translate", "chat", "generate"}),
    "LlamaForCausalLM": ({"model_type": "llama"}, {"chat", "generate"}),
    "GPT2LMHeadModel": ({"model_type": "gpt2"}, {"chat", "generate"}),
    "Gemma3ForConditionalGeneration": (
        {"vision_config": {}, "text_config": {"model_type": "gemma3_text"}},
        {"chat", "generate"},
    ),
    "PaliGemmaForConditionalGeneration": ({"vision_config": {}, "text_config": {"model_type": "gemma"}}, set()),
    "Qwen2VLForConditionalGeneration": ({"vision_config": {}}, set()),
    "BertForSequenceClassification": (LABELS, {"moderate"}),
    "LlamaForSequenceClassification": (LABELS, {"moderate"}),
    "BertModel": ({"model_type": "bert"}, {"embed"}),
    "MPNetModel": ({"model_type": "mpnet"}, {"embed"}),
    "BertForTokenClassification": (LABELS, set()),
    "BertForQuestionAnswering": ({}, set()),
    "BertForMultipleChoice": ({}, set()),
    "BertForNextSentencePrediction": ({}, set()),
    "BertForMaskedLM": ({}, set()),
    "BertForPreTraining": ({}, set()),
    "ViTForImageClassification": ({"image_size": 224} | LABELS, set()),
    "ViTModel": ({"image_size": 224}, set()),
    "CLIPModel": ({"vision_config": {}}, set()),
    "WhisperForConditionalGeneration": ({"is_encoder_decoder": True, "num_mel_bins": 80}, set()),
    "Wav2Vec2ForSequenceClassification": ({"conv_dim": [512]} | LABELS, set()),
    "Wav2Vec2ForCTC": ({"conv_dim": [512]}, set()),
    "LlamaModel": ({"model_type": "llama"}, set()),
    "T5EncoderModel": ({"is_encoder_decoder": True}, set()),
    "BartModel": ({"is_encoder_decoder": True}, set()),
    "CLIPTextModelWithProjection": ({}, set()),
    "not a name": ({}, set()),
    "": ({}, set()),
}


def spec(folder: Path, kind: str = "moderate", table: dict[str, Any] | None = None, **more: Any) -> ModelSpec:
    return ModelSpec.from_table("m", {"path": folder, kind: TABLES[kind] if table is None else table, **more})


def reason(folder: Path, kind: str = "moderate", table: dict[str, Any] | None = None, **more: Any) -> ModelUnusable:
    found = unusable(spec(folder, kind, table, **more))
    assert found is not None
    assert found.code in CODES
    assert str(folder) not in str(found), "callers see it, and no path of this machine"
    return found


def write(folder: Path, name: str, **config: Any) -> Path:
    write_config(folder, name, **config)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    return folder


@pytest.mark.parametrize("kind", sorted(TABLES))
@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_kind_runs_only_on_an_architecture_that_can_serve_it(name: str, kind: str, tmp_path: Path) -> None:
    config, kinds = CLASSES[name]
    found = unusable(spec(write(tmp_path, name, **config), kind))
    assert (found is None) is (kind in kinds)
    if found is not None:
        assert found.code == "wrong_architecture"
        assert f"cannot serve {kind}" in found.reason or f"serve {kind}" in found.reason


def test_the_refusal_says_what_the_model_could_serve(tmp_path: Path) -> None:
    found = reason(write(tmp_path, "LlamaForCausalLM"))
    assert "LlamaForCausalLM (decoder-only) cannot serve moderate" in found.reason
    assert "…ForSequenceClassification" in found.reason
    assert "it could serve chat, generate" in found.reason
    assert found.remedy == "remove [models.m.moderate] from models.toml, or name another model there"


def test_every_decoder_of_our_attention_is_known_as_one() -> None:
    assert FITTING[Architecture.DECODER_ONLY] <= architecture.DECODERS


@pytest.mark.parametrize("kind", sorted(TABLES))
@pytest.mark.parametrize(
    ("engine", "kinds"),
    [
        ("echo", {"translate", "chat", "generate"}),
        ("openai", {"chat", "generate"}),
        ("ctranslate2", {"translate"}),
        ("of another package", set(TABLES)),
    ],
)
def test_each_engine_has_its_own_limits(engine: str, kinds: set[str], kind: str, tmp_path: Path) -> None:
    server = {"url": "http://gpu/v1", "model": "m"}
    found = unusable(spec(write(tmp_path, "MarianMTModel"), kind, engine=engine, server=server))
    assert (found is None) is (kind in kinds)
    assert found is None or found.code in ("wrong_architecture", "wrong_engine")


def test_a_server_that_is_not_named_is_missed(tmp_path: Path) -> None:
    assert reason(write(tmp_path, "LlamaForCausalLM"), "chat", engine="openai").code == "server_missing"


def classifier(folder: Path, *labels: str, problem: str | None = None) -> Path:
    return write(folder, "BertForSequenceClassification", id2label=dict(enumerate(labels)), problem_type=problem)


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (("neutral", "toxic"), 'harmless = ["neutral"]'),
        (("toxic", "Neutral"), 'harmless = ["Neutral"]'),
        (("S", "H", "V", "OK"), 'harmless = ["OK"]'),
        (("not_toxic", "toxic"), 'harmless = ["not_toxic"]'),
        (("non-toxic", "toxic"), 'harmless = ["non-toxic"]'),
        (("Not Hate", "Hate"), 'harmless = ["Not Hate"]'),
        (("safe", "unsafe"), 'harmless = ["safe"]'),
        (("safe", "not safe"), 'harmless = ["safe"]'),
        (("ok", "not_ok"), 'harmless = ["ok"]'),
        (("Normal", "Offensive", "Hate"), 'harmless = ["Normal"]'),
        (("clean", "nsfw"), 'harmless = ["clean"]'),
        (("non-misogynous", "misogynous"), 'harmless = ["non-misogynous"]'),
        (("none", "racism", "sexism"), 'harmless = ["none"]'),
        (("sunny", "stormy"), "harmless = […]"),
        (("LABEL_0", "LABEL_1"), 'harmless = ["LABEL_0"]'),
    ],
)
def test_exclusive_labels_need_a_harmless_one(labels: tuple[str, ...], line: str, tmp_path: Path) -> None:
    found = reason(classifier(tmp_path, *labels))
    assert found.code == "harmless_missing"
    assert ", ".join(labels) in found.reason
    assert found.remedy == f"write {line} into [models.m.moderate] of models.toml"
    assert ("say nothing" in found.reason) is labels[0].startswith("LABEL")
    chosen = labels[1:] if "not" not in labels[0] else labels[:1]
    assert unusable(spec(tmp_path, table={"harmless": chosen})) is None


def test_labels_without_names_in_the_file_are_transformers_own(tmp_path: Path) -> None:
    assert "(LABEL_0, LABEL_1)" in reason(write(tmp_path, "BertForSequenceClassification")).reason


@pytest.mark.parametrize(
    ("harmless", "code", "line"),
    [
        (["Neutral"], "harmless_unknown", 'harmless = ["neutral"]'),
        (["neutrall"], "harmless_unknown", 'harmless = ["neutral"]'),
        (["neutral", "fine"], "harmless_unknown", 'harmless = ["neutral"]'),
        (["neutral", "toxic"], "harmless_all", "harmless = […]"),
    ],
)
@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
def test_harmless_names_some_of_the_labels_and_no_others(
    harmless: list[str], code: str, line: str, problem: str | None, tmp_path: Path
) -> None:
    found = reason(classifier(tmp_path, "neutral", "toxic", problem=problem), table={"harmless": harmless})
    assert (found.code, "neutral, toxic" in found.reason) == (code, True)
    assert f"write {line} into" in found.remedy


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (("toxic", "obscene", "threat"), "multi_label_classification"),
        (("toxicity", "insult", "male", "female"), "multi_label_classification"),
        (("LABEL_0", "LABEL_1"), "multi_label_classification"),
        (("toxic",), None),
    ],
)
def test_independent_labels_need_no_harmless_one(labels: tuple[str, ...], problem: str | None, tmp_path: Path) -> None:
    assert unusable(spec(classifier(tmp_path, *labels, problem=problem))) is None


@pytest.mark.parametrize(
    ("labels", "problem", "said"),
    [
        (("entailment", "neutral", "contradiction"), None, "inference"),
        (("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), None, "inference"),
        (("entailment", "not_entailment"), None, "inference"),
        (("LABEL_0",), None, "reranker"),
        (("LABEL_0",), "regression", "quantities"),
        (("toxicity",), "regression", "quantities"),
    ],
)
def test_a_classifier_of_something_else_is_no_moderator(
    labels: tuple[str, ...], problem: str | None, said: str, tmp_path: Path
) -> None:
    found = reason(classifier(tmp_path, *labels, problem=problem), table={"harmless": labels[:1]})
    assert (found.code, said in found.reason) == ("wrong_labels", True)


@pytest.mark.parametrize("table", [["toxic"], {"a": "toxic"}, 7])
def test_labels_that_cannot_be_read_are_refused(table: Any, tmp_path: Path) -> None:
    write(tmp_path, "BertForSequenceClassification", id2label=table)
    assert reason(tmp_path).code == "wrong_labels"


DENSE = {"in_features": 8, "out_features": 4, "activation_function": "torch.nn.modules.activation.Tanh"}


def pooled(folder: Path, name: str, *types: str, dense: dict[str, Any] = DENSE, **pooling: Any) -> Path:
    write(folder, name)
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    for place, each in enumerate(types, 1):
        modules.append({"type": f"sentence_transformers.models.{each}", "path": f"{place}_{each}"})
        (folder / f"{place}_{each}").mkdir()
        (folder / f"{place}_{each}" / "config.json").write_text(json.dumps(dense if each == "Dense" else pooling))
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


@pytest.mark.parametrize(
    ("name", "types", "pooling", "code"),
    [
        ("BertModel", ["Pooling"], {"pooling_mode_cls_token": True}, None),
        ("MPNetForMaskedLM", ["Pooling", "Normalize"], {"pooling_mode_mean_tokens": True}, None),
        ("LlamaModel", ["Pooling"], {"pooling_mode_mean_tokens": True}, None),
        ("Qwen3Model", ["Pooling"], {"pooling_mode_lasttoken": True}, None),
        ("Qwen3ForCausalLM", ["Pooling", "Normalize"], {"pooling_mode_lasttoken": True}, None),
        ("Gemma3TextModel", ["Pooling", "Dense", "Dense", "Normalize"], {"pooling_mode_mean_tokens": True}, None),
        ("BertModel", ["Pooling", "Dense"], {"pooling_mode_mean_tokens": True}, None),
        ("BertModel", ["Pooling"], {"pooling_mode_max_tokens": True}, None),
        ("BertModel", ["Pooling"], {"pooling_mode_mean_sqrt_len_tokens": True}, None),
        ("BertModel", ["Pooling"], {"pooling_mode_weightedmean_tokens": True}, None),
        ("BertModel", ["Pooling"], {"pooling_mode_of_mine": True}, "wrong_pooling"),
        ("BertModel", ["Pooling"], {"pooling_mode": "cls", "include_prompt": False}, "wrong_pooling"),
        ("BertModel", ["Pooling", *["Dense"] * 4], {"pooling_mode": "cls"}, "wrong_pooling"),
        ("BertModel", ["Pooling", "LayerNorm"], {"pooling_mode": "cls"}, "wrong_pooling"),
        ("BertModel", ["Pooling", "Normalize", "Dense"], {"pooling_mode": "cls"}, "wrong_pooling"),
        ("BertModel", ["Dense", "Pooling"], {"pooling_mode": "cls"}, "wrong_pooling"),
    ],
)
def test_an_embedder_is_pooled_as_its_files_say_or_refused(
    name: str, types: list[str], pooling: dict[str, Any], code: str | None, tmp_path: Path
) -> None:
    found = unusable(spec(pooled(tmp_path, name, *types, **pooling), "embed"))
    assert (found and found.code) == code
    assert found is None or str(tmp_path) not in found.reason


@pytest.mark.parametrize(
    "change",
    [
        {"activation_function": "torch.nn.modules.activation.Softmax"},
        {"activation_function": "os.system.Tanh"},
        {"activation_function": "torch.nn.utils.weight_norm"},
        {"activation_function": None},
        {"in_features": 0},
        {"out_features": 1 << 40},
        {"in_features": "8"},
        {"bias": "yes"},
        {"use_residual": True},
        {"module_input_name": "token_embeddings"},
    ],
)
def test_a_layer_behind_the_pooling_is_of_a_known_form(change: dict[str, Any], tmp_path: Path) -> None:
    folder = pooled(tmp_path, "BertModel", "Pooling", "Dense", dense=DENSE | change, pooling_mode="cls")
    found = reason(folder, "embed")
    assert (found.code, "2_Dense/config.json" in found.reason) == ("wrong_pooling", True)


@pytest.mark.parametrize(
    ("adds", "frame", "mode", "code"),
    [
        (True, False, "lasttoken", "wrong_pooling"),
        (True, True, "lasttoken", None),
        (False, False, "lasttoken", None),
        (True, False, "mean", None),
    ],
)
def test_the_last_token_is_the_end_token_where_the_model_was_trained_so(
    adds: bool, frame: bool, mode: str, code: str | None, tmp_path: Path
) -> None:
    folder = pooled(tmp_path, "Qwen3Model", "Pooling", pooling_mode=mode)
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_eos_token": adds, "eos_token": "</s>"}))
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if frame:
        end = [("</s>", made.token_to_id("</s>"))]
        made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=end)
    made.save(str(folder / "tokenizer.json"))
    found = unusable(spec(folder, "embed"))
    assert (found and found.code) == code


def test_the_weights_of_a_layer_are_missed_only_where_workers_run(tmp_path: Path) -> None:
    table = spec(pooled(tmp_path, "BertModel", "Pooling", "Dense", pooling_mode="cls"), "embed")
    (tmp_path / "model.safetensors").touch()
    assert unusable(table) is None
    found = unusable(table, is_local=True)
    assert found is not None
    assert (found.code, found.reason) == ("weights_missing", "its folder has no 2_Dense/model.safetensors")


def test_what_is_missing_is_said_with_what_mends_it(tmp_path: Path) -> None:
    assert reason(tmp_path / "none").code == "folder_missing"
    folder = classifier(tmp_path / "m", "toxic", problem="multi_label_classification")
    (folder / "tokenizer.json").unlink()
    found = reason(folder)
    added = "lengthwise model add FOLDER --as NAME, then remove [models.m] from models.toml"
    assert (found.code, found.remedy) == ("tokenizer_missing", added)
    assert "AutoTokenizer" in reason(folder, "chat", engine="openai").remedy, "its folder has no weights to add"
    for damaged in [
        "",
        "{}",
        "[]",
        '{"model": {"vocab"',
        '{"model": null}',
        "version https://git-lfs.github.com/spec/v1\n",
    ]:
        (folder / "tokenizer.json").write_text(damaged)
        assert reason(folder).code == "tokenizer_unreadable"
    (folder / "config.json").write_text("{")
    assert reason(folder).code == "config_unreadable"
    (folder / "config.json").unlink()
    assert reason(folder).code == "config_unreadable"


def test_a_model_of_the_hub_that_is_not_here_is_fetched_by_a_command() -> None:
    table = {"hub": "nobody/nothing of this", "revision": "v1", "generate": {}}
    found = unusable(ModelSpec.from_table("m", table | {"hub": "nobody/nothing"}))
    assert found is not None
    assert (found.code, found.remedy) == ("not_fetched", "hf download nobody/nothing --revision v1")


def test_pickled_weights_and_code_of_its_own_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", "LlamaForCausalLM")
    (folder / "pytorch_model.bin").touch()
    found = reason(folder, "generate")
    added = "lengthwise model add FOLDER --as NAME, then remove [models.m] from models.toml"
    assert (found.code, found.remedy) == ("weights_pickled", added)
    (folder / "model.safetensors").touch()
    assert unusable(spec(folder, "generate")) is None
    write(folder, "LlamaForCausalLM", auto_map={"AutoModel": "evil.Evil"}, model_type="chatglm")
    assert reason(folder, "generate").code == "foreign_code"
    write(folder, "LlamaForCausalLM", auto_map={"AutoModel": "evil.Evil"}, model_type="llama")
    assert unusable(spec(folder, "generate")) is None, "transformers has its own code for this family"


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ({"quant_method": "gptq"}, "GPTQ"),
        ({"quant_method": "awq"}, "AWQ"),
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ({"quant_method": "x" * 99}, "an unknown method"),
    ],
)
def test_quantized_weights_are_refused_by_the_name_of_their_method(
    table: dict[str, Any], name: str, tmp_path: Path
) -> None:
    found = reason(write(tmp_path, "LlamaForCausalLM", quantization_config=table), "generate")
    assert (found.code, "original form" in found.remedy) == ("weights_quantized", True)
    assert found.reason == f"its weights are quantized by {name}, which lengthwise does not read"


def test_weights_in_fp8_need_the_package_that_reads_them_only_where_workers_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, "LlamaForCausalLM", quantization_config={"quant_method": "fp8"})
    (folder / "model.safetensors").touch()
    assert unusable(spec(folder, "generate")) is None
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "accelerate" else find_spec(name))
    found = unusable(spec(folder, "generate"), is_local=True)
    assert found is not None
    assert (found.code, found.remedy) == ("engine_missing", 'pip install "lengthwise[import]"')


@pytest.mark.parametrize("template", [None, "{% for %}"])
def test_chat_needs_a_template(template: str | None, tmp_path: Path) -> None:
    write(tmp_path, "LlamaForCausalLM")
    (tmp_path / "chat_template.jinja").unlink()
    if template:
        (tmp_path / "chat_template.jinja").write_text(template)
    assert reason(tmp_path, "chat").code == "template_missing"
    assert unusable(spec(tmp_path, "generate")) is None


def test_only_where_workers_run_must_weights_and_engine_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unusable(spec(write(tmp_path, "LlamaForCausalLM"), "generate"), is_local=True)
    assert found is not None
    assert found.code == "weights_missing"
    served = spec(tmp_path, "generate", engine="troch")
    assert unusable(served) is None, "the workers may have it"
    found = unusable(served, is_local=True)
    assert found is not None
    assert (found.code, "torch" in found.reason) == ("engine_missing", True)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = unusable(spec(tmp_path, "generate"), is_local=True)
    assert found is not None
    assert (found.code, found.remedy) == ("engine_missing", 'pip install "lengthwise[worker]"')


@pytest.mark.parametrize("name", sorted(Catalog.read(DEMO_CATALOG).models))
def test_the_demo_models_are_usable(name: str) -> None:
    check(Catalog.read(DEMO_CATALOG).models[name], is_local=True)


def test_what_is_mended_in_the_folder_is_usable_at_once(tmp_path: Path) -> None:
    served = spec(tmp_path / "m")
    with pytest.raises(ModelUnusable, match="does not exist"):
        check(served)
    classifier(tmp_path / "m", "neutral", "toxic")
    found = unusable(served)
    assert found is not None
    assert found.code == "harmless_missing"
    assert unusable(served) is found, "it is looked up again only if a file has changed"
    assert served.config.get("problem_type") is None
    classifier(tmp_path / "m", "insult", "toxic", problem="multi_label_classification")
    check(served)
    assert served.config.get("problem_type") == "multi_label_classification"
    shutil.rmtree(tmp_path / "m")
    assert unusable(served) is not None
    write_echo_model(tmp_path / "m")
    found = unusable(served)
    assert found is not None
    assert "names no architecture" in found.reason


_LABEL = st.sampled_from(["toxic", "neutral", "hate", "OK", "LABEL_0", "male", "entailment", "not_toxic", "Neutral"])


@given(
    labels=st.lists(_LABEL, min_size=1, max_size=5, unique=True),
    harmless=st.lists(_LABEL, max_size=3, unique=True),
    are_exclusive=st.booleans(),
)
def test_what_is_served_can_flag_some_texts_and_not_others(
    labels: list[str], harmless: list[str], are_exclusive: bool
) -> None:
    found = Labels(tuple(labels), are_exclusive and len(labels) > 1)
    if ModerateOptions(harmless=tuple(harmless)).objection(found) is None:
        assert set(harmless) < set(labels)
        assert harmless or not found.are_exclusive
    proposed = ModerateOptions.proposed(ModelFacts("any", {}, (), found, False, {}))
    assert proposed is not None
    assert set(proposed.harmless) <= set(labels)
    assert not {"toxic", "hate"} & set(proposed.harmless)


_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_KEYS = (
    *("architectures", "model_type", "id2label", "num_labels", "problem_type", "is_encoder_decoder", "auto_map"),
    *("quantization_config", "compression_config", "quantization", "text_config"),
    *("max_position_embeddings", "n_positions", "pad_token_id", "image_size"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_echo_model(tmp_path_factory.mktemp("m"))


@given(
    config=st.dictionaries(st.sampled_from(_KEYS), _VALUE),
    name=st.none() | st.sampled_from(sorted(CLASSES)),
    kind=st.sampled_from(sorted(TABLES)),
)
def test_no_file_of_a_model_breaks_the_check(config: dict[str, Any], name: str | None, kind: str, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(config | ({"architectures": [name]} if name else {})))
    found = unusable(spec(folder, kind))
    assert found is None or found.code in CODES


def test_every_code_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text("utf-8")
    assert [code for code in CODES if f"| `{code}` |" not in page] == []

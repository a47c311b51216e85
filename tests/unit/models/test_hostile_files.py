"""Whatever the small files of a model's folder hold, the model is served or refused, and nothing else fails."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.models import manifest, model_file, template, weights
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.tokenizer import ModelTokenizer
from lengthwise.models.usable import unusable
from tests.fakes import write_config
from worker.engine.transformer.decode.rules import OF_HISTORY, Rules, unapplied
from worker.engine.transformer.decode.vocabulary import Vocabulary, search_rules

#: By kind: a model's class that serves it, and the rest of its ``config.json``.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "embed": ("BertModel", {"model_type": "bert"}),
    "moderate": ("BertForSequenceClassification", {"id2label": {"0": "ok", "1": "toxic"}, "num_labels": 2}),
    "chat": ("LlamaForCausalLM", {"model_type": "roberta", "is_encoder_decoder": False}),
}
#: By file: a valid content, whose values are replaced.
FILES: dict[str, dict[str, Any]] = {
    "config.json": {
        "max_position_embeddings": 512,
        "n_positions": 512,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "model_type": "bert",
        "problem_type": "regression",
        "id2label": {"0": "a"},
        "num_labels": 2,
        "architectures": ["BertModel"],
        "is_encoder_decoder": False,
        "bad_words_ids": [[1]],
    },
    "generation_config.json": {
        "eos_token_id": [1, 2],
        "bad_words_ids": [[3], [4, 5]],
        "suppress_tokens": [6],
        "length_penalty": 1.0,
        "decoder_start_token_id": 0,
        "early_stopping": True,
        "renormalize_logits": False,
        "repetition_penalty": 1.1,
        "no_repeat_ngram_size": 3,
        "begin_suppress_tokens": [6],
        "forced_bos_token_id": 4,
        "forced_eos_token_id": 1,
        "min_length": 2,
        "min_new_tokens": 2,
    },
    "tokenizer_config.json": {"chat_template": "{{ bos_token }}", "bos_token": "<s>", "eos_token": {"content": "</s>"}},
    "1_Pooling/config.json": {"pooling_mode": "mean", "pooling_mode_cls_token": False},
    "model.safetensors.index.json": {"weight_map": {"a": "a.safetensors"}},
}

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, -1, 2**31, "512", "\ud800", "\x1b[2J", "x" * 3000, "{% for a in b %}", "{{ 1/0 }}"])
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def folder_of(path: Path, kind: str) -> Path:
    name, config = MODELS[kind]
    write_config(path, name, **config)
    (path / "1_Pooling").mkdir(exist_ok=True)
    (path / "tokenizer_config.json").write_text(json.dumps(FILES["tokenizer_config.json"]))
    return path


def use(folder: Path, kind: str) -> str | None:
    """Uses the model as the API and a worker do. Returns the code of the refusal."""
    template.load.cache_clear()
    spec = ModelSpec.from_table("m", {"path": folder, kind: {}})
    found = unusable(spec)
    if found is not None:
        assert str(folder) not in str(found)
        assert len(str(found).encode()) < 10_000, "it is shown to callers"
        return found.code
    assert 1 <= spec.context < 2**31
    ModelTokenizer(folder)
    Vocabulary.read(folder, spec.config)
    search_rules(folder, spec.config)
    Rules.read(folder, spec.config, {1})
    unapplied(folder, spec.config, {1}, OF_HISTORY)
    if kind == "chat":
        with suppress(InvalidInput):
            template.load(folder).render([{"role": "user", "content": "x"}])
    return None


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_with_any_values_is_used_or_refused(name: str, kind: str, data: st.DataObject, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, kind)
    base = FILES[name] | (MODELS[kind][1] | {"architectures": [MODELS[kind][0]]} if name == "config.json" else {})
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(base)), VALUES, max_size=3))
    (folder / "modules.json").unlink(missing_ok=True)
    if name.startswith("1_"):
        types = [{"type": "x.Transformer"}, {"type": "x.Pooling"}]
        (folder / "modules.json").write_text(json.dumps(types))
    (folder / name).write_text(json.dumps(base | changed))
    use(folder, kind)
    if name.startswith("model."):
        with suppress(ConfigurationError):
            assert all(path.parent == folder for path in weights.weight_files(folder))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"]),
    content=st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()),
)
def test_a_file_of_any_bytes_is_used_or_refused(name: str, content: bytes, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "chat")
    (folder / name).write_bytes(content)
    use(folder, "chat")


HOSTILE = {
    "a list": b"[]",
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "nested deep and closed": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a repeated key": b'{"eos_token_id": 1, "eos_token_id": 2}',
    "a repeated key within": b'{"a": {"b": 1, "b": 2}}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a lone surrogate as a key": b'{"\\udfff": 1}',
    "a number of 5,000 digits": b'{"a": ' + b"1" * 5000 + b"}",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_a_file_that_is_no_sound_json_object_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "chat")
    (folder / name).write_bytes(content)
    assert use(folder, "chat") in ("config_unreadable", "template_missing")


LENGTHS: list[Any] = ["512", [512], -1, 10**400, 1e400, 512.5, True, {}]
IDS: list[Any] = ["1", {}, [[1]], 1e9, -2, 2**31, [None]]


@pytest.mark.parametrize(
    "config",
    [
        *({"max_position_embeddings": value} for value in LENGTHS),
        *({"eos_token_id": value} for value in IDS),
        {"architectures": "LlamaForCausalLM"},
        {"architectures": [["LlamaForCausalLM"]]},
        {"model_type": ["llama"]},
        {"is_encoder_decoder": "no"},
        {"bad_words_ids": [1]},
        {"bad_words_ids": [[1] * 101]},
        *({"repetition_penalty": value} for value in (0, -1, 1e-9, 1e9, "1", True)),
        *({"no_repeat_ngram_size": value} for value in (-1, 101, 1.5)),
        {"forced_eos_token_id": [[1]]},
        {"pad_token_id": 600, "max_position_embeddings": 512},
    ],
    ids=str,
)
def test_a_value_of_a_wrong_type_is_refused_by_its_name(config: dict[str, Any], tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "chat")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    found = unusable(ModelSpec.from_table("m", {"path": folder, "chat": {}}))
    assert found is not None
    assert found.code == "config_unreadable"
    assert next(iter(config)) in found.reason or "leaves no room" in found.reason


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "chat_template.jinja"])
def test_a_file_of_a_gigabyte_is_refused_unread(name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "chat")
    with (folder / name).open("wb") as file:
        file.truncate(1 << 30)
    assert use(folder, "chat") in ("config_unreadable", "template_missing")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_pipe_or_a_device_in_place_of_a_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "chat")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert use(folder, "chat") is not None
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert use(folder, "chat") is not None


@pytest.mark.parametrize("name", model_file.NAMES)
def test_a_file_that_the_manifest_does_not_list_makes_the_model_unusable(name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "chat")
    (folder / name).unlink(missing_ok=True)
    listed = [each for each in model_file.NAMES if (folder / each).is_file()]
    manifest.write(folder, listed)
    folder_of(tmp_path, "chat")
    if not (folder / name).is_file():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    found = unusable(ModelSpec.from_table("m", {"path": folder, "chat": {}}))
    assert found is not None
    assert found.code == "manifest_differs"
    assert found.reason.endswith(f"{name} is not listed in manifest.json")
    assert found.remedy.endswith("if you trust its files, write a new manifest: lengthwise model manifest FOLDER")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_what_changes_after_the_check_is_refused_where_it_is_read(name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "chat")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert manifest.write_all(folder) == 4
    assert use(folder, "chat") is None
    with (folder / name).open("a") as file:
        file.write(" ")
    template.load.cache_clear()
    with pytest.raises(ConfigurationError, match=f"{name} is not of the size"):
        model_file.read(folder, name)
    with pytest.raises(ConfigurationError, match=f"{name} is not of the size"):
        {"chat_template.jinja": template.load, "tokenizer_config.json": template.load}.get(name, ModelTokenizer)(folder)


def test_a_manifest_that_is_none_makes_the_model_unusable(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "chat")
    for content in (b"[]", b"{", b'{"files": []}', b"[" * 100_000, b'{"files": {"config.json": 1}}', b"\xff"):
        (folder / manifest.MANIFEST).write_bytes(content)
        assert use(folder, "chat") == "manifest_differs"

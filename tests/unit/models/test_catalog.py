"""``models.toml``: what it may contain, and the errors for everything else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.kinds.translate import TranslateOptions
from lengthwise.models.catalog import DEMO_CATALOG, Catalog
from tests.fakes import write_catalog

SERVER = '[models.m.server]\nurl = "http://gpu:8000/v1"\nmodel = "served"\n'
GOOD = '[models.m]\npath = "m"\n'


def read(folder: Path, text: str | bytes) -> Catalog:
    path = folder / "models.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Catalog.read(path)


def test_paths_are_relative_to_the_catalog_and_models_keep_their_order(tmp_path: Path) -> None:
    catalog = read(tmp_path, '[models.b]\npath = "x"\n[models.b.chat]\n[models.a]\npath = "/y"\n[models.a.chat]\n')
    assert [(spec.name, spec.path) for spec in catalog.serving("chat")] == [("b", tmp_path / "x"), ("a", Path("/y"))]
    assert catalog.serving("translate") == []


def test_the_echo_catalog_serves_its_kinds(tmp_path: Path) -> None:
    spec = Catalog.read(write_catalog(tmp_path, max_position_embeddings=100)).models["echo"]
    assert spec.kinds == ("translate", "generate")
    assert spec.context == 100
    translate = spec.kind_options["translate"]
    assert isinstance(translate, TranslateOptions)
    assert translate.pairs == (("zh", "en"), ("en", "de"))


def test_a_model_may_run_on_a_server(tmp_path: Path) -> None:
    server = read(tmp_path, GOOD + SERVER + 'key_variable = "GPU_KEY"\n').models["m"].server
    assert server is not None
    assert (server.url, server.model, server.key_variable) == ("http://gpu:8000/v1", "served", "GPU_KEY")


def test_the_shipped_catalog_is_valid() -> None:
    assert {kind for spec in Catalog.read(DEMO_CATALOG).models.values() for kind in spec.kinds} >= {
        "translate",
        "moderate",
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "names no model"),
        ("[models]\n", "names no model"),
        ("models = 5\n", "models"),
        ("[models]\nm = 5\n", "models.m"),
        ("[models.m\n", "line 1"),
        (b"[models.m]\npath = '\xff'\n", "utf-8"),
        ("[models.m]\n", "either path or hub"),
        (GOOD + 'hub = "a/b"\n', "either path or hub"),
        ('[models.m]\nhub = "a/b"\n', "needs a revision"),
        ("[models.m]\npath = 5\n", "path"),
        (GOOD + 'name = "other"\n', "name"),
        (GOOD + "batchtokens = 1\n", "batchtokens"),
        (GOOD + "batch_tokens = 0\n", "batch_tokens"),
        (GOOD + 'quantization = "int3"\n', "quantization"),
        (GOOD + "[models.m.translate]\npairs = []\n", "translate.pairs"),
        (GOOD + "[models.m.translate]\n", "translate.pairs"),
        (GOOD + '[models.m.translate]\npairs = [["a"]]\n', "translate.pairs"),
        (GOOD + '[models.m.translate]\npairs = [["a", "b"]]\nsource_prefix = ">>{lang}<<"\n', "source_prefix"),
        (GOOD + '[models.m.translate]\npairs = [["a", "b"]]\ntarget_prefix = "{"\n', "target_prefix"),
        (GOOD + '[models.m.translate]\npairs = [["a", "b"]]\ntarget_prefix = "{}"\n', "target_prefix"),
        (GOOD + '[models.m.translate]\npairs = [["a", "b"]]\ntext_prefix = "{lang}: "\n', "text_prefix"),
        (GOOD + f'[models.m.translate]\npairs = [["a", "b"]]\ntext_prefix = "{"x" * 201}"\n', "text_prefix"),
        (GOOD + "[models.m.moderate]\nthreshold = 1.0\n", "moderate.threshold"),
        (GOOD + "[models.m.sing]\n", "sing"),
        (GOOD + SERVER.replace("http", "ftp"), "server.url"),
        (GOOD + SERVER.replace("//gpu", ""), "server.url"),
        (GOOD + SERVER.replace("/v1", "/v1?key=x"), "server.url"),
        (GOOD + SERVER.replace("8000", "port"), "server.url"),
        (GOOD + SERVER.replace("gpu", "me:secret@gpu"), "key_variable"),
        (GOOD + SERVER + 'key = "secret"\n', "server.key"),
        (GOOD + SERVER + "max_concurrency = 0\n", "server.max_concurrency"),
        (GOOD + SERVER + "timeout_seconds = 0\n", "server.timeout_seconds"),
        (GOOD + '[models.m.server]\nurl = "http://gpu/v1"\n', "server.model"),
    ],
)
def test_an_error_names_what_is_wrong(tmp_path: Path, text: str | bytes, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "models.toml") in str(caught.value)
    assert named in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["pipe", "device", "folder", "long", "file/below"])
def test_what_is_no_file_is_an_error_and_nothing_waits_for_it(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError):
        Catalog.read(tmp_path / (name if name != "long" else "a" * 300))


def test_the_error_for_a_missing_catalog_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml does not exist: .*lengthwise model add NAME"):
        Catalog.read(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("config", "own_limit", "context"),
    [
        ({"max_position_embeddings": 100}, None, 100),
        ({"max_position_embeddings": 100}, 60, 60),
        ({"max_position_embeddings": 100}, 200, 100),
        ({"n_positions": 70}, None, 70),
        ({}, None, 512),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, None, 512),
        ({"max_position_embeddings": 514, "model_type": "bert", "pad_token_id": 1}, None, 514),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta"}, None, 512),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 0}, None, 513),
        ({"max_position_embeddings": 514, "model_type": "mpnet", "pad_token_id": 0}, None, 512),
        ({"max_position_embeddings": 4098, "model_type": "longformer", "pad_token_id": 1}, None, 4096),
        ({"max_position_embeddings": 1026, "model_type": "esm", "pad_token_id": 1}, None, 1024),
        ({"max_seq_len": 2048, "model_type": "mpt"}, None, 2048),
        ({}, 100, 100),
        ({"model_type": "mamba2"}, 8192, 8192),
        ({"max_position_embeddings": 0}, None, 512),
    ],
)
def test_the_context_is_the_models_own_or_a_smaller_setting(
    tmp_path: Path, config: dict[str, Any], own_limit: int | None, context: int
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    text = GOOD + (f"max_input_tokens = {own_limit}\n" if own_limit else "")
    assert read(tmp_path, text).models["m"].context == context


@pytest.mark.parametrize(
    ("sentences", "own_limit", "context"),
    [
        ({"max_seq_length": 256, "do_lower_case": False}, None, 256),
        ({"max_seq_length": 256}, 100, 100),
        ({"max_seq_length": 256}, 400, 256),
        ({"max_seq_length": 900}, None, 512),
        ({"max_seq_length": None}, None, 512),
        ({}, None, 512),
    ],
)
@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_xlm-roberta_config.json"])
def test_sentence_transformers_limit_is_the_models_own(
    tmp_path: Path, name: str, sentences: dict[str, Any], own_limit: int | None, context: int
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"max_position_embeddings": 512, "model_type": "bert"}')
    (tmp_path / "m" / name).write_text(json.dumps(sentences))
    text = GOOD + (f"max_input_tokens = {own_limit}\n" if own_limit else "")
    assert read(tmp_path, text).models["m"].context == context


@pytest.mark.parametrize(
    ("sentences", "tokens", "is_embedder", "context"),
    [
        ({}, 100, True, 100),
        ({"max_seq_length": 256}, 100, True, 256),
        ({}, 100, False, 512),
        ({}, 10**30, True, 512),
        ({}, 1e30, True, 512),
        ({}, None, True, 512),
        ({}, 0, True, 512),
    ],
)
def test_newer_embedders_have_the_limit_of_their_tokenizer(
    tmp_path: Path, sentences: dict[str, Any], tokens: Any, is_embedder: bool, context: int
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"max_position_embeddings": 512, "model_type": "bert"}')
    (tmp_path / "m" / "sentence_bert_config.json").write_text(json.dumps(sentences))
    (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps({"model_max_length": tokens}))
    if is_embedder:
        (tmp_path / "m" / "modules.json").touch()
    assert read(tmp_path, GOOD).models["m"].context == context


@pytest.mark.parametrize("sentences", ["[]", '{"max_seq_length": "long"}', '{"max_seq_length": 0}', "{"])
def test_a_limit_that_is_none_is_an_error(tmp_path: Path, sentences: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    (tmp_path / "m" / "sentence_bert_config.json").write_text(sentences)
    with pytest.raises(ConfigurationError, match=r"model m: .*(sentence_bert_config\.json|room for inputs)"):
        _ = read(tmp_path, GOOD).models["m"].context


def test_a_model_that_is_not_on_this_machine_has_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    catalog = read(tmp_path, GOOD + '[models.h]\nhub = "no-such/model"\nrevision = "abc"\n')
    with pytest.raises(ConfigurationError, match="m does not exist"):
        _ = catalog.models["m"].folder
    with pytest.raises(ConfigurationError, match="hf download no-such/model --revision abc"):
        _ = catalog.models["h"].folder
    (tmp_path / "m").mkdir()
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        _ = catalog.models["m"].context
    (tmp_path / "m" / "config.json").write_text("[]")
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        _ = catalog.models["m"].context

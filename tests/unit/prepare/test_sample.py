"""Sample files for lengthwise model prepare, read without torch."""

import json
from pathlib import Path
from typing import Any

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import DEMO_CATALOG, Catalog, ModelSpec
from worker.engine.protocol import GREEDY, Architecture
from worker.prepare.sample import Sample, read

MODELS = Catalog.read(DEMO_CATALOG).models
SECRET = "vanilla"


def sample(folder: Path, *lines: Any, model: str = "demo-translate") -> Sample:
    path = folder / "sample.ndjson"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return read(path, MODELS[model], Architecture.ENCODER_DECODER)


HEAD = {"kind": "translate", "source": "zh", "target": "en"}


def test_a_first_line_that_names_a_kind_holds_the_parameters(tmp_path: Path) -> None:
    found = sample(tmp_path, HEAD, {"id": "a", "text": "你好。"}, '"谢谢。你好。"', "")
    assert (found.kind, found.n_items, found.item_of) == ("translate", 2, [0, 1, 1])
    assert [request.id for request in found.requests] == [0, 1, 2]
    assert found.requests[0].tokens == found.requests[2].tokens != found.requests[1].tokens
    assert all(request.sampling == GREEDY and request.max_new_tokens > 0 for request in found.requests)


def test_without_parameters_each_item_names_its_own(tmp_path: Path) -> None:
    item = {"text": "你好。", "source": "zh", "target": "en"}
    assert sample(tmp_path, item).requests == sample(tmp_path, HEAD, '"你好。"').requests


def test_a_classifier_uses_the_threshold_of_the_parameters_or_its_own(tmp_path: Path) -> None:
    assert sample(tmp_path, {"text": "Hello."}, model="demo-moderate").threshold == 0.5
    head = {"kind": "moderate", "threshold": 0.25}
    assert sample(tmp_path, head, {"text": "Hello."}, model="demo-moderate").threshold == 0.25


def test_a_model_in_no_catalog_gets_the_kind_of_its_architecture(tmp_path: Path) -> None:
    spec = ModelSpec(name="unlisted", path=MODELS["demo-translate"].folder)
    path = tmp_path / "sample.ndjson"
    path.write_text('{"text": "你好。"}\n{"text": "谢谢。", "source": "zh", "target": "en"}\n', "utf-8")
    found = read(path, spec, Architecture.ENCODER_DECODER)
    assert (found.kind, found.n_items, len(found.requests)) == ("translate", 2, 2)


def test_a_sample_for_an_embedder_needs_no_header(tmp_path: Path) -> None:
    path = tmp_path / "sample.ndjson"
    path.write_text('{"text": "Hello."}', "utf-8")
    found = read(path, ModelSpec(name="unlisted", path=MODELS["demo-translate"].folder), Architecture.EMBEDDER)
    assert (found.kind, found.n_items) == ("embed", 1)


def test_a_sample_knows_the_labels_that_are_not_shown(tmp_path: Path) -> None:
    moderate = MODELS["demo-moderate"].kind_options["moderate"].model_copy(update={"harmless": ("spam",)})
    spec = MODELS["demo-moderate"].model_copy(update={"kind_options": {"moderate": moderate}})
    path = tmp_path / "sample.ndjson"
    path.write_text('{"text": "Hello."}', "utf-8")
    assert read(path, spec, Architecture.CLASSIFIER).ignored_labels == {"spam"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((HEAD, f'{{"text": "{SECRET}'), "line 2 is not JSON"),
        ((HEAD, "[" * 100_000), "line 2 is not JSON"),
        ((HEAD, "", 7), "line 3 is no item of translate"),
        ((HEAD, {"text": SECRET, SECRET: 1}), "line 2 is no item of translate: it has an unknown field"),
        ((HEAD, {"txt": SECRET}), "line 2 is no item of translate: it has an unknown field"),
        ((HEAD, {"text": 5}), "line 2 is no item of translate: text: Input should be a valid string"),
        ((HEAD, {"text": SECRET, "target": "fr"}), "line 2: unknown language pair; known here: zh→en, en→de"),
        (({"text": SECRET},), "line 1: neither the job nor this item names the language"),
        ((HEAD | {SECRET: 1}, '"a"'), "line 1 holds no parameters of translate: has an unknown field"),
        (
            (HEAD | {"source": 1}, '"a"'),
            "line 1 holds no parameters of translate: source: Input should be a valid string",
        ),
        (({"kind": SECRET}, '"a"'), "line 1 names a kind that the model does not serve: translate"),
        (({"kind": ["chat"]}, '"a"'), "line 1 names a kind that the model does not serve: translate"),
        ((HEAD,), "holds no items"),
        (("", ""), "holds no items"),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(lines: tuple[Any, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        sample(tmp_path, *lines)
    assert message in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read \\(FileNotFoundError\\)"):
        read(tmp_path / "none.ndjson", MODELS["demo-translate"], Architecture.ENCODER_DECODER)
    (tmp_path / "latin").write_bytes(b'{"text": "\xe4"}')
    with pytest.raises(ConfigurationError, match="is Windows-1252 or Latin-1: write it in UTF-8"):
        read(tmp_path / "latin", MODELS["demo-translate"], Architecture.ENCODER_DECODER)

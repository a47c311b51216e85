"""The engine ``ctranslate2``; skipped where the extra ``ctranslate2`` is not installed."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ctranslate2")

import ctranslate2

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest
from tests.engine import tiny
from tests.engine.backends import converted
from tests.engine.models.test_conformance import asked
from worker.engine import registry
from worker.engine.completions import completions
from worker.engine.conformance import DecodingConformance, Subject
from worker.engine.ctranslate2 import FOLDER, CTranslate2Engine
from worker.engine.protocol import EngineError, Request


class ConvertedMarian(DecodingConformance):
    supports_stop = supports_sampling = False
    supports_beams = True
    quantization = ""

    @classmethod
    def make(cls, folder: Path) -> Subject:
        tiny.write("marian", folder)
        converted.convert(folder, tiny.choose_end(folder, asked()))
        return Subject(CTranslate2Engine.load(converted.spec(folder, cls.quantization)), asked(), tiny.text)


class TestExact(ConvertedMarian):
    quantization = "none"

    def test_its_answers_are_those_of_torch(self, subject: Subject, tmp_path: Path) -> None:
        tiny.write("marian", tmp_path)
        tiny.choose_end(tmp_path, asked())
        assert subject.run() == Subject(tiny.load(tmp_path), asked()).run()


class TestInt8(ConvertedMarian):
    quantization = "int8"
    # It quantizes row by row, but chooses kernels by shape, so it does not promise the same bits in any batch.
    is_batch_invariant = False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("marian")
    tiny.write("marian", made)
    converted.convert(made, tiny.END)
    return made


@pytest.fixture
def spoilt(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def test_it_is_found_by_its_name_and_says_what_it_computes_with(folder: Path) -> None:
    engine = registry.load(converted.spec(folder, "int8"))
    assert isinstance(engine, CTranslate2Engine)
    capabilities = engine.capabilities()
    assert capabilities.quantization.startswith("int8")
    assert (capabilities.device, capabilities.context) == ("cpu", 128)


def test_rows_of_one_batch_end_at_limits_and_after_prefixes_of_their_own(folder: Path) -> None:
    engine = CTranslate2Engine.load(converted.spec(folder, "none"))
    prefixes: list[tuple[int, ...]] = [(), (5,), (6, 7), (8,), (), (9, 10, 11), (12,)]
    requests = [
        request._replace(decoder_prefix=prefix, max_new_tokens=number + 1)
        for number, (request, prefix) in enumerate(zip(tiny.requests(), prefixes, strict=True))
    ]
    assert Subject(engine, requests).run() == Subject(tiny.load(folder), requests).run()


def test_an_answer_ends_where_the_models_positions_do(folder: Path) -> None:
    engine = CTranslate2Engine.load(converted.spec(folder, "none"))
    (completion,) = completions(engine, [Request(0, [5, 6], 500, decoder_prefix=(7, 8))])
    assert len(completion.tokens) == 126


def set_rules(folder: Path, **rules: Any) -> None:
    """Writes the rules of decoding that the model asks for."""
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | rules))
    names = (each.name for each in folder.iterdir() if each.is_file())
    manifest.write(folder, sorted(name for name in names if name != manifest.MANIFEST))


def test_runs_that_must_not_be_written_and_the_forced_end_are_as_in_torch(spoilt: Path) -> None:
    requests = tiny.requests(8)
    plain = Subject(CTranslate2Engine.load(converted.spec(spoilt, "none")), requests).run()
    set_rules(spoilt, forced_eos_token_id=tiny.END, bad_words_ids=[list(plain[0].tokens[:2]), [tiny.PAD]])
    found = Subject(CTranslate2Engine.load(converted.spec(spoilt, "none")), requests).run()
    assert found == Subject(tiny.load(spoilt), requests).run()
    assert found[0].tokens[:2] != plain[0].tokens[:2]
    assert {len(answer.tokens) for answer in found.values()} == {7}


def test_a_rule_that_it_does_not_apply_is_named(spoilt: Path, caplog: pytest.LogCaptureFixture) -> None:
    set_rules(spoilt, repetition_penalty=1.1, no_repeat_ngram_size=0)
    with caplog.at_level(logging.WARNING):
        CTranslate2Engine.load(converted.spec(spoilt, "none"))
    assert "asks for repetition_penalty, which ctranslate2 does not apply" in caplog.text


def test_an_id_that_the_conversion_lacks_is_an_error_without_it(folder: Path) -> None:
    engine = CTranslate2Engine.load(converted.spec(folder, "none"))
    with pytest.raises(EngineError, match="an id") as caught:
        list(completions(engine, [Request(0, [4711], 4)]))
    assert "4711" not in str(caught.value)


def test_a_file_that_differs_from_the_manifest_is_refused_by_name(spoilt: Path) -> None:
    path = spoilt / FOLDER / "model.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigurationError, match=r"model\.bin"):
        CTranslate2Engine.load(converted.spec(spoilt, "none"))


def test_a_file_that_the_manifest_does_not_list_is_refused_by_name(spoilt: Path) -> None:
    (spoilt / FOLDER / "source_vocabulary.json").write_text("[]")
    with pytest.raises(ConfigurationError, match=r"source_vocabulary\.json is not listed"):
        CTranslate2Engine.load(converted.spec(spoilt, "none"))


@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_file_that_is_written_to_while_the_library_reads_it_is_refused(
    spoilt: Path, monkeypatch: pytest.MonkeyPatch, has_manifest: bool
) -> None:
    read = ctranslate2.Translator

    def translator(*given: Any, **more: Any) -> Any:
        found = read(*given, **more)
        with (spoilt / FOLDER / "model.bin").open("ab") as file:
            file.write(b"x")
        return found

    monkeypatch.setattr(ctranslate2, "Translator", translator)
    if not has_manifest:
        (spoilt / FOLDER / manifest.MANIFEST).unlink()
    with pytest.raises(ConfigurationError, match=r"model\.bin was written to while it was read"):
        CTranslate2Engine.load(converted.spec(spoilt, "none"))


@pytest.mark.parametrize("words", [["a", 7], [None], [["a"]]])
def test_a_vocabulary_of_something_else_than_words_is_refused(
    spoilt: Path, monkeypatch: pytest.MonkeyPatch, words: list[Any]
) -> None:
    (spoilt / FOLDER / manifest.MANIFEST).unlink()
    read = ctranslate2.Translator

    def translator(*given: Any, **more: Any) -> Any:
        found = read(*given, **more)
        (spoilt / FOLDER / "shared_vocabulary.json").write_text(json.dumps(words))
        return found

    monkeypatch.setattr(ctranslate2, "Translator", translator)
    monkeypatch.setattr(manifest, "_stamp", lambda _: (0, 0, 0))  # the library refuses such a file itself
    with pytest.raises(ConfigurationError, match="something else than words"):
        CTranslate2Engine.load(converted.spec(spoilt, "none"))


def test_a_conversion_without_a_manifest_is_taken_with_a_warning(
    spoilt: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (spoilt / FOLDER / manifest.MANIFEST).unlink()
    with caplog.at_level(logging.WARNING):
        CTranslate2Engine.load(converted.spec(spoilt, "none"))
    assert "no manifest.json" in caplog.text


def test_a_model_that_was_not_converted_is_refused(spoilt: Path) -> None:
    shutil.rmtree(spoilt / FOLDER)
    with pytest.raises(ConfigurationError, match=r"holds no model\.bin"):
        CTranslate2Engine.load(converted.spec(spoilt, "none"))


@pytest.mark.parametrize(("name", "content"), [("model.bin", b"no model"), ("shared_vocabulary.json", b"{")])
def test_a_conversion_that_cannot_be_read_is_refused(spoilt: Path, name: str, content: bytes) -> None:
    (spoilt / FOLDER / manifest.MANIFEST).unlink()
    (spoilt / FOLDER / name).write_bytes(content)
    with pytest.raises(ConfigurationError):
        CTranslate2Engine.load(converted.spec(spoilt, "none"))


def test_it_translates_and_does_nothing_else(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="translate"):
        CTranslate2Engine.load(tiny.spec(folder))

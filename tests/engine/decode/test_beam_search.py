"""Beam search gives what transformers' generate gives, for each architecture that supports it here."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from lengthwise.models import manifest
from lengthwise.models.catalog import DEMO_CATALOG, Catalog
from tests.engine import tiny
from tests.engine.conftest import Load, Written
from tests.engine.decode.test_generation import run
from tests.engine.models.test_demo import TEXTS
from worker.engine.protocol import Completion, EngineError, FinishReason, Request, Sampling
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.weights import loading

EVERY = sorted(tiny.ENCODER_DECODERS)


def searched(beams: int, max_new_tokens: int = 12) -> list[Request]:
    return [request._replace(beams=beams) for request in tiny.requests(max_new_tokens)]


def list_files(folder: Path) -> None:
    """Writes a new manifest for a model that the test has changed."""
    manifest.write(folder, sorted(path.name for path in folder.iterdir() if path.name != manifest.MANIFEST))


def reference(model: Any, request: Request, end: int = tiny.END, **more: Any) -> tuple[int, ...]:
    """What transformers' generate writes for one request."""
    tokens = torch.tensor([request.tokens])
    ids = model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        **{"max_new_tokens": request.max_new_tokens, "num_beams": request.beams, "do_sample": False, **more},
    )
    written = ids[0, 1:].tolist()
    return tuple(written[: written.index(end)] if end in written else written)


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Models that find several ids likely. Random T5s find only one likely: beam search would equal greedy."""

    @cache
    def write(kind: str) -> tuple[Any, Path]:
        folder = tmp_path_factory.mktemp(kind)
        model = tiny.write(kind, folder)
        if "t5" in kind:
            model.lm_head.weight.data *= 0.2
            model.save_pretrained(folder)
            list_files(folder)
        return model, folder

    return write


@pytest.mark.parametrize("kind", EVERY)
def test_exact_answers_are_those_of_transformers_alone_and_in_a_batch(kind: str, doubtful: Written) -> None:
    model, folder = doubtful(kind)
    engine = tiny.load(folder)
    greedy = {number: answer.tokens for number, answer in run(engine, tiny.requests()).items()}
    for beams in (2, 3, 8):
        requests = searched(beams)
        expected = {request.id: reference(model, request) for request in requests}
        assert expected != greedy, "they must differ to prove anything"
        assert {number: answer.tokens for number, answer in run(engine, requests).items()} == expected
        assert {request.id: run(engine, [request])[request.id].tokens for request in requests} == expected


#: Ids that are never written; the probabilities of the others are renormalized, or not.
SUPPRESSED = {"suppress_tokens": list(range(60, tiny.VOCABULARY))}
#: Settings of beam search, each with the settings whose answers it must change.
RULES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"length_penalty": 2.0}, {}),
    ({"length_penalty": 0.0}, {}),
    ({"length_penalty": -1.0}, {"length_penalty": 0.0}),
    ({"early_stopping": True}, {}),
    ({"early_stopping": "never"}, {}),
    ({"early_stopping": "never", "length_penalty": 1.5}, {"length_penalty": 1.5}),
    (SUPPRESSED, {}),
    ({"renormalize_logits": True} | SUPPRESSED, SUPPRESSED),
]


@pytest.mark.parametrize(("rules", "others"), RULES, ids=str)
def test_a_models_own_rules_are_those_of_transformers(
    rules: dict[str, Any], others: dict[str, Any], tmp_path: Path
) -> None:
    model = tiny.write("mbart", tmp_path)
    end = tiny.choose_end(tmp_path, searched(4))
    answers = []
    for each in (others, rules):
        model.generation_config = tiny.hub.GenerationConfig(
            num_beams=4, eos_token_id=end, pad_token_id=tiny.PAD, decoder_start_token_id=tiny.END, **each
        )
        model.generation_config.save_pretrained(tmp_path)
        list_files(tmp_path)
        requests = searched(4, max_new_tokens=30)
        answers.append({number: answer.tokens for number, answer in run(tiny.load(tmp_path), requests).items()})
        assert answers[-1] == {request.id: reference(model, request, end) for request in requests}
    assert answers[0] != answers[1]


@pytest.mark.parametrize("kind", EVERY)
def test_int8_gives_each_request_the_same_answer_alone_and_in_a_batch(kind: str, load: Load) -> None:
    engine, requests = load(kind, "int8"), searched(4, max_new_tokens=40)
    together = run(engine, requests)
    assert len({token for answer in together.values() for token in answer.tokens}) >= 8, "they must vary"
    assert together == {request.id: run(engine, [request])[request.id] for request in requests}
    assert together == run(engine, requests[::-1])


def test_greedy_requests_and_searches_of_any_width_share_a_batch(load: Load) -> None:
    engine = load("marian", "int8")
    requests = [
        request._replace(beams=beams) for request, beams in zip(tiny.requests(), (1, 4, 2, 1, 8, 4, 2), strict=True)
    ]
    assert run(engine, requests) == {request.id: run(engine, [request])[request.id] for request in requests}


def test_a_score_is_the_sum_that_transformers_searched_by(written: Written, load: Load) -> None:
    model, _ = written("marian")
    requests = [request._replace(is_scored=True) for request in searched(4)]
    answers = run(load("marian", "none"), requests)
    for request in requests:
        tokens = torch.tensor([request.tokens])
        found = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=12,
            num_beams=4,
            length_penalty=0.0,
            return_dict_in_generate=True,
            output_scores=True,
        )
        # All answers have one length, so the best sum is the best under any length penalty.
        assert answers[request.id].log_probability == pytest.approx(found.sequences_scores.item(), rel=1e-4)


@pytest.mark.parametrize("kind", ["m2m_100", "mbart"])
def test_a_prefix_counts_as_the_languages_token_does_in_transformers(kind: str, written: Written, load: Load) -> None:
    model, _ = written(kind)
    requests = [request._replace(decoder_prefix=(90 + request.id % 3,)) for request in searched(4)]
    answers = run(load(kind, "none"), requests)
    for request in requests:
        [language] = request.decoder_prefix
        whole = reference(model, request._replace(max_new_tokens=13), forced_bos_token_id=language)
        assert whole == (language, *answers[request.id].tokens)


def test_prefixes_of_any_length_share_a_batch(written: Written, load: Load) -> None:
    prefixes: list[tuple[int, ...]] = [(), (5,), (6, 7), (8,), (), (9, 10, 11), (12,)]
    requests = [request._replace(decoder_prefix=prefix) for request, prefix in zip(searched(4), prefixes, strict=True)]
    model, _ = written("marian")
    answers = run(load("marian", "none"), requests)
    for request in requests:
        # All answers end at the limit, so all sums are divided by the same length.
        start = torch.tensor([[tiny.PAD, *request.decoder_prefix]])
        whole = reference(model, request, decoder_input_ids=start)
        assert whole == (*request.decoder_prefix, *answers[request.id].tokens)
    assert {len(answer.tokens) for answer in answers.values()} == {12}


def test_each_request_keeps_its_own_limit(load: Load, written: Written) -> None:
    limits = (3, 0, 9, 1, 5, 12, 2)
    requests = [request._replace(max_new_tokens=limit) for request, limit in zip(searched(4), limits, strict=True)]
    model, _ = written("marian")
    answers = run(load("marian", "none"), requests)
    assert answers[1] == Completion(1, (), FinishReason.LENGTH)
    for request in requests:
        if request.max_new_tokens:
            assert answers[request.id].tokens == reference(model, request)


def test_an_answer_says_whether_it_came_to_its_end(tmp_path: Path) -> None:
    tiny.write("mbart", tmp_path)
    tiny.choose_end(tmp_path, searched(4))
    answers = run(tiny.load(tmp_path), searched(4)).values()
    assert {answer.finish_reason for answer in answers} == {FinishReason.STOP, FinishReason.LENGTH}
    for answer in answers:
        assert len(answer.tokens) < 12 or answer.finish_reason is FinishReason.LENGTH
        assert len(answer.tokens) == 12 or answer.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("more", [{"stop": ("x",)}, {"sampling": Sampling(temperature=0.5)}], ids=["stop", "drawn"])
def test_beams_go_with_no_stop_string_and_no_temperature(load: Load, more: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="beams"):
        run(load("marian", "none"), [tiny.requests()[0]._replace(beams=2, **more)])


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_models_without_beam_search_refuse_it(load: Load, kind: str) -> None:
    with pytest.raises(EngineError, match="beam"):
        run(load(kind, "none"), searched(2))


def test_the_trained_model_translates_as_transformers_has_it() -> None:
    spec = Catalog.read(DEMO_CATALOG).models["demo-translate"]
    exact = spec.model_copy(update={"device": "cpu", "quantization": "none"})
    tokenizer = Tokenizer.from_file(str(exact.folder / "tokenizer.json"))
    model = loading.load_model(exact, torch.float32, "sdpa")
    requests = [Request(place, tokenizer.encode(">>en<<" + text).ids, 60, beams=4) for place, text in enumerate(TEXTS)]
    engine = TorchEngine.load(exact)
    answers = {number: answer.tokens for number, answer in run(engine, requests).items()}
    assert answers == {request.id: reference(model, request) for request in requests}
    assert len(set(answers.values())) == len(TEXTS)


def test_the_trained_model_in_int8_gives_the_same_bits_alone_and_in_a_batch() -> None:
    spec = Catalog.read(DEMO_CATALOG).models["demo-translate"].model_copy(update={"device": "cpu"})
    tokenizer = Tokenizer.from_file(str(spec.folder / "tokenizer.json"))
    engine = TorchEngine.load(spec)
    requests = [
        Request(place, tokenizer.encode(">>en<<" + text).ids, 60, beams=5, is_scored=True)
        for place, text in enumerate(TEXTS)
    ]
    together = run(engine, requests)
    assert len({answer.tokens for answer in together.values()}) == len(TEXTS)
    assert together == {request.id: run(engine, [request])[request.id] for request in requests}

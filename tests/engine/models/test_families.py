"""Each family that is listed as running on our attention has a tiny model, which the other tests run."""

from statistics import median
from typing import Any

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load, Written
from tests.engine.decode.test_generation import run
from tests.engine.models.test_arithmetic import error, first_scores
from worker.engine.protocol import Architecture
from worker.engine.transformer.weights.families import FITTING, fits

OF_ARCHITECTURE = {
    Architecture.ENCODER_DECODER: tiny.ENCODER_DECODERS,
    Architecture.DECODER_ONLY: tiny.DECODERS,
    Architecture.CLASSIFIER: tiny.CLASSIFIERS,
    Architecture.EMBEDDER: tiny.EMBEDDERS,
}


@pytest.mark.parametrize("architecture", OF_ARCHITECTURE)
def test_every_family_that_fits_has_a_model_in_these_tests(architecture: Architecture, written: Written) -> None:
    types = {written(kind)[0].config.model_type for kind in OF_ARCHITECTURE[architecture]}
    assert types == FITTING[architecture]


@pytest.mark.parametrize("kind", sorted(tiny.GENERATIVE))
@torch.inference_mode()
def test_scores_in_bf16_are_near_the_exact_ones(kind: str, load: Load) -> None:
    exact, rounded = (first_scores(kind, load(kind, precision)) for precision in ("none", "bf16"))
    assert rounded.dtype == torch.bfloat16
    # Most rows, not all: with random weights, a row's attention may be evenly split between two tokens.
    assert median(error(*rows) for rows in zip(rounded.float(), exact, strict=True)) < 0.1


@pytest.mark.parametrize("kind", sorted(tiny.UNFITTING | tiny.UNFITTING_CLASSIFIERS | tiny.UNFITTING_EMBEDDERS))
def test_a_family_that_does_not_fit_runs_in_fp32_where_int8_is_asked_for(kind: str, load: Load) -> None:
    engine = load(kind, "int8")
    assert engine.capabilities().quantization == "none"
    assert len(run(engine, tiny.requests())) == len(tiny.requests())


@pytest.mark.parametrize(
    ("config", "is_fitting"),
    [
        ({}, True),
        ({"rope_scaling": None}, True),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, True),
        ({"rope_scaling": {"type": "longrope"}}, False),
        ({"rope_parameters": {"rope_type": "dynamic"}}, False),
        ({"rope_parameters": {"full_attention": {"rope_type": "longrope"}, "sliding_attention": {}}}, False),
    ],
)
def test_a_model_whose_rotation_follows_the_longest_row_does_not_fit(config: dict[str, Any], is_fitting: bool) -> None:
    assert fits({"model_type": "phi3"} | config, Architecture.DECODER_ONLY) is is_fitting

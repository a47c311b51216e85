"""OpenVINO with int8 weights, converted by optimum-intel with its defaults. Reads a text in one pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optimum import intel

from benchmarks.fidelity.system import Answers, pooled

_ONE_THREAD = {"INFERENCE_NUM_THREADS": "1"}


def _load(class_name: str, model: Path) -> Any:
    kind, converted = getattr(intel, class_name), model.with_name(f"{model.name}-openvino")
    if not converted.is_dir():
        weights = intel.OVWeightQuantizationConfig(bits=8)
        kind.from_pretrained(model, export=True, compile=False, quantization_config=weights).save_pretrained(converted)
    return kind.from_pretrained(converted, ov_config=_ONE_THREAD)


def _as_batch(tokens: Sequence[int]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([tokens])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


class OpenVinoWriter:
    def __init__(self, model: Path) -> None:
        self.model = _load("OVModelForCausalLM", model)

    def answers(self, inputs: Sequence[Sequence[int]]) -> Answers:
        return np.concatenate([np.asarray(self.model(**_as_batch(tokens)).logits[0], np.float32) for tokens in inputs])


class OpenVinoEmbedder:
    def __init__(self, model: Path) -> None:
        self.model = _load("OVModelForFeatureExtraction", model)

    def answers(self, inputs: Sequence[Sequence[int]]) -> Answers:
        return np.stack([self._vector(_as_batch(tokens)) for tokens in inputs])

    def _vector(self, batch: dict[str, torch.Tensor]) -> Answers:
        return pooled(self.model(**batch, token_type_ids=torch.zeros_like(batch["input_ids"])).last_hidden_state[0])
